"""Tables read row by row, so that a file may be larger than memory."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kexp.errors import DataError, KexpError
from kexp.files import (
    FLAGS,
    FORMATS,
    decoded,
    delimited_rows,
    json_objects,
    lines_of,
    need_distinct,
    parquet_errors,
)
from kexp.inference.columns import FileFormat

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

CHUNK_ROWS = 10_000
CHUNK_CHARACTERS = 20_000_000
"""What is held in memory at once: so many rows, fewer where they are long."""


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
    """Return the format that a file's name implies: csv, tsv, jsonl or parquet."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise KexpError(f"{option} {path}: expected a name that ends in {', '.join(FORMATS)}") from None


def open_table(path: Path, option: str, style: FileFormat | None = None) -> Table:
    """Open a CSV, TSV, JSONL or Parquet file, written in this style."""
    style = style or FileFormat()
    encoding = style.encoding
    kind = format_of(path, option)
    if not path.is_file():
        raise DataError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
    if kind == "parquet":
        return _parquet(path)
    try:
        "".encode(encoding)
    except LookupError:
        raise KexpError(f'--encoding {encoding}: Python knows none of that name; try "utf-8" or "cp949"') from None
    if kind == "jsonl":
        return _jsonl(path, lines_of(path, encoding, FLAGS, newline="\n"))
    return _delimited(path, lines_of(path, encoding, FLAGS), "\t" if kind == "tsv" else ",", style)


def read_lines(stream: IO[bytes], source: str) -> Table:
    """Read a text per line as a table with the column text; an empty line is an empty text."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="\n")
    rows = ({"text": line.rstrip("\r\n")} for line in decoded(text, source, "utf-8", FLAGS))
    return Table(source, ["text"], rows)


def _delimited(path: Path, lines: Iterator[str], separator: str, style: FileFormat) -> Table:
    quoting = style.quoting is not False
    rows = delimited_rows(path, lines, style.separator or separator, quoting=quoting, remedies=FLAGS)
    first = next(rows, [])
    columns = [cell.strip() for cell in first]
    if columns in ([], [""]):
        raise DataError(f"{path}: the file is empty")
    if not style.header:
        rows = itertools.chain([first], rows)
        names = list(style.columns or map(str, range(len(first))))
        if len(names) != len(columns):
            found = f"found {len(columns)} columns, expected {len(names)}: {', '.join(names)}"
            raise DataError(f"{path}: {found}; name them with --columns, or use --header")
        columns = names
    need_distinct(path, columns)
    return Table(str(path), columns, (dict(zip(columns, cells, strict=True)) for cells in rows))


def _jsonl(path: Path, lines: Iterator[str]) -> Table:
    rows = json_objects(path, lines)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    return Table(str(path), list(first), itertools.chain([first], rows))


def _parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    with parquet_errors(path):
        file = pq.ParquetFile(path)

    def rows() -> Iterator[Row]:
        with parquet_errors(path), file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()

    columns = list(file.schema_arrow.names)
    need_distinct(path, columns)
    return Table(str(path), columns, rows(), file.schema_arrow)
