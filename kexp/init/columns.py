"""Which column of a table is the text, which the label, and which says what belongs together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kexp.errors import DataError
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
from kexp.init.labels import (
    Label,
    columns_of_truth,
    finding,
    label_in,
    label_in_several,
    names_in,
    odd_number,
    separator_of,
)
from kexp.init.layout import FoundTable
from kexp.init.table_columns import Column, columns_of

MOST_LABELS = 200
"""Distinct values up to which a column may be the label without a name that says so."""
MOST_NUMBERS = 20
"""Distinct numbers up to which they may be classes."""
MULTI_LABEL = 3
"""Columns of 0 and 1 that are taken for one label each."""

LAST = 9
"""Rank of what is a label only if nothing else is."""

_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}\b")


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns that a spec names, and what was seen beside them.

    ``other_texts`` and ``other_labels`` might have been chosen too; ``ids`` are different in every row, ``splits`` say
    which split a row belongs to. ``guessed`` says that no name told which column is the label.
    """

    text: tuple[str, ...]
    label: Label
    text_pair: str | None = None
    group: str | None = None
    other_texts: Sequence[str] = ()
    other_labels: Sequence[str] = ()
    ids: Sequence[str] = ()
    splits: Sequence[str] = ()
    guessed: bool = False
    columns: Mapping[str, Column] = field(default_factory=dict)


def find_roles(
    table: FoundTable, texts: Sequence[str] = (), label: Sequence[str] = (), group: str | None = None
) -> Roles:
    """Find the roles of the columns; ``texts``, ``label`` and ``group`` are those that the user names.

    Raises ``DataError`` where no column can be the text, or the label: with the columns, and what to do.
    """
    columns = columns_of(table)
    for name in (*texts, *label, group):
        if name is not None and name not in columns:
            raise DataError(f"{table.path}: no column {name!r}; the columns are {', '.join(columns)}")
    pair = next((pair for pair in PAIRS if not texts and set(pair) <= columns.keys() - {*label}), None)
    candidates = [] if texts or pair else _text_candidates(table, columns, label)
    text = tuple(texts) or (pair or candidates)[:1]
    used = {*text, *(pair or ()), *([group] if group else [])}
    rest = {name: column for name, column in columns.items() if name not in used}
    splits = [name for name, column in rest.items() if _says_split(column) and name not in label]
    ids = [name for name, column in rest.items() if _is_id(column) and name not in label]
    plain = {name: column for name, column in rest.items() if name not in {*splits, *ids}}
    labels = _label_candidates(plain, len(table.rows))
    chosen = _given(table, columns, label) if label else _found(table, plain, labels)
    if group is None:
        group = next((n for n, c in plain.items() if n not in chosen.columns and _is_group(c)), None)
    others = [name for name in labels if name not in (*chosen.columns, group)]
    guessed = not label and (len(chosen.columns) > 1 or label_rank(chosen.name) >= GUESSED)
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


def _given(table: FoundTable, columns: Mapping[str, Column], names: Sequence[str]) -> Label:
    """Return the label in the columns that the user names."""
    if len(names) > 1:
        return label_in_several([columns[name] for name in names], table.path)
    return _needed(table, columns[names[0]])


def _found(table: FoundTable, plain: Mapping[str, Column], candidates: Sequence[str]) -> Label:
    """Return the label in the likeliest column, or in columns of 0 and 1 where no other has the name of a label."""
    truths = columns_of_truth(plain)
    first = candidates[0] if candidates else ""
    named = label_rank(first) == 0 or (label_rank(first) < GUESSED and first not in truths)
    both = [plain[name] for name in truths if len(plain[name].values) > 1]
    if len(truths) >= MULTI_LABEL and len(both) > 1 and not named:
        return label_in_several(both, table.path)
    if not candidates:
        raise DataError(f"{table.path}: {_no_label(plain)}")
    return _needed(table, plain[first])


def _text_candidates(table: FoundTable, columns: Mapping[str, Column], label: Sequence[str]) -> list[str]:
    """Return the columns that may be the text, the one with most Hangul first; without Hangul, the longest first."""

    def variety(column: Column) -> float:
        return len(column.values) / max(1, column.filled)

    texts = [
        column
        for name, column in columns.items()
        if column.kind == "text" and name not in label and not _is_id(column, by_name=True) and _is_varied(column)
    ]

    def likely(column: Column) -> tuple[bool, float, float]:
        reply = REPLY_NAMES.search(column.name) is not None
        return reply, -column.hangul * variety(column), -column.length * variety(column)

    ranked = sorted(texts, key=likely)
    if not ranked:
        lists = next((column for column in columns.values() if column.kind == "list"), None)
        shown = "; the columns are " + ", ".join(columns)
        found = shown if lists is None else f": {finding(lists)}; join its values to one text"
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
        if column.kind == "fraction":
            # Prices and times are measured too: only a name tells which numbers are to be learnt.
            if rank < GUESSED and len(column.values) > 1:
                # One that holds words, too, is refused with them if there is no other.
                found.append((LAST if odd_number(column) else rank, True, len(column.values), place, column.name))
            continue
        several = column.kind == "list" or (
            (named or len(column.values) <= MOST_LABELS) and separator_of(column.values)
        )
        names = names_in(column) if several else column.values
        count = len(names)
        limit = rows if named else min(MOST_NUMBERS if column.numeric else MOST_LABELS, rows // 2)
        if not 2 <= count <= limit or names.total() < 2 * count:
            continue
        if all(_DATE.match(value) for value in column.values):
            continue
        if not named and (_is_group(column) or column.filled * 2 < rows):
            continue
        found.append((rank, False, count, place, column.name))
    return [name for *_, name in sorted(found)]


def _no_label(columns: Mapping[str, Column]) -> str:
    """Say why none of the columns can be the label, and what to do."""
    remedies = {
        "list": "its values are not few and repeated, as labels are; name another column with --label",
        "fraction": "name it with --label to learn its numbers, or name another column",
    }
    for kind, remedy in remedies.items():
        if column := next((column for column in columns.values() if column.kind == kind), None):
            return f"{finding(column)}; {remedy}"
    shown = ", ".join(f"{name} ({len(column.values):,} different values)" for name, column in columns.items())
    others = f"; besides the text there is {shown}" if shown else "; there is no column besides the text"
    remedy = "name the column with --label" if shown else "add a column of labels"
    return f"no column looks like labels, which are few and repeated{others}; {remedy}"


def _needed(table: FoundTable, column: Column) -> Label:
    """Return how a column of labels is read; raises ``DataError`` where nothing can be learnt of it."""
    label = label_in(column)
    place = f"{table.path}: column {column.name!r}"
    if label.measured:
        if odd := odd_number(column):
            remedy = "correct it, leave its rows out, or name another column"
            raise DataError(f"{table.path}: {finding(column)} and {odd[:40]!r}, which is no number; {remedy}")
        if len(column.values) < 2:
            raise DataError(f"{place}: every row has {next(iter(column.values))}; expected numbers that differ")
        return label
    names = names_in(column)
    if column.values and not names:
        raise DataError(f"{table.path}: {finding(column)}, which are no labels; expected names, or a list of names")
    if len(column.values) < 2:
        found = f"every row has {next(iter(column.values), 'no label')!r}"
        raise DataError(f"{place}: {found}; expected at least two labels, name another column")
    if len(names) * 2 > names.total():
        found = f"{len(names):,} different values in {column.filled:,} rows"
        raise DataError(f"{place} holds {found}; expected labels, each of them in several rows")
    return label


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
