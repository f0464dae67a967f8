"""Files that are not what their name says, joined files, workbooks and labels that only look right."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from data_files import built, prepared, problems, refusal, write
from pydantic import ValidationError

from kexp.builtin.datasets import TableDataset
from kexp.contracts import DatasetContext
from kexp.inference.input_tables import open_table

ROWS = [{"text": f"문장 {number}", "label": number % 2} for number in range(12)]
CSV = "text,label\n" + "".join(f"문장 {number},{'긍정' if number % 2 else '부정'}\n" for number in range(12))
ONE_EACH = {"validation": 2, "test": 2, "stratify": False}


def workbook(path: Path, rows: list[list[Any]], change: Callable[[Any], None] = lambda book: None) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    change(book)
    book.save(path)
    return path


def tar(content: bytes) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        member = tarfile.TarInfo("train.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return held.getvalue()


def zipped(content: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(zipfile.ZipInfo("train.csv"), content)
    return held.getvalue()


# --- another format than the name says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("a.csv.gz", gzip.compress(tar(CSV.encode()), mtime=0), "is a tar archive; unpack it"),
        ("a.csv", tar(CSV.encode()), "is a tar archive; unpack it"),
        (
            "a.csv.gz",
            gzip.compress(gzip.compress(CSV.encode(), mtime=0), mtime=0),
            "is compressed by gzip twice; unpack it once",
        ),
        ("a.xlsx", zipped(CSV), "is a zip archive of train.csv; unpack it"),
        ("a.parquet", zipped(CSV), "is a zip archive of train.csv; unpack it"),
        ("a.csv", b"PK\x05\x06" + b"\0" * 18, "is a zip archive"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0" + b"\0" * 60, "is a workbook of Excel 97-2003 (.xls)"),
        ("a.xlsx", b"<html><table></table>", "is a web page; download the file itself"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS; fetch"),
        (
            "a.parquet.gz",
            gzip.compress(b"PAR1", mtime=0),
            "is compressed by gzip, which kexp reads for text alone; unpack it",
        ),
        ("a.parquet", CSV.encode(), 'is not a Parquet file by its first bytes; if it is CSV, set format = "csv"'),
        ("a.csv", json.dumps(ROWS).encode(), 'is an array of JSON objects; set format = "json"'),
        ("a.csv", json.dumps(ROWS[0]).encode(), 'is a JSON object per line; set format = "jsonl"'),
        ("a.csv", b"SQLite format 3\0" + b"\0" * 40, "is a SQLite database"),
        ("a.csv", b"ARROW1\0\0", "is an Arrow or Feather file"),
        ("a.csv", b"\x89PNG\r\n\x1a\n" + b"\0\xff" * 90, "is an image"),
        ("a.csv", b'<?xml version="1.0"?>', "is XML"),
    ],
)
def test_a_file_of_another_format_is_told_before_it_is_read(
    tmp_path: Path, name: str, content: bytes, finding: str
) -> None:
    path = write(tmp_path, name, content)
    assert problems(TableDataset(path=path))[0].startswith(f"path: {path}: {finding}")
    # Prediction and measurement say so too, with their own remedies.
    assert refusal(lambda: open_table(path, "--input")).startswith(f"{path}: {finding.split(';', maxsplit=1)[0]}")


def test_an_address_is_no_file(tmp_path: Path) -> None:
    found = problems(TableDataset(path=tmp_path / "https:/example.org/a.csv"))
    assert found[0].endswith("does not exist; download it: kexp reads files of this machine")


# --- encodings ---------------------------------------------------------------------------------------------------------

HANGUL = "글\t표\n" + "".join(f"가나다라마바사{chr(44032 + n)}\t{'긍' if n % 2 else '부'}\n" for n in range(40))


@pytest.mark.parametrize(
    ("written", "stated", "message"),
    [
        ("utf-16-le", "utf-8", 'seems to be UTF-16-LE, not utf-8; set encoding = "utf-16-le"'),
        ("utf-16-le", "utf-16", 'seems to be UTF-16-LE, not utf-16; set encoding = "utf-16-le"'),
        ("utf-16-be", "utf-16-le", 'seems to be UTF-16-BE, not utf-16-le; set encoding = "utf-16-be"'),
        ("utf-16-le", "cp949", 'seems to be UTF-16-LE, not cp949; set encoding = "utf-16-le"'),
        ("utf-32-le", "utf-8", 'seems to be UTF-32-LE, not utf-8; set encoding = "utf-32-le"'),
        ("cp949", "latin-1", 'is cp949, not latin-1; set encoding = "cp949"'),
        ("cp949", "cp1252", 'is cp949, not cp1252; set encoding = "cp949"'),
    ],
)
def test_text_of_hangul_is_not_taken_for_another_encoding(
    tmp_path: Path, written: str, stated: str, message: str
) -> None:
    path = write(tmp_path, "a.tsv", HANGUL.encode(written))
    options = TableDataset(path=path, text="글", label="표", encoding=stated)
    found = refusal(lambda: built(options))
    assert found == f"{path}: {message}"
    right = options.model_copy(update={"encoding": message.rsplit('"', 2)[1]})
    assert built(right)["train"]["text"][1] == "가나다라마바사각"


@pytest.mark.parametrize("written", ["shift_jis", "johab"])
def test_cp949_is_not_named_for_text_that_it_would_garble(tmp_path: Path, written: str) -> None:
    text = "これは,あ\n" if written == "shift_jis" else "똠방각하 좋다,긍정\n"
    path = write(tmp_path, "a.csv", ("text,label\n" + text * 20).encode(written))
    assert refusal(lambda: built(TableDataset(path=path))).endswith("neither UTF-8 nor cp949; convert it to UTF-8")


def test_the_encoding_undefined_is_no_encoding(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", CSV)
    found = problems(TableDataset(path=path, encoding="undefined"))
    assert found == ['encoding: Python knows no encoding "undefined"; for example "utf-8" or "cp949"']


# --- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV + "\ufeff" + CSV, "data row 13 repeats the names of the columns; remove it"),
        ("sep=;\ntext;label\n가;1\n", 'the first line, "sep=;", is an instruction to Excel; remove it'),
        ('"text,label"\n"가,1"\n', "is in quotation marks as a whole: text,label; remove those round the lines"),
        ("text,label,,\n가,1,,\n나,0,메모,\n", "data row 2: column 3 has a cell and no name"),
        ("text,label\n", "it has columns (text, label) and no rows"),
    ],
)
def test_lines_that_are_no_rows_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, "a.csv", content)
    separator = ";" if content.startswith("sep") else None
    assert message in refusal(lambda: built(TableDataset(path=path, separator=separator)))


def test_empty_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label,,\n가,1,,\n나,0,,\n")
    assert built(TableDataset(path=path))["train"] == {"text": ["가", "나"], "label": ["1", "0"]}
    assert open_table(path, "--input").columns == ["text", "label"]
    # The only one, such as the index that pandas writes, stays in predictions.
    path = write(tmp_path, "b.csv", ",text,label\n7,가,1\n8,나,0\n")
    assert [row[""] for row in open_table(path, "--input").rows] == ["7", "8"]


def test_a_header_that_is_read_as_a_row_is_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "문장,label\n가,긍정\n나,부정\n")
    context = DatasetContext()
    built(TableDataset(path=path, header=False, columns=("text", "label")), context)
    finding = 'the first row has "label" in the column of this name'
    assert context.warnings == [f"{path}: {finding}; if it is a header, leave out header = false and columns"]


def test_a_space_before_quotation_marks_is_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n가, "긍정"\n나, "부정"\n')
    context = DatasetContext()
    built(TableDataset(path=path), context)
    assert len(context.warnings) == 1
    assert '2 cells of column "label" are in quotation marks' in context.warnings[0]
    assert context.warnings[0].endswith("remove the spaces before them")


# --- JSON --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "expected an array of objects, found 3"),
        ("true", "expected an array of objects, found true"),
        ('"가"', 'expected an array of objects, found "가"'),
        ('[{"text": "a", "text": "b", "label": 1}]', 'the key "text" stands twice in one object; remove one of them'),
        (CSV, 'not valid JSON: Expecting value; if the file is CSV, set format = "csv"'),
        ('{"a": [{"x": 1}], "b": [{"x": 1}]}', "it has arrays of objects under a, b; write one array into a file"),
    ],
)
def test_json_without_one_array_of_objects_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path, "a.json", content)
    assert refusal(lambda: built(TableDataset(path=path))).endswith(message)


def test_the_only_array_is_found_at_any_depth(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", json.dumps({"dataset": {"info": {"version": 1}, "data": ROWS}}))
    assert built(TableDataset(path=path))["train"]["label"] == ["0", "1"] * 6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([json.dumps(row) + "," for row in ROWS], "Extra data; remove the comma at the end of the line"),
        (["{", '"data": []', "}"], 'for an array of objects set format = "json"'),
        ([json.dumps(ROWS)], 'for an array of objects set format = "json"'),
        (['{"text": "a", "text": "b"}'], 'line 1: the key "text" stands twice in one object; remove one of them'),
    ],
)
def test_json_lines_that_are_none_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    path = write(tmp_path, "a.jsonl", "\n".join(lines))
    assert refusal(lambda: built(TableDataset(path=path))).endswith(message)


def test_byte_order_marks_of_joined_json_lines_are_none_of_theirs(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in ROWS]
    path = write(tmp_path, "a.jsonl", "\ufeff" + "\n".join(lines[:6]) + "\n\ufeff" + "\n".join(lines[6:]))
    assert built(TableDataset(path=path))["train"]["text"] == [row["text"] for row in ROWS]


def test_keys_with_dots_inside_of_columns_are_found(tmp_path: Path) -> None:
    rows = [{"t": {"a.b": row["text"]}, "label": row["label"]} for row in ROWS]
    path = write(tmp_path, "a.json", json.dumps(rows))
    assert built(TableDataset(path=path, text="t.a.b"))["train"]["text"] == [row["text"] for row in ROWS]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"a": "가"}, "나"], "no column 't.a' in data row 2: 't' holds a string (나), expected a table"),
        ([[{"a": "가"}]], "no column 't.a' in data row 1: 't' holds a list ([{'a': '가'}]), expected a table"),
        ([{"a": ["가"]}, None], "data row 1, column 't.a': found a list (['가']), expected a text"),
    ],
)
def test_paths_through_what_is_no_table_are_refused(tmp_path: Path, values: list[Any], message: str) -> None:
    path = write(tmp_path, "a.json", json.dumps([{"t": value, "label": 1} for value in values]))
    assert message in refusal(lambda: built(TableDataset(path=path, text="t.a")))


# --- workbooks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["=1+1", 1], "column 'text': found a formula that was never calculated (=1+1), expected a text"),
        (["가", "=IF(1>0,1,2)"], "column 'label': found a formula that was never calculated (=IF(1>0,1,2))"),
        (["#N/A", 1], "column 'text': found an error of Excel (#N/A), expected a text"),
        (["가", "#REF!"], "column 'label': found an error of Excel (#REF!), expected one label"),
    ],
)
def test_cells_of_a_workbook_without_a_value_are_refused(tmp_path: Path, row: list[Any], message: str) -> None:
    path = workbook(tmp_path / "a.xlsx", [["text", "label"], ["나", 0], row])
    assert f"data row 2, {message}" in refusal(lambda: built(TableDataset(path=path)))
    # In columns that are not read they are no hindrance.
    others = [["text", "label", "memo"], ["나", 0, "#N/A"], ["가", 1, "=1+1"]]
    read = built(TableDataset(path=workbook(tmp_path / "b.xlsx", others)))
    assert read["train"] == {"text": ["나", "가"], "label": ["0", "1"]}


def test_sheets_compare_composed_and_line_breaks_are_decoded(tmp_path: Path) -> None:
    def second(book: Any) -> None:
        book.create_sheet("메모").append(["x"])

    path = workbook(tmp_path / "a.xlsx", [["text", "label"], ["가_x000D_나", 1], ["다", 0]], second)
    read = built(TableDataset(path=path, sheet="Sheet"))
    assert read["train"]["text"] == ["가\r나", "다"]
    decomposed = unicodedata.normalize("NFD", "메모")
    assert "no column 'text', 'label'" in refusal(lambda: built(TableDataset(path=path, sheet=decomposed)))


# --- labels ------------------------------------------------------------------------------------------------------------


def labels_of(tmp_path: Path, labels: list[str], **options: Any) -> tuple[tuple[str, ...], list[str]]:
    rows = "".join(f"문장 {number},{labels[number % len(labels)]}\n" for number in range(6 * len(labels)))
    data = prepared(TableDataset(path=write(tmp_path, "a.csv", "text,label\n" + rows), **options), split=ONE_EACH)
    return data.labels, data.record.get("warnings", [])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["좋다\u3164", "좋다", "나쁨"], ("나쁨", "좋다")), (["-0.0", "0", "1"], ("0", "1"))],
)
def test_labels_that_are_one_to_the_eye_are_one(tmp_path: Path, labels: list[str], expected: tuple[str, ...]) -> None:
    assert labels_of(tmp_path, labels) == (expected, [])


@pytest.mark.parametrize(
    ("pair", "points"),
    [
        (["+1", "1"], ["U+002B U+0031", "U+0031"]),
        (["1e0", "1"], ["U+0031 U+0065 U+0030", "U+0031"]),
        (["5-3", "5\u20133"], ["U+002D", "U+2013"]),
    ],
)
def test_numbers_and_dashes_that_look_alike_are_warned_of(tmp_path: Path, pair: list[str], points: list[str]) -> None:
    labels, warnings = labels_of(tmp_path, [*pair, "다른"])
    assert set(pair) < set(labels)
    assert len(warnings) == 1
    assert all(point in warnings[0] for point in points)


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (["3.8", "0.5", "1"], "3 labels, of which 2 are numbers with a fraction (0.5, 3.8); each becomes a class"),
        (["nan", "긍정", "부정"], 'labels that other tools write for a missing one: "nan"; each is a class of its own'),
    ],
)
def test_measured_and_missing_values_as_labels_are_warned_of(tmp_path: Path, labels: list[str], warning: str) -> None:
    _, warnings = labels_of(tmp_path, labels)
    assert len(warnings) == 1
    assert warnings[0].startswith(warning)


def test_lists_that_were_written_as_text_are_no_labels(tmp_path: Path) -> None:
    for label in ("['기쁨', '슬픔']", '["기쁨"]', "[0, 1]", "{'id': 1}"):
        path = write(tmp_path, "a.tsv", f"text\tlabel\n가\t{label}\n나\t기쁨\n")
        found = refusal(lambda: built(TableDataset(path=path)))  # noqa: B023
        assert f"{path}: data row 1, column 'label': found a " in found
    path = write(tmp_path, "a.tsv", "text\tlabel\n가\t[중립]\n나\t(1)\n")
    assert built(TableDataset(path=path))["train"]["label"] == ["[중립]", "(1)"]


def test_labels_of_options_are_spelled_as_those_of_files(tmp_path: Path) -> None:
    assert labels_of(tmp_path, ["-1", "0", "1"], leave_out=["-1.0"]) == (("0", "1"), [])
    with pytest.raises(ValidationError, match="two labels are the same"):
        TableDataset(path=tmp_path / "a.csv", label_names={"1": "긍정", "1.0": "좋음", "0": "부정"})


def test_labels_of_options_that_no_row_has_are_warned_of(tmp_path: Path) -> None:
    assert labels_of(tmp_path, ["0", "1"], leave_out=["-"])[1] == ['dataset.leave_out: no row has the label "-"']
    names = {"0": "부정", "1": "긍정", "2": "중립"}
    labels, warnings = labels_of(tmp_path, ["0", "1"], label_names=names)
    assert (labels, warnings) == (
        ("부정", "긍정"), ["no train row has the label 중립: the model does not learn it"]
    )  # fmt: skip
    assert labels_of(tmp_path, ["0", "1", "2"], label_names=names, leave_out=["중립"])[1] == []
    message = refusal(lambda: labels_of(tmp_path, ["0", "1"], leave_out=["0", "1"]))
    assert message.endswith("every row has a label of leave_out (0, 1)")


def test_whole_decimals_are_labels_and_bytes_are_no_texts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["가", "나"], "label": [Decimal(0), Decimal("1.00")], "raw": [b"a", b"b"]})
    frame.to_parquet(tmp_path / "a.parquet")
    path = tmp_path / "a.parquet"
    assert built(TableDataset(path=path))["train"]["label"] == ["0", "1"]
    found = refusal(lambda: built(TableDataset(path=path, text="raw")))
    assert found.endswith("column 'raw': found a byte string (b'a'), expected a text; decode it to a string")


# --- groups, columns, limits -------------------------------------------------------------------------------------------


def test_groups_are_spelled_as_labels_are(tmp_path: Path) -> None:
    spellings = ["가", unicodedata.normalize("NFD", "가"), "가 ", "\u200b가"]
    rows = [f"문장 {n},{n % 2},{spellings[n % 4] if n < 20 else f'x{n}'}" for n in range(60)]
    rows += [f"빈 {n},{n % 2},\u200b" for n in range(4)]
    path = write(tmp_path, "a.csv", "text,label,who\n" + "\n".join(rows) + "\n")
    data = prepared(TableDataset(path=path, group="who"), split={"validation": 8, "test": 8, "stratify": False})
    holding = [split for split, held in data.splits.items() if any(number < 20 for number in held.numbers)]
    assert len(holding) == 1
    assert data.record["splits"]["train"]["without_group"] == 4


def test_a_group_that_is_written_as_missing_is_warned_of(tmp_path: Path) -> None:
    rows = "".join(f"문장 {n},{n % 2},{'nan' if n % 4 == 0 else n}\n" for n in range(40))
    path = write(tmp_path, "a.csv", "text,label,who\n" + rows)
    data = prepared(TableDataset(path=path, group="who"), split=ONE_EACH)
    assert data.record["warnings"] == [
        '10 rows have the group "nan" and stay in one split; where the cell is empty, each row is a group of its own'
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ()}, 'text: no column is named; for example text = ["title", "body"]'),
        ({"text": ("a", "a")}, 'text: the column "a" is another text column too; name another column'),
        ({"text": "a", "text_pair": "a"}, 'text: the column "a" is another text column too; name another column'),
        ({"text": "a", "label": "a"}, 'text: the column "a" is label too; name another column'),
    ],
)
def test_columns_that_are_used_twice_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write(tmp_path, "a.csv", "a,label\n가,1\n")
    assert problems(TableDataset(path=path, **options)) == [message]


def test_a_limit_that_leaves_too_few_labelled_rows_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"문장 {n},{n % 5}\n" for n in range(200)))
    found = refusal(lambda: prepared(TableDataset(path=path, limit=20), labelled={"per_class": 15}))
    assert found.startswith("labelled.per_class: label ")
    assert found.endswith("; or raise dataset.limit, which left 140 out")


def test_a_limit_that_left_nothing_out_is_no_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"문장 {n},{n % 5}\n" for n in range(200)))
    found = refusal(lambda: prepared(TableDataset(path=path), labelled={"n": 3}))
    assert found.startswith("labelled.n: 3 of ")
    assert "dataset.limit" not in found


def test_a_limit_of_a_split_that_there_is_not_is_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"문장 {n},{n % 5}\n" for n in range(200)))
    limit = {"train": 100, "unlabelled": 5}
    data = prepared(TableDataset(path=path, limit=limit), labelled={"n": 20})
    assert data.unlabelled is not None
    assert len(data.unlabelled) == 80
    (warning,) = [warning for warning in data.record["warnings"] if "limit" in warning]
    assert warning == (
        "dataset.limit.unlabelled: there is no unlabelled split, and nothing was limited; "
        "labelled.pool limits the unlabelled rows of train"
    )
    assert not [
        w for w in prepared(TableDataset(path=path, limit={"test": 5})).record.get("warnings", []) if "limit" in w
    ]
