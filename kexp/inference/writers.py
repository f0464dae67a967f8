"""Writing tables row by row, in the formats that are read; a file appears under its name when it is whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from kexp.atomic_files import replacing
from kexp.background import one_behind
from kexp.errors import KexpError, reason_and_remedy
from kexp.files import FORMATS, format_of
from kexp.files.cells import UnreadCell
from kexp.inference.input_tables import Row, Table
from kexp.report.run_folder import finite

if TYPE_CHECKING:
    import pyarrow as pa


WRITTEN = ("csv", "tsv", "jsonl", "parquet")
Added = tuple[str, bool]
"""The name of a column that is written beside those that were read, and whether it holds numbers."""


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows; no rows write the header alone."""


class Delimited:
    """CSV or TSV, quoted where it must be; what is missing is an empty cell."""

    def __init__(self, stream: IO[str], table: Table, added: Sequence[Added], separator: str) -> None:
        self.columns = [*table.columns, *(name for name, _ in added)]
        numbers = {name for name, number in added if number}
        self.cells = [(name, _number if name in numbers else _plain) for name in self.columns]
        self.writer = csv.writer(stream, delimiter=separator, lineterminator="\n")
        self.begun = False

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows, below the names of the columns."""
        _refuse_others(rows, self.columns)
        if not self.begun:
            self.writer.writerow(self.columns)
            self.begun = True
        self.writer.writerows([write(row.get(name)) for name, write in self.cells] for row in rows)


def _number(value: float | None) -> str:
    # Enough to read and to compare; the other formats keep every digit.
    return "" if value is None else f"{value:.6g}"


def _plain(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | dict) else str(value)


class JsonLines:
    """One JSON object per row."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows, each with the keys that it has."""
        self.stream.writelines(self._line(row) + "\n" for row in rows)

    def _line(self, row: Row) -> str:
        try:
            return _encode(row)
        # What is not finite is null, for which JSON has no other word; keys may be of any type.
        except (ValueError, TypeError):
            return json.dumps(finite(row), ensure_ascii=False, default=str)


def _other(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


_encode = json.JSONEncoder(ensure_ascii=False, default=_other, allow_nan=False).encode


class Parquet:
    """Parquet: with the types of the Parquet file that was read, else those of the first rows."""

    def __init__(self, path: Path, table: Table, added: Sequence[Added]) -> None:
        self.path, self.table, self.added = path, table, added
        self.writer: Any = None
        self.schema: pa.Schema | None = None

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if any(type(value) is UnreadCell for row in rows for value in map(row.get, self.table.columns)):
            rows = [{name: _readable(value) for name, value in row.items()} for row in rows]
        try:
            if self.schema is None or self.writer is None:
                self.schema = self._schema(rows)
                self.writer = pq.ParquetWriter(self.path, self.schema)
            _refuse_others(rows, self.schema.names)
            self.writer.write_table(pa.Table.from_pylist(rows, schema=self.schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            remedy = "write JSONL, or give the column one type"
            finding = f"a column changes its type among the rows: {error}"
            raise KexpError(f"{self.table.source}: {finding}; {remedy}") from None

    def close(self) -> None:
        """Finish the file."""
        self.writer.close()

    def _schema(self, rows: Sequence[Row]) -> pa.Schema:
        import pyarrow as pa

        schema = self.table.schema
        if schema is None:
            inferred = pa.Table.from_pylist(
                [{name: row.get(name) for name in self.table.columns} for row in rows]
            ).schema
            known = {field.name: field.type for field in inferred if not pa.types.is_null(field.type)}
            schema = pa.schema([(name, known.get(name, pa.string())) for name in self.table.columns])
        for name, number in self.added:
            schema = schema.append(pa.field(name, pa.float64() if number else pa.string()))
        return schema


def _readable(value: Any) -> Any:
    return str(value) if isinstance(value, UnreadCell) else value


def _refuse_others(rows: Sequence[Row], columns: Sequence[str]) -> None:
    known = set(columns)
    for row in rows:
        if others := row.keys() - known:
            names = ", ".join(sorted(others))
            raise KexpError(f"a row has keys that are no columns: {names}; write JSONL, which can hold them")


@dataclass(frozen=True, slots=True)
class FileSink:
    """The sink of a file that nobody else writes to."""

    sink: Sink

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows."""
        self.sink.write(rows)


MakeRows = Callable[[], Sequence[Row]]


@contextmanager
def writing(sink: Sink) -> Iterator[Callable[[MakeRows], None]]:
    """Yield a function that writes the rows which another one makes, to a file in a thread of its own.

    What goes wrong there is raised by the next call, or at the end of the block.
    """

    def write(make: MakeRows) -> None:
        sink.write(make())

    if not isinstance(sink, FileSink):
        # A thread that waits for the reader of standard output could not be ended.
        yield write
        return
    with one_behind(write, "kexp writing") as leave:
        yield leave


@contextmanager
def sink_to(path: Path, table: Table, added: Sequence[Added], *, force: bool) -> Iterator[Sink]:
    """Yield a sink beside ``path`` and rename it when all is written; after an error nothing is left."""
    kind = format_of(path)
    check_free(path, force=force)
    try:
        with replacing(path) as part:
            if kind == "parquet":
                parquet = Parquet(part, table, added)
                yield FileSink(parquet)
                parquet.close()
            else:
                with part.open("w", encoding="utf-8", newline="") as stream:
                    separator = "\t" if kind == "tsv" else ","
                    yield FileSink(JsonLines(stream) if kind == "jsonl" else Delimited(stream, table, added, separator))
    except OSError as error:
        raise KexpError(f"--output {path}: cannot be written: {reason_and_remedy(error)}") from None


def check_free(path: Path, *, force: bool) -> None:
    """Refuse an output that is there already, whose folder is not, or that cannot be written row by row."""
    if path.is_dir():
        raise KexpError(f"--output {path} is a folder; expected a file name")
    if format_of(path) not in WRITTEN or path.suffix.lower() == ".gz":
        names = ", ".join(suffix for suffix, kind in FORMATS.items() if kind in WRITTEN)
        raise KexpError(f"--output {path}: expected a name that ends in {names}")
    if path.exists() and not force:
        raise KexpError(f"--output {path} exists already; --force replaces it")
    if not path.parent.is_dir():
        raise KexpError(f"--output {path}: the folder {path.parent} does not exist")
