"""Tables on disk: every text arrives as it stands, and every mistake is told with the file, the line and the remedy."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kexp.errors import DataError
from kexp.files import (
    FLAGS,
    DelimitedFile,
    Layout,
    need_columns,
    open_table,
    read_delimited,
    read_text,
)

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NSMC = 'id\tdocument\tlabel\n1\t"좋아\t1\n2\t나쁨\t0\n3\t"다" 좋음\t1\n'


def write(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def rows(frame: pd.DataFrame) -> list[list[str]]:
    return frame.to_numpy().tolist()


def read_jsonl(path: Path) -> list[dict]:
    return list(open_table(path, Layout("jsonl")).rows)


def read_parquet(path: Path) -> list[dict]:
    return list(open_table(path, Layout("parquet")).rows)


def refusal(call) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


# --- CSV and TSV -----------------------------------------------------------------------------------------------------


def test_csv_cells_are_strings_under_the_header_names(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n안녕,01\n1.50,2\n")
    frame = read_delimited(path)
    assert list(frame.columns) == ["text", "label"]
    assert rows(frame) == [["안녕", "01"], ["1.50", "2"]]
    assert list(frame.index) == [0, 1]


def test_tsv_keeps_commas_and_inner_spaces(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\tlabel\n가, 나  다\t 1\n")
    assert rows(read_delimited(path, separator="\t")) == [["가, 나  다", " 1"]]


def test_words_that_pandas_takes_for_missing_stay_texts(tmp_path: Path) -> None:
    words = ["NA", "null", "nan", "None", "N/A", "-", "", "#N/A"]
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"{word},1\n" for word in words))
    frame = read_delimited(path)
    assert frame["text"].tolist() == words
    assert not frame.isna().any(axis=None)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_of_either_system_and_no_last_newline(tmp_path: Path, newline: str) -> None:
    path = write(tmp_path, "a.csv", newline.join(["text,label", "가,1", "나,0"]))
    assert rows(read_delimited(path)) == [["가", "1"], ["나", "0"]]


def test_characters_that_only_unicode_counts_as_line_ends_do_not_end_a_row(tmp_path: Path) -> None:
    texts = ["가\u2028나", "가\x85나", "가\x0c나", "가\x0b나"]
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"{text},1\n" for text in texts))
    assert read_delimited(path)["text"].tolist() == texts
    assert read_delimited(path, quoting=False)["text"].tolist() == texts


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n\n가,1\n\n\n나,0\n\n")
    assert rows(read_delimited(path)) == [["가", "1"], ["나", "0"]]


def test_utf8_is_read_with_and_without_byte_order_mark(tmp_path: Path) -> None:
    content = "text,label\n안녕,1\n"
    for name, encoding in (("plain.csv", "utf-8"), ("marked.csv", "utf-8-sig")):
        frame = read_delimited(write(tmp_path, name, content, encoding))
        assert list(frame.columns) == ["text", "label"]
        assert rows(frame) == [["안녕", "1"]]


def test_cp949_is_read_when_it_is_stated(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n똠방각하,1\n", "cp949")
    assert rows(read_delimited(path, encoding="cp949")) == [["똠방각하", "1"]]


def test_quoted_cells_may_hold_separators_quotes_and_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"가, ""나""",1\n"한 줄\n두 줄",0\n')
    assert rows(read_delimited(path)) == [['가, "나"', "1"], ["한 줄\n두 줄", "0"]]


def test_without_quoting_quotation_marks_are_characters(tmp_path: Path) -> None:
    path = write(tmp_path, "nsmc.tsv", NSMC)
    frame = read_delimited(path, separator="\t", quoting=False)
    assert rows(frame) == [["1", '"좋아', "1"], ["2", "나쁨", "0"], ["3", '"다" 좋음', "1"]]


def test_a_quotation_mark_that_nothing_closes_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "nsmc.tsv", 'id\tdocument\tlabel\n1\t좋아\t1\n2\t"나쁨\t0\n3\t음\t1\n')
    message = refusal(lambda: read_delimited(path, separator="\t", quoting=True))
    assert (
        message
        == f"{path}: line 3: a quotation mark is opened and never closed; set quoting = false, or correct the file"
    )


def test_text_after_a_closing_quotation_mark_is_refused_instead_of_losing_the_marks(tmp_path: Path) -> None:
    path = write(tmp_path, "nsmc.tsv", 'id\tdocument\tlabel\n1\t좋아\t1\n2\t"다" 좋음\t1\n')
    message = refusal(lambda: read_delimited(path, separator="\t", quoting=True))
    assert message.startswith(f"{path}: line 3: ")
    assert message.endswith("text follows a closing quotation mark; set quoting = false, or correct the file")


@PATIENT
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=2, max_size=2),
        min_size=1,
        max_size=8,
    )
)
def test_what_the_csv_writer_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, table) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["text", "label"], *table])
    path = write(tmp_path_factory.mktemp("csv"), "a.csv", buffer.getvalue())
    assert rows(read_delimited(path)) == table


def test_a_file_without_header_takes_its_names_from_the_options(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "가,1\n나,0\n")
    frame = read_delimited(path, header=False, columns=("text", "label"))
    assert list(frame.columns) == ["text", "label"]
    assert rows(frame) == [["가", "1"], ["나", "0"]]


def test_names_of_columns_that_are_too_few_are_refused_with_both_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "가,1\n나,0\n")
    message = refusal(lambda: read_delimited(path, header=False, columns=("text",)))
    assert message == f"{path}: found 2 columns, expected 1: text"


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label,text\n가,1,나\n")
    assert refusal(lambda: read_delimited(path)) == f"{path}: two columns have one name: text, label, text"


def test_a_reader_of_rows_words_its_remedy_as_its_caller_does(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n가,1\n"나,0\n')
    rows = DelimitedFile(path, encoding="utf-8", remedies=FLAGS).rows()
    assert [next(rows), next(rows)] == [["text", "label"], ["가", "1"]]
    message = refusal(lambda: next(rows))
    assert (
        message == f"{path}: line 3: a quotation mark is opened and never closed; use --no-quoting, or correct the file"
    )
    assert refusal(lambda: read_delimited(path)) == message.replace("use --no-quoting", "set quoting = false")


def test_a_file_in_utf16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"\xff\xfe\x00\xd8")
    message = refusal(lambda: read_delimited(path, encoding="utf-16"))
    assert message.startswith(f"{path}: is not utf-16: ")
    assert message.endswith("the file is neither UTF-8 nor cp949; convert it to UTF-8")


@pytest.mark.parametrize("quoting", [True, False])
def test_a_row_with_too_many_cells_is_told_with_its_line(tmp_path: Path, quoting: bool) -> None:
    path = write(tmp_path, "a.csv", "text,label\n가,1\n나,다,0\n라,1\n")
    message = refusal(lambda: read_delimited(path, quoting=quoting))
    assert message.startswith(f"{path}: line 3: found 3 cells, expected 2; ")
    assert "check the separator" in message


@pytest.mark.parametrize("quoting", [True, False])
def test_a_row_with_too_few_cells_is_told_with_its_line(tmp_path: Path, quoting: bool) -> None:
    path = write(tmp_path, "a.csv", "text,label\n가,1\n나\n라,1\n")
    message = refusal(lambda: read_delimited(path, quoting=quoting))
    assert message.startswith(f"{path}: line 3: found 1 cell")
    assert "expected 2; check the separator" in message


def test_a_header_longer_than_the_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label,extra\n가,1\n나,0\n")
    assert refusal(lambda: read_delimited(path)).startswith(f"{path}: line 2: found 2 cells, expected 3; ")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    # The bad row stands in line 6: a cell of two lines and a blank line stand before it.
    path = write(tmp_path, "a.csv", 'text,label\n"한 줄\n두 줄",1\n\n가,0\n나,다,라\n')
    assert refusal(lambda: read_delimited(path)).startswith(f"{path}: line 6: found 3 cells, expected 2; ")


def test_a_wrong_separator_shows_as_one_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text\tlabel\n가\t1\n")
    frame = read_delimited(path)
    message = refusal(lambda: need_columns(path, list(frame.columns), ["text", "label"]))
    assert message == (
        f"{path}: no column 'text', 'label'; the only column is 'text\\tlabel'; "
        'if a tab is between the cells, set separator = "\\t"'
    )


def test_present_columns_are_not_refused() -> None:
    need_columns("a.csv", ["text", "label"], ["label"])
    assert refusal(lambda: need_columns("a.csv", ["text"], ["label"])) == (
        "a.csv: no column 'label'; the columns are text"
    )


# --- files that are no text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_delimited, read_jsonl, read_text])
@pytest.mark.parametrize("content", [b"", b" \n\n\t"])
def test_an_empty_file_is_refused(tmp_path: Path, read, content: bytes) -> None:
    path = write(tmp_path, "a.csv", content)
    assert refusal(lambda: read(path)) == f"{path}: the file is empty"


def test_a_file_of_a_byte_order_mark_alone_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"\xef\xbb\xbf\n")
    assert refusal(lambda: read_delimited(path)) == f"{path}: the file is empty"


@pytest.mark.parametrize("read", [read_delimited, read_jsonl, read_parquet])
def test_a_missing_file_is_told_as_missing(tmp_path: Path, read) -> None:
    path = tmp_path / "none.csv"
    assert refusal(lambda: read(path)) == f"{path}: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (read_delimited, "text,label\nabc,1\n안녕,0\n"),
        (read_jsonl, '{"text": "a"}\n{"text": "b"}\n{"text": "안녕"}\n'),
        (read_text, "text\n\n안녕\n"),
    ],
)
def test_bytes_of_another_encoding_are_reported_with_their_line_and_the_remedy(
    tmp_path: Path, read, content: str
) -> None:
    path = write(tmp_path, "a.csv", content, "cp949")
    message = refusal(lambda: read(path))
    assert message == (f'{path}: line 3: byte 0xbe is not utf-8-sig; the file is cp949; set encoding = "cp949"')


def test_utf8_read_as_cp949_suggests_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text\n좋아\n")
    assert refusal(lambda: read_text(path, "cp949")) == f'{path}: is UTF-8, not cp949; set encoding = "utf-8"'


# --- JSON lines ------------------------------------------------------------------------------------------------------


def test_json_lines_keep_strings_and_numbers(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.jsonl", '{"text": "NA", "label": 1}\n\n{"text": "", "label": 0}\n{"text": "null", "label": 2}'
    )
    expected = [{"text": "NA", "label": 1}, {"text": "", "label": 0}, {"text": "null", "label": 2}]
    assert read_jsonl(path) == expected


def test_json_strings_may_hold_what_only_unicode_counts_as_a_line_end(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "가\u2028나\x85다"}\n{"text": "라"}\n')
    assert read_jsonl(path) == [{"text": "가\u2028나\x85다"}, {"text": "라"}]


def test_a_bad_json_line_is_told_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "가"}\n\n{"text": "나"\n')
    assert refusal(lambda: read_jsonl(path)) == (f"{path}: line 3, column 13: not valid JSON: Expecting ',' delimiter")


def test_a_json_line_that_is_no_object_is_told_with_what_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "가"}\n["나"]\n')
    assert refusal(lambda: read_jsonl(path)) == f'{path}: line 2: expected an object, found ["나"]'


def test_half_a_surrogate_pair_in_json_is_told_with_its_line(tmp_path: Path) -> None:
    # Cutting a string in a language of 16-bit characters leaves half an emoji behind.
    path = write(tmp_path, "a.jsonl", '{"text": "가"}\n{"text": "나 \\ud83d"}\n')
    message = refusal(lambda: read_jsonl(path))
    assert message.startswith(f"{path}: line 2: ")
    assert "surrogate" in message


def test_whole_surrogate_pairs_in_json_are_characters(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", json.dumps({"text": "좋아 😀"}))
    assert "\\ud83d" in path.read_text()
    assert read_jsonl(path) == [{"text": "좋아 😀"}]


# --- Parquet ---------------------------------------------------------------------------------------------------------


def test_parquet_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = pd.DataFrame({"text": ["가", "NA", ""], "label": [1, 0, 2]})
    path = tmp_path / "a.parquet"
    written.to_parquet(path)
    assert read_parquet(path) == written.to_dict("records")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"text,label\n", "is not a Parquet file by its first bytes; if it is CSV, set format"),
        (b"PAR1 and nothing more PAR1", "not a Parquet file: "),
    ],
)
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path, "a.parquet", content)
    assert refusal(lambda: read_parquet(path)).startswith(f"{path}: {message}")
