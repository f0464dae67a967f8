"""Tables of every format, read row by row in the same way for training, prediction and measurement."""

from __future__ import annotations

import codecs
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.arrow_csv import UnsuitableError, arrow_blocks
from kexp.files.binary import parquet_errors, workbook_rows
from kexp.files.cells import listed
from kexp.files.columns import (
    cell,
    has_column,
    need_columns,
    need_distinct,
    nested_names,
    obstacle,
    rows_by_name,
    without_spacers,
)
from kexp.files.delimited import DelimitedFile, named_rows
from kexp.files.first_bytes import FLAGS, KEYS, Remedies, refuse_other_format
from kexp.files.json_rows import json_array, json_objects
from kexp.files.quotation_marks import QuotationMarks, quoted_cells
from kexp.files.text import lines_of
from kexp.names import plain_name

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Columns = Mapping[str, "list[Any] | pa.LargeStringArray"]
"""Columns of some rows: lists of cells, or Arrow arrays of texts."""

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}

HEAD = 100
"""Rows of JSON lines whose keys are looked at first."""
CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 20_000_000
"""What is held in memory at once: so many rows, fewer where they are long."""


def format_of(path: Path) -> str | None:
    """Return the format that a file's name says, without the .gz of a compressed one; None for other names."""
    name = Path(path.stem) if path.suffix.lower() == ".gz" else path
    return FORMATS.get(name.suffix.lower())


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table lies in its file: what the options of ``[dataset]`` of the same names say of one file."""

    format: str = "auto"
    separator: str | None = None
    encoding: str = "utf-8-sig"
    header: bool = True
    columns: tuple[str, ...] | None = None
    quoting: bool | None = None
    escape: str | None = None
    sheet: str | None = None

    def format_of(self, path: Path) -> str | None:
        """Return the format of a file; None if it is not given and the name does not say it."""
        return format_of(path) if self.format == "auto" else self.format


@dataclass(slots=True)
class Table:
    """A table that is read while it is used, once.

    ``schema`` is that of a Parquet file; ``counts`` of lines and rows, and ``warnings``, are complete after the last
    row.
    """

    source: str
    columns: list[str]
    rows: Iterator[Row]
    schema: pa.Schema | None = None
    counts: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    """Dotted paths that are needed."""
    arrow: Callable[[Sequence[str]], Iterator[Columns]] | None = None
    """Reads columns of the same rows as Arrow arrays, where the format has a reader that does."""

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows in order, as many at once as memory should hold.

        Raises ``DataError`` for a path that is needed and that leads through what is no table, or to nothing in the
        first rows.
        """
        first = 1
        for chunk in self._chunks():
            for path in self.paths:
                self._check_path(path, chunk, first)
            yield chunk
            first += len(chunk)

    def _check_path(self, path: str, rows: Sequence[Row], first: int) -> None:
        missing = [(number, row) for number, row in enumerate(rows, first) if cell(row, path) is None]
        for number, row in missing:
            if found := obstacle(row, path):
                raise DataError(f"{self.source}: no column {path!r} in data row {number}: {found}")
        if first == 1 and len(missing) == len(rows):
            known = ", ".join(nested_names(self.columns, rows[:100]))
            raise DataError(f"{self.source}: no column {path!r}; the columns are {known}")

    def _chunks(self) -> Iterator[list[Row]]:
        chunk: list[Row] = []
        characters = 0
        for row in self.rows:
            chunk.append(row)
            characters += sum(len(cell) for cell in row.values() if isinstance(cell, str))
            if len(chunk) >= CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
                yield chunk
                chunk, characters = [], 0
        if chunk:
            yield chunk

    def need(self, column: str, option: str) -> None:
        """Refuse a table that lacks a column; whether a dotted path leads to one is seen when the rows are read."""
        if not has_column(self.columns, column):
            lines = "; a text per line is read from standard input" if self.source.endswith(".txt") else ""
            remedy = f"name one with {option}, or, where the file has no header, all with --columns{lines}"
            need_columns(self.source, self.columns, [column], remedy, FLAGS)
        if column not in self.columns:
            self.paths.append(column)

    def read(self, names: Sequence[str], remedy: str = "") -> dict[str, list[Any]]:
        """Read whole columns, as ``read_chunks`` does."""
        values: dict[str, list[Any]] = {name: [] for name in names}
        for chunk in self.read_chunks(names, remedy):
            for name, column in values.items():
                column.extend(listed(chunk[name]))
        return values

    def read_chunks(self, names: Sequence[str], remedy: str = "") -> Iterator[Columns]:
        """Yield columns, which may be dotted paths, a stretch of rows at a time.

        Raises ``DataError`` for one that the table lacks, for a table without rows, and for a path through something
        that is no table.
        """
        need_columns(self.source, self.columns, names, remedy)
        done = 0
        if self.arrow is not None and all(name in self.columns for name in names):
            try:
                for columns in self.arrow(names):
                    done += (count := len(columns[names[0]]))
                    if count:
                        yield {name: columns[name] for name in names}
            except UnsuitableError:
                # From here on row by row; those before are read again, for what is counted and refused.
                done = sum(1 for _ in itertools.islice(self.rows, done))
            else:
                self._need_rows(done)
                return
        yield from self._read_rows(names, done)

    def _need_rows(self, count: int) -> None:
        if not count:
            raise DataError(f"{self.source}: it has columns ({', '.join(self.columns)}) and no rows")

    def _read_rows(self, names: Sequence[str], count: int) -> Iterator[Columns]:
        nested = [name for name in names if name not in self.columns]
        blocked: dict[str, str] = {}
        empty, first = set(nested), list[Row]()
        while rows := list(itertools.islice(self.rows, CHUNK_ROWS)):
            first = first or rows[:100]
            columns = {name: [cell(row, name) for row in rows] for name in names}
            for name in nested:
                values = enumerate(columns[name])
                for place in (place for place, value in values if value is None and name not in blocked):
                    if found := obstacle(rows[place], name):
                        blocked[name] = f"data row {count + place + 1}: {found}"
                if any(value is not None for value in columns[name]):
                    empty.discard(name)
            count += len(rows)
            yield columns
        self._need_rows(count)
        absent = [name for name in nested if name in empty]
        if found := next((blocked[name] for name in (*absent, *blocked) if name in blocked), ""):
            name = next(name for name in blocked if blocked[name] == found)
            raise DataError(f"{self.source}: no column {name!r} in {found}; name a value that is a text or label")
        if absent:
            known = ", ".join(nested_names(self.columns, first))
            raise DataError(f"{self.source}: no column {', '.join(map(repr, absent))}; the columns are {known}")


def open_table(path: Path, layout: Layout, remedies: Remedies = KEYS) -> Table:
    """Open a table in any of the formats; raises ``DataError`` with the file and the remedy."""
    kind = layout.format_of(path)
    refuse_other_format(path, kind, remedies)
    if kind == "parquet":
        return _parquet(path)
    if kind == "xlsx":
        return _workbook(path, layout, remedies)
    codecs.lookup(layout.encoding)
    if kind == "jsonl":
        return _jsonl(path, layout, remedies)
    if kind == "json":
        return _listed(path, json_array(path, layout.encoding, remedies))
    return _delimited(path, layout, remedies, layout.separator or ("\t" if kind == "tsv" else ","))


def names_of(path: Path, layout: Layout, wanted: Iterable[str] = ()) -> list[str]:
    """Return the columns of a table, reading no more than the header where there is one.

    Rows of JSON lines may have keys of their own: where the first ones have all ``wanted`` keys, theirs are returned.
    Raises ``DataError`` as ``open_table`` does.
    """
    if layout.format_of(path) == "jsonl":
        refuse_other_format(path, "jsonl", KEYS)
        rows = itertools.islice(json_objects(path, lines_of(path, layout.encoding, newline="\n")), HEAD)
        names = list(dict.fromkeys(name for row in rows for name in row))
        if all(has_column(names, name) for name in wanted):
            return names
    return open_table(path, layout).columns


def _counted(rows: Iterable[Row], counts: Counter[str]) -> Iterator[Row]:
    for row in rows:
        counts["rows"] += 1
        yield row


def _delimited(path: Path, layout: Layout, remedies: Remedies, separator: str) -> Table:
    file = DelimitedFile(path, separator, layout.encoding, layout.quoting, layout.escape, remedies)
    names, rows = named_rows(file, layout.header, layout.columns)
    skip = file.counts["lines"] if layout.header else 0
    warnings: list[str] = []
    if not layout.header and layout.columns:
        rows = _perhaps_header(path, names, rows, warnings)
    if layout.quoting is None or file.quotes:
        rows = quoted_cells(file, names, rows, warnings)
    named = _counted(rows_by_name(path, names, rows), file.counts)
    table = Table(str(path), without_spacers(names), named, counts=file.counts, warnings=warnings)
    # A header of several lines, rows above the first one that hold white space alone, and columns without a name are
    # left to Python.
    plain = layout.escape is None and len(table.columns) == len(names) and not file.counts["merged_lines"]
    if plain and (skip or file.counts["lines"] == 1):
        table.arrow = lambda wanted: _by_arrow(file, names, skip, warnings, layout)
    return table


def _by_arrow(
    file: DelimitedFile, names: list[str], skip: int, warnings: list[str], layout: Layout
) -> Iterator[Columns]:
    """Yield the columns of a file block by block; raises ``UnsuitableError`` for what Python has to read or refuse."""
    marks, found, lines, rows = QuotationMarks(file.quotes), list[str](), 0, 0
    blocks = arrow_blocks(
        file.path, len(names), separator=file.separator, encoding=file.encoding, quotes=file.quotes, skip=skip
    )
    for count, columns in blocks:
        if _repeats_names(names, columns):
            raise UnsuitableError
        if not rows and len(columns[0]) and not layout.header and layout.columns:
            found.extend(_header_warnings(file.path, names, [column[0].as_py() for column in columns]))
        marks.add_columns(columns)
        lines, rows = lines + count, rows + len(columns[0])
        yield dict(zip(names, columns, strict=True))
    # The lines that were read before, for the names of the columns, are among them.
    file.counts.clear()
    file.counts.update(lines=lines, rows=rows)
    if layout.quoting is None or file.quotes:
        found.extend(marks.warnings(file, names))
    warnings.extend(found)


def _repeats_names(names: list[str], columns: Sequence[pa.LargeStringArray]) -> bool:
    """Return whether a row repeats the names of the columns."""
    import pyarrow.compute as pc

    if len(names) < 2:
        return False
    last = pc.equal(columns[-1], names[-1])
    rows = zip(*(column.filter(last).to_pylist() for column in columns), strict=True)
    return any(list(map(plain_name, row)) == names for row in rows)


def _perhaps_header(
    path: Path, names: list[str], rows: Iterator[list[str]], warnings: list[str]
) -> Iterator[list[str]]:
    """Yield rows, and warn of a first one that has the name of a column in it."""
    for number, row in enumerate(rows):
        if number == 0:
            warnings.extend(_header_warnings(path, names, row))
        yield row


def _header_warnings(path: Path, names: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    same = [name for name, value in zip(names, row, strict=True) if plain_name(value) == name]
    if same and len(names) > 1:
        finding = f'{path}: the first row has "{same[0]}" in the column of this name'
        yield f"{finding}; if it is a header, leave out header = false and columns"


def _jsonl(path: Path, layout: Layout, remedies: Remedies) -> Table:
    def rows() -> Iterator[Row]:
        return json_objects(path, lines_of(path, layout.encoding, remedies, newline="\n"), remedies)

    # Rows may have keys that the first one lacks, so all of them are read for the names alone.
    columns = list(dict.fromkeys(name for row in rows() for name in row))
    if not columns:
        raise DataError(f"{path}: the file is empty")
    counts: Counter[str] = Counter()
    return Table(str(path), columns, _counted(rows(), counts), counts=counts)


def _listed(path: Path, rows: list[Row]) -> Table:
    counts: Counter[str] = Counter()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return Table(str(path), columns, _counted(rows, counts), counts=counts)


def _parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    with parquet_errors(path):
        file = pq.ParquetFile(path)
    names = [plain_name(name) for name in file.schema_arrow.names]
    need_distinct(path, names)

    def rows() -> Iterator[Row]:
        with parquet_errors(path), file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.rename_columns(names).to_pylist()

    def by_arrow(wanted: Sequence[str]) -> Iterator[Columns]:
        import pyarrow as pa

        given = dict(zip(names, file.schema_arrow.names, strict=True))
        if any("." in given[name] for name in wanted):
            # A dot may be that of a path to Arrow, or of a name.
            raise UnsuitableError
        with parquet_errors(path), file:
            for batch in file.iter_batches(CHUNK_ROWS, columns=[given[name] for name in wanted]):
                counts["rows"] += len(batch)
                columns = {name: batch.column(given[name]) for name in wanted}
                # Texts; anything else is told or converted cell by cell.
                texts = {name for name, of in columns.items() if of.type in (pa.string(), pa.large_string())}
                yield {
                    name: of.cast(pa.large_string()) if name in texts else of.to_pylist()
                    for name, of in columns.items()
                }

    counts: Counter[str] = Counter()
    schema = file.schema_arrow
    renamed = schema if names == schema.names else schema.empty_table().rename_columns(names).schema
    return Table(str(path), names, _counted(rows(), counts), renamed, counts, arrow=by_arrow)


def _workbook(path: Path, layout: Layout, remedies: Remedies) -> Table:
    rows = workbook_rows(path, layout.sheet, remedies)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    if layout.header:
        names = ["" if value is None else plain_name(str(value)) for value in first]
        below = rows
    else:
        names = list(layout.columns or map(str, range(len(first))))
        below = (row for rest in ([first], rows) for row in rest)
    if len(names) != len(first):
        raise DataError(f"{path}: found {len(first)} columns, expected {len(names)}: {', '.join(names)}")
    need_distinct(path, names)
    counts: Counter[str] = Counter()
    named = _counted(rows_by_name(path, names, below), counts)
    return Table(str(path), without_spacers(names), named, counts=counts)
