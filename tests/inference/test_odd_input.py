"""What people give to trained models by mistake is refused, or warned of, in place of being answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from data_files import refusal, write

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.errors import KexpError
from kexp.files import Table
from kexp.files.cells import UnreadCell
from kexp.inference.columns import TextColumns
from kexp.inference.evaluate import Labels
from kexp.inference.input_tables import FileOptions, open_table, read_input
from kexp.inference.label_columns import LabelColumns
from kexp.inference.writers import sink_to

SINGLE = TextColumns(("문장",), known=True)
SEVERAL = TextColumns(("제목", "본문"), " / ", known=True)
PAIRS = TextColumns(("제목",), pair="본문", known=True)


@pytest.mark.parametrize(
    ("columns", "rows", "pairs", "message"),
    [
        (SINGLE, "배우", None, "a text or mapping alone is no row; give a list of them"),
        (SINGLE, {"문장": "배우"}, None, "a text or mapping alone is no row; give a list of them"),
        (SINGLE, ["가"], ["나"], "the model was trained on the text column 문장, not on pairs; leave the second texts out"),
        (SEVERAL, ["가"], ["나"], "not on pairs; leave the second texts out"),
        (PAIRS, ["가", "나"], ["다"], "found 2 texts and 1 second texts, expected as many"),
        (PAIRS, [{"제목": "가"}], None, "a row has no column 본문; the model was trained on pairs"),
        (PAIRS, [("가", "나"), "다"], None, "is given one text; give the second one too"),
        (PAIRS, [("가",)], None, "expected as many texts, found 1"),
    ],
)  # fmt: skip
def test_python_refuses_rows_of_another_shape(columns: TextColumns, rows: Any, pairs: Any, message: str) -> None:
    with pytest.raises(KexpError) as caught:
        columns.texts_of(rows, pairs)
    assert message in str(caught.value)


def test_python_takes_rows_as_tuples_mappings_and_pandas_tables() -> None:
    frame = pd.DataFrame({"제목": ["가"], "본문": ["나"]})
    for rows in (frame, [("가", "나")], [{"제목": "가", "본문": "나", "n": 1}]):
        assert SEVERAL.texts_of(rows, None) == (["가 / 나"], None)
        assert PAIRS.texts_of(rows, None) == (["가"], ["나"])
    assert SINGLE.texts_of(pd.Series(["가", "나"]), None) == (["가", "나"], None)


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (
            {"text": "문장"},
            {"pair": "감정"},
            "--pair 감정: the model was trained on the text column 문장, not on pairs",
        ),
        (
            {"text": "문장"},
            {"join_with": "/"},
            "--join-with: the model was trained on the text column 문장, so nothing",
        ),
        ({"text": "t.없음"}, {}, "no column 't.없음'; the columns are t, t.문장"),
        ({"text": "문장"}, {"separator": ";;"}, "--separator ;;: expected one character"),
    ],
)
def test_files_are_refused_before_they_are_answered(
    tmp_path: Path, dataset: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, "a.jsonl", '{"t": {"문장": "가"}}\n{"t": {"문장": "나"}}\n')

    def answered() -> None:
        table, _ = read_input(path, "--input", dataset, FileOptions(**options))
        list(table.chunks())

    with pytest.raises(KexpError) as caught:
        answered()
    assert message in str(caught.value)


def test_nothing_between_columns_can_be_stated() -> None:
    assert SEVERAL.changed((), "", None).join_with == ""


def test_a_path_through_a_text_is_refused_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"t": {"a": "가"}}\n{"t": null}\n{"t": "나"}\n')
    table, _ = read_input(path, "--input", {"text": "t.a"}, FileOptions())
    assert refusal(lambda: list(table.chunks())) == (
        f"{path}: no column 't.a' in data row 3: 't' holds a string (나), expected a table"
    )


def test_remedies_are_those_of_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text;label\n가;1\n")
    found = refusal(lambda: read_input(path, "--input", {}, FileOptions()))
    assert found.endswith('if a semicolon is between the cells, use --separator ";"')
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.create_sheet("다른").append(["text"])
    book.save(tmp_path / "a.xlsx")
    found = refusal(lambda: open_table(tmp_path / "a.xlsx", "--input"))
    assert found.endswith("several sheets have cells: Sheet, 다른; save the one that is meant alone")


def test_unknown_labels_that_look_alike_are_shown_with_code_points(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n가,１\n")
    labels = Labels(LabelColumns(("label",)), SingleLabel(), {}, ("0", "1"), ignore=False)
    found = refusal(lambda: labels.check(open_table(path, "--data"), "0, 1"))
    assert 'unknown labels: "１" (1 row); the model has 0, 1; these differ: "1" (U+0031) and "１" (U+FF11)' in found


def test_a_column_of_several_types_cannot_be_parquet(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": "나"}]
    table = Table("in.jsonl", ["a"], iter(rows))
    with (
        pytest.raises(KexpError, match="a column changes its type among the rows"),
        sink_to(tmp_path / "a.parquet", table, [], force=False) as sink,
    ):
        sink.write(rows)
    assert not (tmp_path / "a.parquet").exists()
    with sink_to(tmp_path / "b.parquet", table, [], force=False) as sink:
        sink.write([{"a": "가"}, {"a": UnreadCell("an error of Excel", "#N/A")}])
    assert pd.read_parquet(tmp_path / "b.parquet")["a"].tolist() == ["가", "#N/A"]


def test_key_values_of_json_lines_keep_their_order(tmp_path: Path) -> None:
    lines = [{"문장": "가"}, {"n": 1, "문장": "나"}]
    path = write(tmp_path, "a.jsonl", "\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    table = open_table(path, "--input")
    assert table.columns == ["문장", "n"]
    assert list(table.rows) == lines
