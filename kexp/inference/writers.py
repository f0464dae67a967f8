"""Writing tables row by row, in the formats that are read; a file appears under its name when it is whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from kexp.atomic_files import replacing
from kexp.background import one_behind
from kexp.errors import KexpError, reason_and_remedy
from kexp.files import FORMATS, format_of
from kexp.files.cells import UnreadCell
from kexp.inference.column_texts import distinct_texts, joined, shortest_texts, six_digits
from kexp.inference.input_tables import Row, Table
from kexp.report.run_folder import finite

if TYPE_CHECKING:
    import pyarrow as pa


WRITTEN = ("csv", "tsv", "jsonl", "parquet")
Added = tuple[str, bool]
"""The name of a column that is written beside those that were read, and whether it holds numbers."""


Values = Sequence["pa.Array"]
"""The added columns of some rows, in their order: Arrow arrays of strings or of 64-bit floats."""


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[Row], values: Values = ()) -> None:
        """Write some rows, with the cells of the added columns; no rows write the header alone."""


class Delimited:
    """CSV or TSV, quoted where it must be; what is missing is an empty cell."""

    def __init__(self, stream: IO[str], table: Table, added: Sequence[Added], separator: str) -> None:
        self.stream, self.columns, self.added, self.separator = stream, table.columns, added, separator
        self.begun = False

    def write(self, rows: Sequence[Row], values: Values = ()) -> None:
        """Write some rows, below the names of the columns."""
        _refuse_others(rows, self.columns)
        if not self.begun:
            self.stream.writelines(self._lines([[*self.columns, *(name for name, _ in self.added)]]))
            self.begun = True
        cells = ([_plain(row.get(name)) for name in self.columns] for row in rows)
        if not self.added:
            self.stream.writelines(self._lines(cells))
            return
        lines = (line[:-1] for line in self._lines([*row, ""] for row in cells))
        before = ["", *[self.separator] * (len(self.added) - 1)]
        # Enough digits to read and to compare; the other formats keep every one.
        texts = _texts(self.added, values, six_digits, self._quoted)
        self.stream.writelines(_ended(lines, texts, before, "", "\n"))

    def _quoted(self, text: str) -> str:
        return self._lines([[text, ""]])[0][:-2]

    def _lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        lines = _Lines()
        csv.writer(lines, delimiter=self.separator, lineterminator="\n").writerows(rows)
        return lines


class _Lines(list[str]):
    """Keeps lines that are written to it."""

    def write(self, line: str) -> None:
        self.append(line)


def _texts(
    added: Sequence[Added],
    values: Values,
    of_numbers: Callable[[pa.DoubleArray], pa.LargeStringArray],
    of_text: Callable[[str], str],
) -> Iterator[pa.LargeStringArray]:
    """Yield the texts of the cells of each column; numbers of all columns are written at once, which saves time."""
    import pyarrow as pa

    numbers = [column for (_, number), column in zip(added, values, strict=True) if number]
    written, at = of_numbers(pa.concat_arrays([pa.array([], pa.float64()), *numbers])), 0
    for (_, number), column in zip(added, values, strict=True):
        if number:
            yield written.slice(at, len(column))
            at += len(column)
        else:
            yield distinct_texts(column, of_text)


def _ended(
    lines: Iterable[str],
    cells: Iterable[pa.LargeStringArray],
    before: Iterable[str],
    missing: str,
    end: str,
) -> list[str]:
    """Return lines with further cells, each after the text ``before`` it, and the end of every line."""
    import pyarrow as pa

    parts = [part for pair in zip(before, cells, strict=True) for part in pair]
    return joined([pa.array(lines, pa.large_string()), *parts, end], missing).to_pylist()  # type: ignore[no-any-return]


def _plain(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | list | dict) else str(value)


class JsonLines:
    """One JSON object per row."""

    def __init__(self, stream: IO[str], added: Sequence[Added] = ()) -> None:
        self.stream, self.added = stream, added

    def write(self, rows: Sequence[Row], values: Values = ()) -> None:
        """Write some rows, each with the keys that it has."""
        lines = map(self._line, rows)
        if not self.added:
            self.stream.writelines(f"{line}\n" for line in lines)
            return
        begun = (f"{line[:-1]}{', ' if len(line) > 2 else ''}" for line in lines)
        keys = [f"{', ' if place else ''}{_encode(name)}: " for place, (name, _) in enumerate(self.added)]
        texts = _texts(self.added, values, _finite_texts, _encode)
        self.stream.writelines(_ended(begun, texts, keys, "null", "}\n"))

    def _line(self, row: Row) -> str:
        try:
            return _encode(row)
        # What is not finite is null, for which JSON has no other word; keys may be of any type.
        except (ValueError, TypeError):
            return json.dumps(finite(row), ensure_ascii=False, default=str)


def _other(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


_encode = json.JSONEncoder(ensure_ascii=False, default=_other, allow_nan=False).encode


def _finite_texts(numbers: pa.DoubleArray) -> pa.LargeStringArray:
    import pyarrow.compute as pc

    return shortest_texts(pc.if_else(pc.is_finite(numbers), numbers, None))


class Parquet:
    """Parquet: with the types of the Parquet file that was read, else those of the first rows."""

    def __init__(self, path: Path, table: Table, added: Sequence[Added]) -> None:
        self.path, self.table, self.added = path, table, added
        self.writer: Any = None
        self.schema: pa.Schema | None = None

    def write(self, rows: Sequence[Row], values: Values = ()) -> None:
        """Write some rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if any(type(value) is UnreadCell for row in rows for value in map(row.get, self.table.columns)):
            rows = [{name: _readable(value) for name, value in row.items()} for row in rows]
        try:
            if self.schema is None or self.writer is None:
                self.schema = self._schema(rows)
                self.writer = pq.ParquetWriter(self.path, self._with_added(self.schema))
            _refuse_others(rows, self.schema.names)
            read = pa.Table.from_pylist(rows, schema=self.schema)
            self.writer.write_table(
                pa.Table.from_arrays([*read.columns, *values], schema=self._with_added(self.schema))
            )
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
        return schema

    def _with_added(self, schema: pa.Schema) -> pa.Schema:
        import pyarrow as pa

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

    def write(self, rows: Sequence[Row], values: Values = ()) -> None:
        """Write some rows."""
        self.sink.write(rows, values)


MakeRows = Callable[[], tuple[Sequence[Row], Values]]


@contextmanager
def writing(sink: Sink) -> Iterator[Callable[[MakeRows], None]]:
    """Yield a function that writes the rows and added cells which another one makes, to a file in a thread of its own.

    What goes wrong there is raised by the next call, or at the end of the block.
    """

    def write(make: MakeRows) -> None:
        sink.write(*make())

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
                    yield FileSink(
                        JsonLines(stream, added) if kind == "jsonl" else Delimited(stream, table, added, separator)
                    )
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
