"""How a table fits a terminal: no number and no name is broken; a wide one is turned, or becomes several tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

GAP = 2
"""Blanks between two columns."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its cells, and whether these are numbers or texts that may be broken at blanks.

    ``whole`` is whether its name is not broken at blanks either, as that of what was a row.
    """

    name: str
    cells: tuple[Text, ...]
    numbers: bool = False
    prose: bool = False
    whole: bool = False

    @cached_property
    def natural(self) -> int:
        """The width in which no line is broken."""
        return max(cell_len(line) for text in (self.name, *self._plain) for line in text.split("\n"))

    @cached_property
    def least(self) -> int:
        """The width in which nothing is broken but texts between their words, and the name between its words."""
        parts = [part for text in self._plain for part in (text.split() if self.prose else text.split("\n"))]
        return max(map(cell_len, (*([self.name] if self.whole else self.name.split()), *parts)), default=0)

    @property
    def _plain(self) -> list[str]:
        return [cell.plain for cell in self.cells]


def columns_of(header: Sequence[str], rows: Sequence[Sequence[str | Text]], right: int | None) -> list[Column]:
    """Return the columns of a table: those from ``right`` on are numbers; the first one has names, the others texts."""
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    columns = []
    for place, name in enumerate(header):
        numbers = right is not None and place >= right
        columns.append(Column(name, tuple(row[place] for row in cells), numbers, prose=not numbers and place > 0))
    return columns


def laid_out(columns: Sequence[Column], title: str, width: int) -> Iterator[Table]:
    """Yield the table, if need be turned or in parts of which each has the first column."""
    ways = [_groups(columns, width)]
    if len(ways[0]) > 1 or least_width(columns) > width:
        ways.append(_groups(_turned(columns), width))
    # Where no way fits, cells are folded: a name may be longer than the terminal is wide.
    groups = min(ways, key=lambda way: (max(map(least_width, way)) > width, len(way)))
    for number, group in enumerate(groups):
        yield _table(group, title if number == 0 else " ", width)


def _groups(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Return the columns in groups that fit the width, each with the first column."""
    first, *others = columns
    groups = [[first]]
    for column in others:
        if len(groups[-1]) > 1 and least_width([*groups[-1], column]) > width:
            groups.append([first])
        groups[-1].append(column)
    return groups


def least_width(columns: Sequence[Column]) -> int:
    """Return the width in which a table is not broken."""
    return sum(column.least for column in columns) + GAP * (len(columns) - 1)


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Return the widths of columns: the widest that can be narrower give way first."""
    widths = [column.natural for column in columns]
    excess = sum(widths) + GAP * (len(columns) - 1) - width
    for _ in range(excess):
        flexible = [place for place, column in enumerate(columns) if widths[place] > column.least]
        if flexible:
            widths[max(flexible, key=lambda place: widths[place])] -= 1
    return widths


def _turned(columns: Sequence[Column]) -> list[Column]:
    """Return the table whose rows were the columns; names of rows must tell them apart."""
    first, *others = columns
    names = Column(first.name, tuple(Text(column.name) for column in others))
    prose = not any(column.numbers for column in others)
    turned = [
        Column(name.plain.strip(), tuple(column.cells[place] for column in others), not prose, prose, whole=True)
        for place, name in enumerate(first.cells)
    ]
    return [names, *turned]


def _table(columns: Sequence[Column], title: str, width: int) -> Table:
    table = Table(
        title=title or None, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False,
        padding=(0, GAP, 0, 0),
    )  # fmt: skip
    table.show_header = any(column.name for column in columns)
    for column, room in zip(columns, _widths(columns, width), strict=True):
        table.add_column(Text(column.name), justify="right" if column.numbers else "left", width=room, overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table
