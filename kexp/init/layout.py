"""How a table lies in its file: format, encoding, separator, quotation marks and header, found by trying."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kexp.errors import DataError
from kexp.files import KEYS, Layout, encoding_of, format_by_bytes, format_of, open_table
from kexp.files.text import lines_of
from kexp.names import plain_name

LOOKED_AT = 100_000
"""Rows of a file that are held; of one with more, every second or fourth ..., so that a sorted one is seen whole."""
SEPARATORS = (",", "\t", ";", "|")
FEW = 50
"""Distinct values of a column up to which one that stands in the first row is taken for a value, not for a name."""

Row = dict[str, Any]

_REMEDIES = replace(KEYS, sheet="name one with --sheet, or save it alone")


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table as it was found. ``rows`` are every ``stride``-th one of its ``count`` rows."""

    path: Path
    layout: Layout
    columns: Sequence[str]
    rows: Sequence[Row]
    count: int
    stride: int = 1


def find_table(path: Path, sheet: str | None = None) -> FoundTable:
    """Find how a file is read, and read its rows.

    Raises ``DataError`` for a file that kexp cannot read in any layout, with what stands in the way of the likeliest.
    """
    errors: list[DataError] = []
    passable: tuple[Layout, list[list[Any]]] | None = None
    for layout in _layouts(path, sheet):
        try:
            table = open_table(path, layout, _REMEDIES)
            rows = [list(row.values()) for row in _spread(table.rows)[0]]
        except DataError as error:
            errors.append(error)
            continue
        if _is_delimited(layout) and not _is_quoted_right(layout, rows, table.warnings):
            passable = passable or (layout, rows)
            continue
        return _with_header(path, layout, rows)
    if passable is not None:
        return _with_header(path, *passable)
    raise errors[0]


def _layouts(path: Path, sheet: str | None) -> Iterator[Layout]:
    """Yield the layouts that a file may have, the likeliest first, as if it had no header."""
    named, by_bytes = format_of(path), format_by_bytes(path)
    # An object per line is read as JSON too, whatever it is called.
    kind = named if by_bytes is None or (named, by_bytes) == ("json", "jsonl") else by_bytes
    if sheet is not None and kind != "xlsx":
        raise DataError(f"{path}: it has no sheets, as an Excel workbook has; leave out --sheet")
    if kind in ("parquet", "xlsx"):
        yield Layout(kind, header=kind == "parquet", sheet=sheet)
        return
    encoding = encoding_of(path)
    plain = Layout(kind or "csv", encoding="utf-8-sig" if encoding == "utf-8" else encoding, header=False)
    if kind in ("json", "jsonl"):
        yield replace(plain, header=True)
        return
    default = "\t" if kind == "tsv" else ","
    first = next((line for line in lines_of(path, plain.encoding) if line.strip()), "")
    separators = sorted((mark for mark in SEPARATORS if mark in first), key=lambda mark: mark != default)
    # A text per line may have any mark but a tab in it.
    lines = [default] if not separators or (default == "\t" and default not in separators) else []
    for separator in (*separators, *lines):
        own = replace(plain, separator=None if separator == default else separator)
        # Quotation marks enclose cells in CSV, and are characters in TSV, unless the spec says otherwise.
        yield own
        yield replace(own, quoting=separator == "\t")
        yield replace(own, quoting=True, escape="\\")


def _spread(rows: Iterable[Row]) -> tuple[list[Row], int]:
    """Return rows from everywhere in a table, the first one among them, and how far they are from each other."""
    kept: list[Row] = []
    stride = 1
    for number, row in enumerate(rows):
        if number % stride == 0:
            kept.append(row)
        if len(kept) > LOOKED_AT:
            kept, stride = kept[::2], 2 * stride
    return kept, stride


def _is_delimited(layout: Layout) -> bool:
    return layout.format in ("csv", "tsv")


def _is_quoted_right(layout: Layout, rows: Sequence[Sequence[Any]], warnings: Sequence[str]) -> bool:
    """Return whether the cells are not in quotation marks that are read as characters."""
    names = [str(value) for value in rows[0]] if rows else []
    quoted = all(len(name) > 1 and name[0] == name[-1] == '"' for name in names)
    return not quoted and not any("in quotation marks" in warning for warning in warnings)


def _with_header(path: Path, layout: Layout, rows: Sequence[Sequence[Any]]) -> FoundTable:
    """Return the table with its names, or with numbered ones where the first row is one of the rows."""
    header = layout.header or _has_names(rows)
    if header and _is_title(rows):
        finding = "the first line has one cell, where others have more"
        raise DataError(f"{path}: {finding}; delete a title above the names of the columns, or name every column")
    columns = None if header else tuple(f"column{number}" for number in range(1, len(rows[0]) + 1))
    layout = replace(layout, header=header, columns=columns)
    table = open_table(path, layout)
    found, stride = _spread(table.rows)
    if not found:
        raise DataError(f"{path}: it has columns ({', '.join(table.columns)}) and no rows")
    return FoundTable(path, layout, table.columns, found, table.counts["rows"], stride)


def _has_names(rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether the first of the rows holds the names of the columns."""
    if len(rows) < 2:
        return True
    first = [plain_name("" if value is None else str(value)) for value in rows[0]]
    if first == [str(number) for number in range(len(first))]:
        # What pandas writes for a table whose columns have no names.
        return True
    if any(_is_number(name) for name in first) or _is_a_sentence(first, rows[1:]):
        return False
    columns = zip(first, map(_few_values, zip(*rows[1:], strict=True)), strict=True)
    # One name may be a value by chance, as "hate" is one of three degrees of hate.
    repeated = [name in values for name, values in columns if values]
    return not repeated or not all(repeated)


def _is_title(rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether the first row has one cell, and most others have more."""
    filled = [sum(value not in (None, "") for value in row) for row in rows[:1000]]
    return filled[0] == 1 and sum(count > 1 for count in filled[1:]) * 2 > len(filled) - 1


def _is_number(name: str) -> bool:
    return name.replace(".", "", 1).removeprefix("-").isdecimal()


def _is_a_sentence(first: Sequence[str], below: Sequence[Sequence[Any]]) -> bool:
    """Return whether a cell of the first row is a text of several words, as long as the different ones below it."""
    for place, name in enumerate(first):
        texts = {str(row[place] or "") for row in below[:1000]}
        lengths = sorted(map(len, texts))
        varied = len(texts) * 2 > len(below[:1000])
        if varied and len(name.split()) > 2 and len(name) >= lengths[len(lengths) // 4] > 5:
            return True
    return False


def _few_values(column: Iterable[Any]) -> set[str]:
    """Return the values of a column that has few, each several times; empty for others."""
    counts = Counter("" if value is None else plain_name(str(value)) for value in column)
    few = len(counts) <= FEW and len(counts) * 2 <= counts.total()
    return set(counts) if few else set()
