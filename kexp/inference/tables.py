"""Tables row by row, so that a file may be larger than memory; every mistake is told with the file and the line."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kexp.errors import DataError, KexpError
from kexp.files import FORMATS, json_objects

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 20_000_000
"""What is held in memory at once: so many rows, fewer where they are long."""
LONGEST_CELL = 10_000_000
"""A cell with more characters is a quotation mark that nobody closed."""
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is read while it is used, once. ``schema`` is that of a Parquet file."""

    source: str
    columns: list[str]
    rows: Iterator[Row]
    schema: pa.Schema | None = None

    def chunks(self) -> Iterator[list[Row]]:
        """Yield the rows in order, as many at once as memory should hold."""
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
        """Refuse a table that lacks a column."""
        if column not in self.columns:
            known = ", ".join(self.columns)
            lines = "; a text per line is read from standard input" if self.source.endswith(".txt") else ""
            raise DataError(
                f"{self.source}: no column {column!r}; the columns are {known}; name one with {option}{lines}"
            )


def format_of(path: Path, option: str) -> str:
    """Return the format that a file's name tells: csv, tsv, jsonl or parquet."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise KexpError(f"{option} {path}: expected a name that ends in {', '.join(FORMATS)}") from None


def open_table(path: Path, option: str, *, encoding: str = "utf-8-sig", quoting: bool = True) -> Table:
    """Open a CSV, TSV, JSONL or Parquet file; without ``quoting``, quotation marks are ordinary characters."""
    kind = format_of(path, option)
    if not path.is_file():
        raise DataError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
    if kind == "parquet":
        return _parquet(path)
    try:
        "".encode(encoding)
    except LookupError:
        raise KexpError(f'--encoding {encoding}: Python knows none of that name; try "utf-8" or "cp949"') from None
    lines = _opened(path, encoding)
    return _jsonl(path, lines) if kind == "jsonl" else _delimited(path, lines, "\t" if kind == "tsv" else ",", quoting)


def read_lines(stream: IO[bytes], source: str) -> Table:
    """Read a text per line as a table with the column text; an empty line is an empty text."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="\n")
    rows = ({"text": line.rstrip("\r\n")} for line in _decoded(text, source, "utf-8"))
    return Table(source, ["text"], rows)


def _opened(path: Path, encoding: str) -> Iterator[str]:
    try:
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            yield from _decoded(file, str(path), encoding)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _decoded(lines: Iterable[str], source: str, encoding: str) -> Iterator[str]:
    """Refuse the first byte that the encoding does not have; Python hides such bytes in half surrogates."""
    for number, line in enumerate(lines, start=1):
        if found := _UNDECODED.search(line):
            byte = ord(found[0]) - 0xDC00
            hint = 'try --encoding "cp949"' if encoding.startswith("utf") else 'try --encoding "utf-8"'
            raise DataError(
                f"{source}: line {number}: byte 0x{byte:02x} is not {encoding}; {hint}, or convert the file"
            )
        yield line


def _delimited(path: Path, lines: Iterator[str], separator: str, quoting: bool) -> Table:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(
        lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, strict=quoting
    )
    read = _cells(path, reader, quoting)
    columns = [cell.strip() for cell in next(read, [])]
    if not columns:
        raise DataError(f"{path}: the file is empty")
    _refuse_twins(path, columns)
    return Table(str(path), columns, (dict(zip(columns, cells, strict=True)) for cells in read))


def _cells(path: Path, reader: Any, quoting: bool) -> Iterator[list[str]]:
    """Yield the cells of every row that is not blank, all as many as the first has."""
    width, line = 0, 1
    remedy = "check the separator" + (", or say --no-quoting" if quoting else "")
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                raise DataError(f"{path}: line {line}: found {len(row)} cells, expected {width}; {remedy}")
            if row:
                yield row
            line = reader.line_num + 1
    except csv.Error as error:
        endless = "end of data" in str(error) or "field limit" in str(error)
        finding = "a quotation mark is opened and never closed" if endless else str(error)
        raise DataError(f"{path}: line {line}: {finding}; say --no-quoting, or correct the file") from None


def _jsonl(path: Path, lines: Iterator[str]) -> Table:
    rows = json_objects(path, lines)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    return Table(str(path), list(first), itertools.chain([first], rows))


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def told(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: not a Parquet file: {error}") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None

    file = told(lambda: pq.ParquetFile(path))

    def rows() -> Iterator[Row]:
        with file:
            batches = file.iter_batches(batch_size=256)
            while (batch := told(lambda: next(batches, None))) is not None:
                yield from batch.to_pylist()

    columns = list(file.schema_arrow.names)
    _refuse_twins(path, columns)
    return Table(str(path), columns, rows(), file.schema_arrow)


def _refuse_twins(path: Path, columns: list[str]) -> None:
    if len(set(columns)) < len(columns):
        raise DataError(f"{path}: two columns have one name: {', '.join(columns)}")
