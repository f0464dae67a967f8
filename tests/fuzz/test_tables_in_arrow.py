"""Invented CSV and TSV: Arrow reads what Python reads, or leaves it to Python; values, counts and messages are equal."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kexp.files.arrow_csv
import kexp.files.tables
from kexp.errors import DataError
from kexp.files import Layout, open_table
from tests.fuzz.test_specs import FUZZ

PLAIN = [
    "a",
    "가",
    "나 다",
    "01",
    "NA",
    "",
    "null",
    "1.0",
    " x ",
    "x\u2028y",
    "\x0b",
    "nan",
    "é",
    "\u3000",
    "text",
    "-1",
]
QUOTED = ['"a"', '"a,b"', '"a""b"', '""', '"가"', '"a\tb"']
ODD = ['"', ' "a"', '"a" ', 'a"b', '"a\nb"', '"a\r\nb"', "\r", "\n", "\0", "\ufeff", '\\"', '"x\n가,0\ny"']
CELLS = st.one_of(*(st.sampled_from(PLAIN) for _ in range(6)), *(st.sampled_from(QUOTED) for _ in range(3)))
ENCODINGS = ["utf-8-sig", "cp949", "utf-16", "euc-kr"]


def outcome(path: Path, layout: Layout, arrow: bool) -> Any:
    try:
        table = open_table(path, layout)
        table.arrow = table.arrow if arrow else None
        return table.read(table.columns), table.counts, table.warnings
    except DataError as error:
        return str(error)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, Layout]:
    """Return the bytes of a table with how it lies in its file, now and then damaged or not as it says."""
    width, separator = draw(st.integers(1, 3)), draw(st.sampled_from([",", "\t", ";"]))
    cells = draw(st.sampled_from([CELLS, st.one_of(CELLS, CELLS, CELLS, st.sampled_from(ODD))]))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=12))
    lines = [separator.join(row) for row in [["text", "label", "c"][:width], *rows]]
    for extra in draw(st.lists(st.sampled_from(["", separator, " ", lines[0], '"a"']), max_size=2)):
        lines.insert(draw(st.integers(0, len(lines))), extra)
    text = draw(st.sampled_from(["", "\ufeff"])) + draw(st.sampled_from(["\n", "\r\n", "\n", "\r"])).join(lines)
    encoding, header = draw(st.sampled_from(ENCODINGS)), draw(st.sampled_from([True, True, False]))
    content = (text + draw(st.sampled_from(["\n", ""]))).encode(encoding, "replace")
    if draw(st.integers(0, 9)) == 0:
        content = content[: draw(st.integers(0, len(content)))] + draw(st.binary(max_size=2))
    content = gzip.compress(content) if draw(st.booleans()) else content
    names = None if header else tuple(f"column {number}" for number in range(width))
    quoting, escape = draw(st.sampled_from([None, None, True, False])), draw(st.sampled_from([None, None, None, "\\"]))
    return content, Layout("csv", separator, encoding, header, names, quoting, escape)


@pytest.mark.parametrize("block", [8, 64, 2**22])
def test_arrow_reads_what_python_reads(block: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first rows of many small blocks are read by Arrow before one is left to Python.
    monkeypatch.setattr(kexp.files.arrow_csv, "BLOCK", block)
    monkeypatch.setattr(kexp.files.arrow_csv, "LONGEST", max(2 * block, 2**10))
    monkeypatch.setattr(kexp.files.tables, "CHUNK_ROWS", 5)
    path = folder / "table.csv"

    @settings(FUZZ, max_examples=150)
    @given(file=files())
    def equal(file: tuple[bytes, Layout]) -> None:
        content, layout = file
        path.write_bytes(content)
        assert outcome(path, layout, arrow=True) == outcome(path, layout, arrow=False)

    equal()


ORDINARY = {
    "quoted": ('text,label\n"가, ""나""",1\n다,"2"\n\n"",3\n', Layout("csv"), 3),
    "of Windows": ('text\tlabel\r\n가\t1\r\n나 "다"\t\r\n', Layout("tsv"), 2),
    "without header": ("가,01\nNA,null", Layout("csv", header=False, columns=("text", "label")), 2),
    "cp949": ("text,label\n가,1\n나,2\n", Layout("csv", encoding="cp949"), 2),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_tables_are_left_to_python_nowhere(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, layout, rows = ORDINARY[name]
    path = folder / "ordinary.csv"
    path.write_bytes(content.encode(layout.encoding))
    expected = outcome(path, layout, arrow=False)
    table = open_table(path, layout)
    # Whatever asks for the rows one by one fails.
    monkeypatch.setattr(table, "rows", None)
    assert (table.read(table.columns), table.counts, table.warnings) == expected
    assert table.counts["rows"] == rows
