"""CSV and TSV: cells of one width, and no row that a stray quotation mark made out of several."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.errors import DataError
from kexp.files.columns import need_distinct
from kexp.files.first_bytes import KEYS, Remedies
from kexp.files.text import lines_of
from kexp.names import plain_name

if TYPE_CHECKING:
    import pandas as pd

LONGEST_CELL = 10_000_000
"""Characters; a longer cell means that a quotation mark is never closed."""
DISTINCT = 10_000
"""Values of a column that are remembered to recognise a row inside a cell."""
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(slots=True)
class DelimitedFile:
    """A CSV or TSV file, read row by row. ``counts`` has lines and merged lines, complete when all rows were read.

    Without ``quoting``, quotation marks are ordinary characters; None is without for TSV. ``escape`` takes its meaning
    from the next separator or quotation mark, and makes n, t and r a line break, a tab and a carriage return.
    """

    path: Path
    separator: str = ","
    encoding: str = "utf-8-sig"
    quoting: bool | None = None
    escape: str | None = None
    remedies: Remedies = KEYS
    counts: Counter[str] = field(default_factory=Counter)
    _row: list[str] = field(default_factory=list)
    _others: _OtherCells | None = None

    @property
    def quotes(self) -> bool:
        """Return whether quotation marks enclose cells."""
        return self.separator != "\t" if self.quoting is None else self.quoting

    def rows(self) -> Iterator[list[str]]:
        """Yield the cells of every row that is not blank.

        Raises ``DataError`` with the line in which a row begins if it has another number of cells than the first, or
        if it swallowed others.
        """
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.reader(
            self._lines(),
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=self.quotes,
            escapechar=self.escape,
        )
        width, line = 0, 1
        try:
            for row in reader:
                width = width or len(row)
                if row and len(row) != width:
                    cells = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
                    raise self._error(line, f"found {cells}, expected {width}", width)
                if len(self._row) > 1:
                    self._check_merged(line, width)
                    self.counts["merged_lines"] += len(self._row) - 1
                if row:
                    yield row
                self._row.clear()
                line = reader.line_num + 1
        except csv.Error as error:
            raise self._error(line, _finding(str(error)), width) from None

    def _lines(self) -> Iterator[str]:
        for line in lines_of(self.path, self.encoding, self.remedies):
            self._row.append(line)
            self.counts["lines"] += 1
            yield line if self.escape is None or self.escape not in line else _unescaped(line, self.escape)

    def _error(self, line: int, finding: str, width: int) -> DataError:
        if self.quotes and self._row and self._is_quoted_whole(self._row[0].rstrip("\r\n")):
            finding = "the whole line is in quotation marks"
            return DataError(f"{self.path}: line {line}: {finding}; remove those round the lines of this file")
        return DataError(f"{self.path}: line {line}: {finding}; {self._remedy(width)}")

    def _is_quoted_whole(self, line: str) -> bool:
        """Return whether one pair of quotation marks encloses all cells of a line."""
        cells = next(csv.reader([line], delimiter=self.separator), [])
        return len(cells) == 1 and line[:1] == '"' == line[-1:] and self.separator in cells[0]

    def _remedy(self, width: int) -> str:
        quoted = any('"' in line for line in self._row)
        if self.quotes and self.escape is None and any('\\"' in line for line in self._row):
            return f"{self.remedies.escape}, or correct the file"
        if quoted and not self.quotes:
            return f"check the separator, or {self.remedies.quoted}"
        if quoted and self._other_cells().even(width):
            return f"{self.remedies.unquoted}, or correct the file"
        return "correct the quotation marks of this row" if quoted else "check the separator"

    def _check_merged(self, line: int, width: int) -> None:
        """Refuse a row of several lines that has a row of the file inside a cell."""
        parts = [part.rstrip("\r\n").split(self.separator) for part in self._row]
        whole = sum(len(part) == width for part in parts)
        if not self.quotes or width < 2 or not whole:
            return
        others = self._other_cells()
        opened = max((number for number, cell in enumerate(parts[0]) if cell.startswith('"')), default=0)
        closed = min((number for number, cell in enumerate(parts[-1]) if cell.endswith('"')), default=width)
        inside = [[*enumerate(part)] for part in parts]
        inside[0], inside[-1] = inside[0][opened + 1 :], inside[-1][:closed]
        if any(
            others.has(*cell) for part, cells in zip(parts, inside, strict=True) if len(part) == width for cell in cells
        ):
            finding = f"a quotation mark makes one row of {len(parts)} lines, {whole} of them with {width} cells"
            raise self._error(line, finding, width)

    def _other_cells(self) -> _OtherCells:
        if self._others is None:
            self._others = _OtherCells.of(lines_of(self.path, self.encoding, self.remedies), self.separator)
        return self._others


def _finding(error: str) -> str:
    if "end of data" in error or "field limit" in error:
        return "a quotation mark is opened and never closed"
    return "text follows a closing quotation mark" if "expected after" in error else error


def _unescaped(line: str, escape: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        return escape + _ESCAPED.get(found[1], found[1])

    return re.sub(re.escape(escape) + "(.)", replaced, line)


@dataclass(frozen=True, slots=True)
class _OtherCells:
    """What stands in the lines of a file that have no quotation mark: the widths, and each column's values."""

    widths: Counter[int]
    values: list[Counter[str]]

    @classmethod
    def of(cls, lines: Iterator[str], separator: str) -> _OtherCells:
        widths: Counter[int] = Counter()
        values: list[Counter[str]] = []
        for line in lines:
            cells = line.rstrip("\r\n").split(separator)
            if line.strip():
                widths[len(cells)] += 1
            if '"' in line:
                continue
            values += [Counter() for _ in cells[len(values) :]]
            for column, cell in zip(values, cells, strict=False):
                if len(column) < DISTINCT or cell in column:
                    column[cell] += 1
        return cls(widths, values)

    def even(self, width: int) -> bool:
        """Return whether every line has ``width`` cells if quotation marks are ordinary characters."""
        return set(self.widths) == {width}

    def has(self, column: int, cell: str) -> bool:
        """Return whether a cell is one of a column's repeated values, or a number among its distinct numbers."""
        if column >= len(self.values) or not cell:
            return False
        values = self.values[column]
        if values[cell] > 1:
            return True
        # Below the header, which is the first of the values.
        numbers = list(values)[1:]
        return cell.isdecimal() and len(numbers) > 1 and all(number.isdecimal() for number in numbers)


def read_delimited(
    path: Path,
    *,
    separator: str = ",",
    encoding: str = "utf-8-sig",
    header: bool = True,
    columns: Sequence[str] | None = None,
    quoting: bool | None = None,
) -> pd.DataFrame:
    """Read CSV or TSV with every cell as a string; ``columns`` names the columns of a file without header."""
    import pandas as pd

    names, rows = named_rows(DelimitedFile(path, separator, encoding, quoting), header, columns)
    return pd.DataFrame(list(rows), columns=names, dtype="str")


def named_rows(
    file: DelimitedFile, header: bool, columns: Sequence[str] | None
) -> tuple[list[str], Iterator[list[str]]]:
    """Return the names of the columns and the rows below them; raises ``DataError`` for an empty file."""
    rows = file.rows()
    first = next(rows, None)
    while first is not None and not any(cell.strip() for cell in first):
        first = next(rows, None)
    if first is None:
        raise DataError(f"{file.path}: the file is empty")
    if header and first[0].lower().startswith("sep="):
        finding = f'the first line, "{file.separator.join(first)}", is an instruction to Excel'
        raise DataError(f"{file.path}: {finding}; remove it")
    names = [plain_name(name) for name in (first if header else columns or map(str, range(len(first))))]
    if len(names) == 1 and header and file.separator in names[0] and first[0] == names[0]:
        finding = f"the line with the names of the columns is in quotation marks as a whole: {names[0]}"
        raise DataError(f"{file.path}: {finding}; remove those round the lines of this file")
    if len(names) != len(first):
        found = f"found {len(first)} column{'' if len(first) == 1 else 's'}"
        raise DataError(f"{file.path}: {found}, expected {len(names)}: {', '.join(names)}")
    if not file.quotes and all(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
        finding = f"the names of the columns are in quotation marks: {', '.join(names)}"
        raise DataError(f"{file.path}: {finding}; {file.remedies.quoted}")
    need_distinct(file.path, names)
    return names, rows if header else _with_first(first, rows)


def _with_first(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows
