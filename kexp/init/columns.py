"""Which column of a table is the text, which the label, and which says what belongs together."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kexp.errors import DataError
from kexp.files import label_of
from kexp.files.cells import is_missing
from kexp.files.columns import cell
from kexp.init.column_names import (
    GROUP_NAMES,
    GUESSED,
    ID_NAMES,
    LABEL_NAMES,
    PAIRS,
    REPLY_NAMES,
    SPLIT_VALUES,
    label_rank,
)
from kexp.init.layout import FoundTable

MOST_LABELS = 200
"""Distinct values up to which a column may be the label without a name that says so."""
MOST_NUMBERS = 20
"""Distinct numbers up to which they may be classes."""
MOST_COLUMNS = 500
MULTI_LABEL = 3
"""Columns of 0 and 1 that are taken for one label each."""

_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}\b")


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


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns that a spec names, and what was seen beside them.

    ``other_texts`` and ``other_labels`` might have been chosen too; ``ids`` are different in every row, ``splits`` say
    which split a row belongs to. ``guessed`` says that no name told which column is the label.
    """

    text: tuple[str, ...]
    label: Column
    text_pair: str | None = None
    group: str | None = None
    other_texts: Sequence[str] = ()
    other_labels: Sequence[str] = ()
    ids: Sequence[str] = ()
    splits: Sequence[str] = ()
    guessed: bool = False
    columns: Mapping[str, Column] = field(default_factory=dict)


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
    fractions = sum(re.fullmatch(r"-?\d*\.\d+(e-?\d+)?", value) is not None for value in values)
    kind = "list" if lists * 2 > len(cells) - missing else "fraction" if fractions * 2 > len(values) else "value"
    if kind == "value" and any(isinstance(value, str) and not value.strip().isdecimal() for value in cells[:2000]):
        kind = "text"
    return Column(name, values, missing, kind, hangul / len(sample), sum(map(len, sample)) / len(sample))


def find_roles(
    table: FoundTable, texts: Sequence[str] = (), label: str | None = None, group: str | None = None
) -> Roles:
    """Find the roles of the columns; ``texts``, ``label`` and ``group`` are those that the user names.

    Raises ``DataError`` where no column can be the text, or the label: with the columns, and what to do.
    """
    columns = columns_of(table)
    for name in (*texts, label, group):
        if name is not None and name not in columns:
            raise DataError(f"{table.path}: no column {name!r}; the columns are {', '.join(columns)}")
    pair = next((pair for pair in PAIRS if not texts and set(pair) <= columns.keys() - {label}), None)
    candidates = [] if texts or pair else _text_candidates(table, columns, label)
    text = tuple(texts) or (pair or candidates)[:1]
    used = {*text, *(pair or ()), *([group] if group else [])}
    rest = {name: column for name, column in columns.items() if name not in used}
    splits = [name for name, column in rest.items() if _says_split(column) and name != label]
    ids = [name for name, column in rest.items() if _is_id(column) and name != label]
    plain = {name: column for name, column in rest.items() if name not in {*splits, *ids}}
    labels = _label_candidates(plain, len(table.rows))
    if label is None and (several := _several_labels(plain)):
        raise DataError(f"{table.path}: {several}")
    if label is None and not labels:
        raise DataError(f"{table.path}: {_no_label(plain)}")
    chosen = columns[label or labels[0]]
    _need_classes(table, chosen)
    if group is None:
        group = next((n for n, c in plain.items() if n != chosen.name and _is_group(c)), None)
    others = [name for name in labels if name not in (chosen.name, group)]
    guessed = label is None and label_rank(chosen.name) >= GUESSED
    return Roles(
        tuple(text),
        chosen,
        pair[1] if pair else None,
        group,
        candidates[1:4],
        others[:5],
        ids,
        splits,
        guessed,
        columns,
    )


def _text_candidates(table: FoundTable, columns: Mapping[str, Column], label: str | None) -> list[str]:
    """Return the columns that may be the text, the one with most Hangul first; without Hangul, the longest first."""

    def variety(column: Column) -> float:
        return len(column.values) / max(1, column.filled)

    texts = [
        column
        for name, column in columns.items()
        if column.kind == "text" and name != label and not _is_id(column, by_name=True) and _is_varied(column)
    ]

    def likely(column: Column) -> tuple[bool, float, float]:
        reply = REPLY_NAMES.search(column.name) is not None
        return reply, -column.hangul * variety(column), -column.length * variety(column)

    ranked = sorted(texts, key=likely)
    if not ranked:
        lists = next((column for column in columns.values() if column.kind == "list"), None)
        shown = "; the columns are " + ", ".join(columns)
        found = shown if lists is None else f": {_list_finding(lists)}; join its values to one text"
        raise DataError(f"{table.path}: no column of texts{found}")
    best = ranked[0]
    # What is short beside the longest, or repeated, is a name or a label.
    long = [c for c in ranked[1:] if c.length * 4 > best.length and c.length > 4 and variety(c) > 0.5]
    # Beside Korean texts, what has no Hangul is an address or a number.
    return [best.name, *(c.name for c in long if c.hangul or not best.hangul)]


def _is_varied(column: Column) -> bool:
    """Return whether a column has more values than labels have."""
    return len(column.values) > MOST_LABELS or 2 < len(column.values) >= column.filled / 20


def _label_candidates(columns: Mapping[str, Column], rows: int) -> list[str]:
    """Return the columns that may be the label, the likeliest first."""
    found = []
    for place, column in enumerate(columns.values()):
        rank = label_rank(column.name)
        named = LABEL_NAMES.search(column.name.rpartition(".")[2]) is not None
        count = len(column.values)
        limit = rows if named else min(MOST_NUMBERS if column.numeric else MOST_LABELS, rows // 2)
        if column.kind in ("list", "fraction") or not 2 <= count <= limit or column.filled < 2 * count:
            continue
        if all(_DATE.match(value) for value in column.values):
            continue
        if not named and (_is_group(column) or column.filled * 2 < rows):
            continue
        found.append((rank, count, place, column.name))
    return [name for *_, name in sorted(found)]


def _several_labels(columns: Mapping[str, Column]) -> str:
    """Say that there is a column of 0 and 1 for each of several labels; empty where there is not."""
    named = [name for name, column in columns.items() if LABEL_NAMES.search(name) and len(column.values) > 2]
    binary = [name for name, column in columns.items() if set(column.values) in ({"0", "1"}, {"0"}, {"1"})]
    if named or len(binary) < MULTI_LABEL:
        return ""
    shown = ", ".join(binary[:5]) + (", ..." if len(binary) > 5 else "")
    finding = f"{len(binary)} columns hold 0 and 1: {shown}, one for each of several labels of a row"
    return f"{finding}; kexp learns one label per row: choose one of them with --label, or write one column of classes"


def _no_label(columns: Mapping[str, Column]) -> str:
    """Say why none of the columns can be the label, and what to do."""
    for kind, finding, remedy in (("list", _list_finding, _ONE_LABEL), ("fraction", _fraction_finding, _CLASSES)):
        if column := next((column for column in columns.values() if column.kind == kind), None):
            return f"{finding(column)}; {remedy}"
    shown = ", ".join(f"{name} ({len(column.values):,} different values)" for name, column in columns.items())
    others = f"; besides the text there is {shown}" if shown else "; there is no column besides the text"
    remedy = "name the column with --label" if shown else "add a column of labels"
    return f"no column looks like labels, which are few and repeated{others}; {remedy}"


_ONE_LABEL = (
    "kexp learns one label per row: choose one for each row, or make one column per label and name it with --label"
)
_CLASSES = (
    "kexp init writes specs for classes: turn the numbers into a few, name another column with --label, or add task = "
    '"regression" to a spec that was written for such a column'
)


def _list_finding(column: Column) -> str:
    return f"column {column.name!r} holds several values in a cell ({next(iter(column.values))[:40]})"


def _fraction_finding(column: Column) -> str:
    return f"column {column.name!r} holds measured values ({', '.join(list(column.values)[:3])})"


def _need_classes(table: FoundTable, column: Column) -> None:
    if column.kind == "list":
        raise DataError(f"{table.path}: {_list_finding(column)}; {_ONE_LABEL}")
    if column.kind == "fraction":
        raise DataError(f"{table.path}: {_fraction_finding(column)}; {_CLASSES}")
    place = f"{table.path}: column {column.name!r}"
    if len(column.values) < 2:
        found = f"every row has {next(iter(column.values), 'no label')!r}"
        raise DataError(f"{place}: {found}; expected at least two labels, name another column")
    if len(column.values) * 2 > column.filled:
        found = f"{len(column.values):,} different values in {column.filled:,} rows"
        raise DataError(f"{place} holds {found}; expected labels, each of them in several rows")


def _is_id(column: Column, *, by_name: bool = False) -> bool:
    different = len(column.values) == column.filled > 2
    if by_name:
        return different and column.hangul == 0 and ID_NAMES.search(column.name) is not None
    return different and (column.kind != "fraction" and column.hangul < 2)


def _is_group(column: Column) -> bool:
    if (
        GROUP_NAMES.search(column.name) is None
        or LABEL_NAMES.search(column.name)
        or column.kind in ("list", "fraction")
    ):
        return False
    return 5 <= len(column.values) < column.filled


def _says_split(column: Column) -> bool:
    return 2 <= len(column.values) <= 4 and {value.lower() for value in column.values} <= SPLIT_VALUES
