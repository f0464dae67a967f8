"""The columns of a table, and of tables in its cells: their values, and what these are."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp.data.reading import MISSING_WORDS
from kexp.files import label_of
from kexp.files.cells import is_missing
from kexp.files.columns import cell
from kexp.init.column_names import GUESSED, label_rank
from kexp.init.layout import FoundTable

MOST_COLUMNS = 500
FEW_LISTS = 20
"""One list in so many cells of a column with the name of a label says that rows have several."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FRACTION = re.compile(r"-?\d*\.\d+(e-?\d+)?")


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a dotted path into one: its values with counts, and what they are.

    ``kind`` is text, list (several values in a cell), fraction (measured values) or value. ``hangul`` is the mean
    number of Hangul syllables of its filled cells, ``length`` that of their characters.
    """

    name: str
    values: Counter[str]
    missing: int
    kind: str
    hangul: float
    length: float

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.values.total()

    @property
    def numeric(self) -> bool:
        """Whether all values are whole numbers."""
        return all(value.removeprefix("-").isdecimal() for value in self.values)


def columns_of(table: FoundTable) -> dict[str, Column]:
    """Look at every column of a table, and at the values inside of tables in a cell."""
    names = dict.fromkeys(path for row in table.rows[:100] for path in _paths(row))
    found = (_column(name, [cell(row, name) for row in table.rows]) for name in itertools.islice(names, MOST_COLUMNS))
    return {column.name: column for column in found if column.filled}


def _paths(row: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the columns of a row, and the dotted paths to the values inside of tables in a cell."""
    for name, value in row.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}.")
        elif path:
            yield path


def _column(name: str, cells: Sequence[Any]) -> Column:
    values: Counter[str] = Counter()
    missing, lists = 0, 0
    for value in cells:
        # A list is no label, and a number with a fraction is none either.
        try:
            label = label_of(value)
        except ValueError:
            label = str(value)
            lists += hasattr(value, "__len__")
        if is_missing(value) or not label:
            missing += 1
        else:
            values[label] += 1
    sample = [str(value) for value in cells[:2000] if not is_missing(value) and str(value).strip()] or [""]
    hangul = sum(
        sum("가" <= character <= "힣" or "\u1100" <= character <= "\u11ff" for character in text) for text in sample
    )
    # Lists stand beside single names where most rows have one.
    share = FEW_LISTS if label_rank(name) < GUESSED else 2
    kind = "list" if lists * share > len(cells) - missing else "fraction" if _is_measured(values) else "value"
    if kind == "value" and any(isinstance(value, str) and not value.strip().isdecimal() for value in cells[:2000]):
        kind = "text"
    return Column(name, values, missing, kind, hangul / len(sample), sum(map(len, sample)) / len(sample))


def _is_measured(values: Counter[str]) -> bool:
    """Return whether most values have a fraction, or all are numbers and some have one."""
    fractions = sum(_FRACTION.fullmatch(value) is not None for value in values)
    if fractions * 2 > len(values):
        return True
    return fractions > 0 and all(_NUMBER.fullmatch(value) or value.lower() in MISSING_WORDS for value in values)
