"""Files, labels and names as people have them: the same rows in training, prediction and measurement, or a refusal."""

from __future__ import annotations

import functools
import gzip
import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from data_files import built, prepared, problems, refusal, write

from kexp.builtin.datasets import HubDataset, TableDataset
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.contracts import DatasetContext
from kexp.inference.columns import TextColumns
from kexp.inference.evaluate import LEFT_OUT, Labels
from kexp.inference.input_tables import open_table
from kexp.inference.label_columns import LabelColumns
from kexp.inference.predict import readable

NFD = functools.partial(unicodedata.normalize, "NFD")


def jsonl(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    return write(folder, name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def reviews(count: int, labels: tuple[str, ...] = ("부정", "긍정")) -> list[tuple[str, str]]:
    return [(f"영화 {number}", labels[number % len(labels)]) for number in range(count)]


def table(rows: list[tuple[str, str]], separator: str = ",") -> str:
    return "".join(separator.join(row) + "\n" for row in [("text", "label"), *rows])


# --- rows inside a cell ------------------------------------------------------------------------------------------------

STRAY = [("영화 0", "부정"), ('"영화 1', "긍정"), ("영화 2", "부정"), ('영화 3"', "긍정"), *reviews(8)]


@pytest.mark.parametrize("name", ["a.tsv", "a.txt"])
def test_quotation_marks_in_tsv_are_characters(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, table(STRAY, "\t"))
    assert built(TableDataset(path=path))["train"]["text"] == [text for text, _ in STRAY]
    assert [row["text"] for row in open_table(path, "--input").rows] == [text for text, _ in STRAY]


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_row_made_of_several_by_a_quotation_mark_is_refused(tmp_path: Path, name: str, separator: str) -> None:
    path = write(tmp_path, name, table(STRAY, separator))
    message = refusal(lambda: built(TableDataset(path=path, quoting=True)))
    finding = "line 3: a quotation mark makes one row of 3 lines, 3 of them with 2 cells"
    assert message == f"{path}: {finding}; set quoting = false, or correct the file"
    assert built(TableDataset(path=path, quoting=False))["train"]["text"] == [text for text, _ in STRAY]


@pytest.mark.parametrize(
    "rows",
    [
        [('"영화', "부정"), ('연출"', "긍정")],
        [('1,"영화', "부정"), ('2,연출"', "긍정")],
        [('부정,"영화 5', "1"), ('긍정,연출"', "2")],
    ],
)
def test_rows_are_recognised_in_a_cell_wherever_the_text_stands(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    width = rows[0][0].count(",") + 2
    others = {2: "영화,부정\n배우,긍정\n", 3: "3,각본,부정\n4,음악,긍정\n"}[width]
    if rows[0][0].startswith("부정"):
        others = "부정,각본,3\n긍정,음악,4\n"
    header = ",".join("abc"[:width]) + "\n"
    path = write(tmp_path, "a.csv", header + others * 2 + table(rows).split("\n", 1)[1])
    assert "line 6: a quotation mark makes one row of 2 lines" in refusal(
        lambda: list(open_table(path, "--input").rows)
    )


def test_a_blank_line_does_not_hide_rows_in_a_cell(tmp_path: Path) -> None:
    rows = table([*reviews(6), ('"영화 6', "부정")]) + "\n" + table([('영화 7"', "긍정")]).split("\n", 1)[1]
    path = write(tmp_path, "a.csv", rows)
    assert "line 8: a quotation mark makes one row of 3 lines, 2 of them with 2 cells" in refusal(
        lambda: built(TableDataset(path=path))
    )


def test_quoted_cells_of_several_lines_stay_whole_and_are_counted(tmp_path: Path) -> None:
    # The lines of such a row may have as many separators as the header: the second half is text, no label.
    rows = [(f'"배우, {number}\n꽤 나쁘다"', label) for number, (_, label) in enumerate(reviews(40))]
    path, context = write(tmp_path, "a.csv", table(rows)), DatasetContext()
    texts = [f"배우, {number}\n꽤 나쁘다" for number in range(40)]
    assert built(TableDataset(path=path), context)["train"]["text"] == texts
    assert context.read["train"] == {"lines": 81, "rows": 40, "merged_lines": 40}
    files = prepared(TableDataset(path=path)).record["source"]["files"]
    assert files == {"train": {"lines": 81, "rows": 40, "merged_lines": 40}}


def test_quoting_false_is_not_advised_where_it_does_not_help(tmp_path: Path) -> None:
    # The commas of the first row need their quotation marks.
    path = write(tmp_path, "a.csv", 'text,label\n"가, 나",1\n"다,0\n라,1\n')
    message = refusal(lambda: built(TableDataset(path=path)))
    assert message == (
        f"{path}: line 3: a quotation mark is opened and never closed; correct the quotation marks of this row"
    )
    whole = write(tmp_path, "b.csv", 'text,label\n"가,1"\n"나,0"\n')
    message = refusal(lambda: built(TableDataset(path=whole)))
    finding = "the whole line is in quotation marks; remove those round the lines of this file"
    assert message == f"{whole}: line 2: {finding}"


def test_tsv_that_is_quoted_after_all_is_refused_or_warned_of(tmp_path: Path) -> None:
    named = write(tmp_path, "a.tsv", '"text"\t"label"\n"가"\t"1"\n')
    message = refusal(lambda: built(TableDataset(path=named)))
    assert message.endswith('the names of the columns are in quotation marks: "text", "label"; set quoting = true')
    assert built(TableDataset(path=named, quoting=True))["train"] == {"text": ["가"], "label": ["1"]}
    path, context = write(tmp_path, "b.tsv", 'text\tlabel\n"그는 ""안녕"" 했다"\t1\n나\t0\n'), DatasetContext()
    built(TableDataset(path=path), context)
    assert context.warnings == [
        f'{path}: 1 cells of column "text" are in quotation marks, which are read as characters; '
        "if they enclose the cells, set quoting = true"
    ]


def test_backslash_escapes_are_recognised_and_have_an_option(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"그는 \\"안녕\\", 했다\\n끝",1\n"경로 \\\\",0\n')
    message = refusal(lambda: built(TableDataset(path=path)))
    assert message.endswith("line 2: text follows a closing quotation mark; set escape = '\\', or correct the file")
    read = built(TableDataset(path=path, escape="\\"))["train"]
    assert read == {"text": ['그는 "안녕", 했다\n끝', "경로 \\"], "label": ["1", "0"]}


# --- labels ------------------------------------------------------------------------------------------------------------


def test_labels_are_composed_and_lose_what_cannot_be_seen(tmp_path: Path) -> None:
    rows = [(f"글 {n}", label) for n, label in enumerate([NFD("긍정"), "긍\u200b정", "\ufeff부정", "부정"] * 10)]
    data = prepared(TableDataset(path=write(tmp_path, "a.csv", table(rows))))
    assert data.labels == ("긍정", "부정")
    assert data.record["source"]["files"]["train"] == {
        "lines": 41,
        "rows": 40,
        "labels composed (NFC)": 10,
        "labels without their invisible characters": 20,
    }


def test_label_names_and_columns_compare_composed(tmp_path: Path) -> None:
    content = table(reviews(2)).replace("text", "문장").replace("label", "감정")
    options = TableDataset(
        path=write(tmp_path, "a.csv", NFD(content)),
        text="문장",
        label=NFD("감정"),
        label_names={"부정": "negative", NFD("긍정"): "positive"},
    )
    assert built(options)["train"]["label"] == [0, 1]
    assert options.label_names == {"부정": "negative", "긍정": "positive"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([True, 1, 0, False], ("0", "1")),
        ([True, "true", "false", False], ("False", "True")),
        (["1.0", 1, 0.0, "0"], ("0", "1")),
        ([True, False, True, False], ("False", "True")),
        ([10.0, 9.0, "2.0", 10], ("2", "9", "10")),
    ],
)
def test_one_label_in_several_spellings_is_one(tmp_path: Path, labels: list[Any], expected: tuple[str, ...]) -> None:
    rows = [{"text": f"글 {row}", "label": labels[row % 4]} for row in range(40)]
    assert prepared(TableDataset(path=jsonl(tmp_path, rows))).labels == expected


def test_labels_that_look_alike_are_warned_of_with_their_code_points(tmp_path: Path) -> None:
    rows = reviews(60, ("Good", "good", "ｂad", "bad", "'ok'", "ok"))
    warnings = prepared(TableDataset(path=write(tmp_path, "a.csv", table(rows)))).record["warnings"]
    assert len(warnings) == 3
    assert '"Good" (U+0047 U+006F U+006F U+0064) and "good" (U+0067 U+006F U+006F U+0064)' in warnings[1]
    test = write(tmp_path, "test.csv", table([("글", "GOOD"), ("말", "bad")]))
    train = write(tmp_path, "train.csv", table(reviews(40, ("good", "bad"))))
    message = refusal(lambda: prepared(TableDataset(train=train, test=test)))
    assert '(these differ: "GOOD" (U+0047 U+004F U+004F U+0044) and "good" (U+0067' in message


LABEL = LabelColumns(("label",))


def test_a_model_measured_on_other_spellings_of_its_labels(tmp_path: Path) -> None:
    labels = Labels(LABEL, SingleLabel(), {"1": "긍정", NFD("부정"): "부정"}, ("긍정", "부정"), False)
    cells = ["1", 1, 1.0, "1.0", True, "긍\u200b정", NFD("긍정"), "부정", None]
    rows = [{"label": value} for value in cells]
    assert labels.of(rows, "a.jsonl", 1) == ["긍정"] * 7 + ["부정", ""]
    truth = Labels(LabelColumns(("y",)), SingleLabel(), {}, ("True", "False"), False)
    assert truth.of([{"y": 1}, {"y": "0"}], "a", 1) == ["True", "False"]


# --- what is no text and no label ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"label": [0, 1]}, "column 'label': found a list ([0, 1]), expected one label; this task learns one label per row"),
        ({"label": {"x": 1}}, 'found a table ({\'x\': 1}), expected one label; name the value in it, for example label = "label.x"'),
        ({"label": 3.5}, "column 'label': found a float (3.5), expected one label; state task"),
        ({"text": ["가", "나"]}, "column 'text': found a list (['가', '나']), expected a text; join its words"),
        ({"text": {"a": {"b": "가"}}}, 'for example text = "text.a.b"'),
        ({"text": 1.5}, "column 'text': found a float (1.5), expected a text; write it as a string"),
        ({"text": True}, "column 'text': found a bool (True), expected a text; write it as a string"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "hub"])
def test_other_values_are_refused_with_column_and_row(
    tmp_path: Path, kind: str, cells: dict[str, Any], message: str
) -> None:
    good = dict.fromkeys(cells)
    rows = [{"text": "글", "label": "a"} | good, {"text": "글", "label": "a"} | cells]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        jsonl(tmp_path, rows, path.name)
    elif kind == "json":
        write(tmp_path, path.name, json.dumps(rows))
    elif kind == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        jsonl(path, rows, "train.jsonl")
    options = HubDataset(path=path) if kind == "hub" else TableDataset(path=path)
    found = refusal(lambda: built(options))
    assert "data row 2" in found
    assert message in found


def test_other_values_are_refused_in_prediction_and_measurement_too(tmp_path: Path) -> None:
    rows = [{"text": "가", "label": 1}, {"text": ["나"], "label": 0.5}]
    table = open_table(jsonl(tmp_path, rows), "--input")
    chunk = next(table.chunks())
    found = refusal(lambda: readable(chunk, TextColumns(("text",)), table.source, [1, 2]))
    assert found.startswith(f"{table.source}: data row 2, column 'text': found a list (['나']), expected a text")
    found = refusal(lambda: Labels(LABEL, SingleLabel(), {}, "01", False).of(chunk, table.source, 1))
    assert found.startswith(f"{table.source}: data row 2, column 'label': found a float (0.5), expected one label")


def test_a_number_is_the_same_text_in_training_and_prediction(tmp_path: Path) -> None:
    rows = [{"text": 119, "label": "a"}, {"text": None, "label": "b"}, {"text": "말", "label": "b"}]
    whole = [{**row, "text": row["text"] if row["text"] != "말" else 7} for row in rows]
    pd.DataFrame(whole).to_parquet(tmp_path / "a.parquet")
    for path, last in ((jsonl(tmp_path, rows), "말"), (tmp_path / "a.parquet", "7")):
        assert built(TableDataset(path=path))["train"]["text"] == ["119", "", last]
        chunk = list(open_table(path, "--input").rows)
        assert readable(chunk, TextColumns(("text",)), "", [1, 2, 3])[1] == ["119", last]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "hub"])
def test_columns_inside_of_columns_are_named_by_a_dotted_path(tmp_path: Path, kind: str) -> None:
    rows = [{"talk": {"content": {"HS01": f"말 {n}"}}, "labels": {"label": 2.5, "binary-label": n % 2}} for n in (0, 1)]
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        jsonl(path if kind == "hub" else tmp_path, rows, "train.jsonl" if kind == "hub" else path.name)
    kinds = {"text": "talk.content.HS01", "label": "labels.binary-label"}
    options = HubDataset(path=path, **kinds) if kind == "hub" else TableDataset(path=path, **kinds)
    assert built(options)["train"] == {"text": ["말 0", "말 1"], "label": ["0", "1"]}
    if kind != "hub":
        table = open_table(path, "--input")
        table.need("talk.content.HS01", "--text")
        assert readable(list(table.rows), TextColumns(("talk.content.HS01",)), "", [1, 2])[1] == ["말 0", "말 1"]
        message = refusal(lambda: built(TableDataset(path=path, text="talk.content.HS01", label="labels.binary")))
        assert message.endswith(
            "no column 'labels.binary'; the columns are talk, labels, talk.content, labels.label, labels.binary-label"
        )


# --- groups and limits --------------------------------------------------------------------------------------------------


def test_rows_without_a_group_are_divided_one_by_one_and_counted(tmp_path: Path) -> None:
    groups = ["" if row % 2 else f"s{row % 8}" for row in range(200)]
    content = "text,label,speaker\n" + "".join(
        f"글 {row},{'ab'[row // 2 % 2]},{group}\n" for row, group in enumerate(groups)
    )
    data = prepared(TableDataset(path=write(tmp_path, "a.csv", content), group="speaker"))
    assert data.record["splits"]["train"]["without_group"] == 100
    found = {split: {groups[number] for number in rows.numbers} - {""} for split, rows in data.splits.items()}
    assert not found["train"] & found["test"]
    assert not found["train"] & found["validation"]
    assert all("" in {groups[number] for number in rows.numbers} for rows in data.splits.values())


def test_a_limit_keeps_every_label_and_the_rest_of_the_rows(tmp_path: Path) -> None:
    labels = tuple(f"E{number}" for number in range(60))
    rows = reviews(600, labels) + [(f"더 {number}", "E0") for number in range(600)]
    path = write(tmp_path, "a.csv", table(rows))
    data = prepared(TableDataset(path=path, limit={"train": 70, "validation": 65}))
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 70, "validation": 65, "test": 120}
    assert len(data.labels) == 60
    for split in ("train", "validation"):
        assert (np.bincount(data.splits[split].labels, minlength=60) > 0).all()
    message = refusal(lambda: prepared(TableDataset(path=path, limit=59)))
    assert message == "dataset.limit: 59 train rows cannot hold 60 labels; use 60 or more"


# --- encodings and archives ---------------------------------------------------------------------------------------------

HANGUL = table([("똠방각하 펲시", "긍정"), ("정말 별로", "부정")])
BROKEN = table(reviews(40)).encode().replace("영화 3,".encode(), "영화".encode()[:-1] + b" 3,")


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (HANGUL.encode("cp949"), "utf-8-sig", 'line 2: byte 0x8c is not utf-8-sig; the file is cp949; set encoding = "cp949"'),
        (HANGUL.encode("cp949"), "euc-kr", 'is not euc-kr; the file is cp949; set encoding = "cp949"'),
        (HANGUL.encode(), "cp949", 'is UTF-8, not cp949; set encoding = "utf-8"'),
        (HANGUL.encode(), "latin-1", 'is UTF-8, not latin-1; set encoding = "utf-8"'),
        (HANGUL.encode("utf-16"), "utf-8", 'is UTF-16 by its byte order mark, not utf-8; set encoding = "utf-16"'),
        (HANGUL.encode("utf-16"), "cp949", 'is UTF-16 by its byte order mark, not cp949; set encoding = "utf-16"'),
        (HANGUL.encode("utf-16-le"), "utf-8", 'seems to be UTF-16-LE, not utf-8; set encoding = "utf-16-le"'),
        (HANGUL.encode("utf-16-be"), "utf-8", 'seems to be UTF-16-BE, not utf-8; set encoding = "utf-16-be"'),
        (BROKEN, "utf-8", "line 5: byte 0xed is not utf-8; the file is utf-8 with damaged bytes in line 5; correct it"),
        (BROKEN, "euc-kr", 'the file is utf-8 with damaged bytes in line 5; set encoding = "utf-8" and correct it'),
        (b"text,label\n\xff\xff\x80,\x80\n", "utf-8", "the file is neither UTF-8 nor cp949; convert it to UTF-8"),
    ],
)  # fmt: skip
def test_the_encoding_is_named_after_its_bytes(tmp_path: Path, content: bytes, encoding: str, message: str) -> None:
    path = write(tmp_path, "a.csv", content)
    found = refusal(lambda: built(TableDataset(path=path, encoding=encoding)))
    assert found.startswith(f"{path}: ")
    assert found.endswith(message)
    named = [word for word in ("cp949", "utf-8", "utf-16", "utf-16-le", "utf-16-be") if f'"{word}"' in found]
    if named and "damaged" not in found:
        assert built(TableDataset(path=path, encoding=named[0]))["train"]["label"] == ["긍정", "부정"]


@pytest.mark.parametrize(("name", "text"), [("a.csv.gz", HANGUL), ("a.csv", HANGUL), ("a.jsonl.gz", None)])
def test_files_compressed_by_gzip_are_read(tmp_path: Path, name: str, text: str | None) -> None:
    text = text or '{"text": "똠방각하 펲시", "label": "긍정"}\n{"text": "정말 별로", "label": "부정"}\n'
    path = write(tmp_path, name, gzip.compress(text.encode()))
    expected = {"text": ["똠방각하 펲시", "정말 별로"], "label": ["긍정", "부정"]}
    assert problems(TableDataset(path=path)) == []
    assert built(TableDataset(path=path))["train"] == expected
    assert [row["text"] for row in open_table(path, "--input").rows] == expected["text"]
    path.write_bytes(path.read_bytes()[:-12])
    assert "damaged, it cannot be decompressed" in refusal(lambda: built(TableDataset(path=path)))


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_excel_workbooks_are_read(tmp_path: Path) -> None:
    rows = [["문장", None, "감정"], ["좋다", None, 1], [None, None, None], [119, None, 0.0]]
    path = workbook(tmp_path / "a.xlsx", {"감성": rows, "빈": []})
    options = TableDataset(path=path, text="문장", label="감정")
    assert problems(options) == []
    assert built(options)["train"] == {"text": ["좋다", "119"], "label": ["1", "0"]}
    assert [row["문장"] for row in open_table(path, "--input").rows] == ["좋다", 119]
    two = workbook(tmp_path / "b.xlsx", {"A": rows, "B": [["문장", "감정"], ["나쁘다", 0]]})
    assert "several sheets have cells: A, B; name one with dataset.sheet" in refusal(
        lambda: built(TableDataset(path=two, text="문장", label="감정"))
    )
    chosen = TableDataset(path=two, text="문장", label="감정", sheet="B")
    assert built(chosen)["train"] == {"text": ["나쁘다"], "label": ["0"]}


def test_archives_and_other_formats_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("reviews.csv", HANGUL)
    book = workbook(tmp_path / "a.xlsx", {"A": [["text", "label"]]})
    pd.DataFrame({"text": ["가"]}).to_parquet(tmp_path / "a.parquet")
    contents = {
        "is a zip archive of reviews.csv; unpack it, and give the path of the file in it": tmp_path / "a.zip",
        'is an Excel workbook; set format = "xlsx"': book,
        'is a Parquet file; set format = "parquet"': tmp_path / "a.parquet",
        "is a web page; download the file itself": write(tmp_path, "a.html", "<!DOCTYPE html><p>"),
    }
    for message, path in contents.items():
        for encoding in ("utf-8-sig", "cp949"):
            found = problems(TableDataset(path=path, format="csv", encoding=encoding))
            assert found == [f"path: {path}: {message}"]
        renamed = write(tmp_path, "renamed.csv", path.read_bytes())
        expected = message.split(";")[0]
        assert refusal(lambda: open_table(renamed, "--input")).startswith(f"{renamed}: {expected}")  # noqa: B023


# --- formats ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["array", "wrapped", "lines"])
def test_json_files_of_every_shape(tmp_path: Path, shape: str) -> None:
    rows = [{"guid": f"y{n}", "title": f"제목 {n}", "label": n % 2, "annotations": {"a": [1]}} for n in range(2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    texts = {"array": json.dumps(rows, indent=2), "wrapped": json.dumps({"info": {}, "data": rows}), "lines": lines}
    path = write(tmp_path, "train.json", texts[shape])
    assert built(TableDataset(path=path, text="title"))["train"] == {"text": ["제목 0", "제목 1"], "label": ["0", "1"]}
    assert [row["title"] for row in open_table(path, "--input").rows] == ["제목 0", "제목 1"]


def test_a_json_array_that_is_taken_for_lines_names_the_format(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '[\n{"text": "가"}]')
    message = refusal(lambda: built(TableDataset(path=path, format="jsonl")))
    assert message.endswith('for an array of objects set format = "json"')
    path = write(tmp_path, "a.json", '{"a": [{"x": 1}], "b": [{"x": 1}]}')
    assert "it has arrays of objects under a, b; write one array into a file" in refusal(
        lambda: built(TableDataset(path=path))
    )


def test_files_with_and_without_header_stand_side_by_side(tmp_path: Path) -> None:
    train = write(tmp_path, "train.tsv", "comments\tbias\n가\tnone\n나\tgender\n")
    bare = write(tmp_path, "unlabeled.txt", "다\n라\n")
    files = {"train": train, "unlabelled": bare, "text": "comments", "label": "bias"}
    message = refusal(lambda: built(TableDataset(**files)))
    assert message.endswith("if the file has no header, set header.unlabelled = false and columns.unlabelled = [...]")
    for columns in ({"unlabelled": ("comments",)}, ("comments",)):
        options = TableDataset(**files, header={"unlabelled": False}, columns=columns)
        assert problems(options) == []
        assert built(options) == {
            "train": {"text": ["가", "나"], "label": ["none", "gender"]},
            "unlabelled": {"text": ["다", "라"]},
        }
    assert problems(TableDataset(**files, header={"unlabelled": False})) == [
        "columns: a file without header needs the names of its columns"
    ]


def test_rows_with_named_labels_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [(f"글 {n}", ("-", "a", "b", "")[n % 4]) for n in range(80)]
    rows[5] = ("글", "c")
    path = write(tmp_path, "a.csv", table(rows))
    options = TableDataset(path=path, leave_out=("-", ""), label_names={"a": "A", "b": "B"})
    message = refusal(lambda: prepared(options))
    assert message == f"{path}: data row 6: label 'c' is not in label_names (a, b)"
    data = prepared(TableDataset(path=path, leave_out=("-", "", "c")))
    assert data.labels == ("a", "b")
    assert data.record["source"]["read"] == {
        'rows with the label "-" left out': 20,
        'rows with the label "" left out': 20,
        'rows with the label "c" left out': 1,
    }
    labels = Labels(LABEL, SingleLabel(), {}, "ab", False, frozenset(["-"]))
    assert labels.of([{"label": "-"}, {"label": "a"}], "a.csv", 1) == [LEFT_OUT, "a"]
    assert labels.check(open_table(write(tmp_path, "b.csv", table(rows[:3])), "--data"), "a, b") == {}


# --- names a Mac wrote --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "given"), [(NFD, str), (str, NFD)])
def test_paths_compare_composed(tmp_path: Path, stored: Any, given: Any) -> None:
    path = write(tmp_path, stored("감성/학습.csv"), HANGUL)
    options = TableDataset(path=tmp_path / given("감성/학습.csv"))
    assert options.path == path
    assert built(options)["train"]["label"] == ["긍정", "부정"]
    assert len(list(open_table(tmp_path / given("감성") / given("학습.csv"), "--input").rows)) == 2
    assert TableDataset(path=tmp_path / given("감성/없다.csv")).path.parent == path.parent
