"""Quotation marks that are read as characters and that seem to enclose cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kexp.files.delimited import DelimitedFile

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class QuotationMarks:
    """Counts cells in which quotation marks that seem to enclose them are characters, by the number of the column.

    Without quoting they are; with quoting, where white space stands before them.
    """

    quotes: bool
    filled: Counter[int] = field(default_factory=Counter)
    enclosed: Counter[int] = field(default_factory=Counter)
    doubled: Counter[int] = field(default_factory=Counter)

    def add(self, number: int, value: str) -> None:
        """Look at a cell with a quotation mark."""
        if self.quotes and not value[:1].isspace():
            return
        bare = value.strip()
        if bare[:1] == '"' == bare[-1:] and len(bare) > 1:
            self.enclosed[number] += 1
            inner = bare[1:-1]
            self.doubled[number] += '""' in inner and '"' not in inner.replace('""', "")

    def add_columns(self, columns: Sequence[pa.LargeStringArray]) -> None:
        """Look at all cells of columns."""
        import pyarrow.compute as pc

        for number, column in enumerate(columns):
            self.filled[number] += len(column) - (pc.sum(pc.equal(column, "")).as_py() or 0)
            for value in column.filter(pc.match_substring(column, '"')).to_pylist():
                self.add(number, value)

    def warnings(self, file: DelimitedFile, names: Sequence[str]) -> Iterator[str]:
        """Warn of the columns that have such cells."""
        remedy = "remove the spaces before them" if file.quotes else file.remedies.quoted
        for number, name in enumerate(names):
            enclosed, doubled = self.enclosed[number], self.doubled[number]
            if enclosed and (enclosed == self.filled[number] or doubled or file.quotes):
                count = enclosed if file.quotes else doubled or enclosed
                finding = f'{file.path}: {count:,} cells of column "{name}" are in quotation marks, which are read as '
                yield f"{finding}characters; if they enclose the cells, {remedy}"


def quoted_cells(
    file: DelimitedFile, names: list[str], rows: Iterator[list[str]], warnings: list[str]
) -> Iterator[list[str]]:
    """Yield rows, and warn of a column in which quotation marks that seem to enclose the cells are characters."""
    marks = QuotationMarks(file.quotes)
    for row in rows:
        for number, value in enumerate(row):
            marks.filled[number] += value != ""
            if '"' in value:
                marks.add(number, value)
        yield row
    warnings.extend(marks.warnings(file, names))
