"""What a file or folder of data holds, as far as a first spec depends on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kexp.contracts import UNLABELLED
from kexp.data.cleaning import normal_text
from kexp.errors import DataError
from kexp.files.cells import is_missing
from kexp.files.columns import cell, has_column
from kexp.init.columns import Roles, find_roles
from kexp.init.labels import SHOWN, joined_notes
from kexp.init.layout import FoundTable, find_table
from kexp.init.source import files_of, left_aside
from kexp.names import alike

FEWEST_ROWS = 10
RAREST = 3
"""Rows of a label that train, validation and test need together."""
ONE_FOR_ALL = ("encoding", "separator", "quoting", "escape", "sheet")
"""Options of ``[dataset]`` that hold for all its files."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found. ``counts`` are the rows of train by label, without repetitions and contradictions.

    Rows with several labels count for each of them; ``rows`` are the rows that a model may learn from, before other
    splits are taken out, and ``without`` those of them that are known to have no label. ``leave_out`` are labels whose
    rows no model could learn or be measured on, with the reason; ``unlabelled`` counts rows of a labelled split without
    a label. ``notes`` are sentences for the user.
    """

    path: Path
    tables: Mapping[str, FoundTable]
    roles: Roles
    counts: Mapping[str, int]
    leave_out: Mapping[str, str]
    unlabelled: int
    notes: Sequence[str]
    rows: int
    without: int

    @property
    def train(self) -> FoundTable:
        """The table of the train split."""
        return self.tables["train"]

    @property
    def texts(self) -> list[tuple[str, str | None]]:
        """The texts of train, each with the second one of its pair."""
        pair = self.roles.text_pair
        rows = self.train.rows
        return [(_text(row, self.roles.text), None if pair is None else _text(row, (pair,))) for row in rows]

    @property
    def imbalance(self) -> float:
        """How many times as many rows the most frequent label has as the rarest one; 1 where labels are numbers."""
        return 1.0 if self.roles.label.measured else max(self.counts.values()) / min(self.counts.values())

    @property
    def labels_in_words(self) -> str:
        """How many labels there are, or between which numbers they are."""
        if not self.roles.label.measured:
            several = ", any number of them per row" if self.roles.label.task.several else ""
            return f"{len(self.counts)} labels{several}"
        return f"numbers from {min(self.counts, key=float)} to {max(self.counts, key=float)}"


def examine(
    path: Path,
    texts: Sequence[str] = (),
    label: Sequence[str] = (),
    group: str | None = None,
    sheet: str | None = None,
) -> Found:
    """Look at a file, or at the files of a folder; what the user names is taken as it is.

    Raises ``DataError`` for data that kexp cannot train on, with the file and the remedy.
    """
    files = files_of(path)
    tables = {split: find_table(file, sheet) for split, file in files.items()}
    if (count := len(tables["train"].rows)) < FEWEST_ROWS:
        rows = f"{count} row{'' if count == 1 else 's'}"
        raise DataError(f"{files['train']}: {rows}, expected at least {FEWEST_ROWS} with a text and a label")
    train, roles = _named(tables["train"], find_roles(tables["train"], texts, label, group))
    used = {"train": train}
    notes = [f"{file} is not used: its name says no split" for file in left_aside(path, files)]
    notes += _column_notes(train, roles)
    if train.stride > 1:
        looked = f"{len(train.rows):,} rows were looked at, one in {train.stride} of {train.count:,}"
        notes.append(f"{train.path}: {looked}")
    for split, table in tables.items():
        if split != "train":
            fitting, why = _fitting(table, train, roles, labelled=split != UNLABELLED)
            used |= {split: fitting} if fitting else {}
            notes += [f"{table.path} is not used: {why}"] if why else []
    _need_one_layout(used)
    labels = _labels(train, roles)
    leave_out = _left_out(used, roles, labels)
    if leave_out and len(roles.label.columns) > 1:
        # The rows stay, and a column is not learnt.
        notes += [f"{name} is no label: {reason}" for name, reason in leave_out.items()]
        roles, leave_out = _without_columns(roles, leave_out, train), {}
        labels = _labels(train, roles)
    task = roles.label.task
    kept = Counter({label: rows for label, rows in labels.items() if not {*task.names_in(label)} & leave_out.keys()})
    counts = _by_name(kept, roles)
    if len(counts) < 2 or kept.total() < FEWEST_ROWS:
        rows = f"{kept.total():,} rows of {len(counts)} label{'' if len(counts) == 1 else 's'}"
        expected = f"expected at least {FEWEST_ROWS} of two, {RAREST} of each"
        raise DataError(f"{train.path}: {rows} are left without repetitions and contradictions; {expected}")
    unlabelled = sum(_missing(table, roles) for split, table in used.items() if split != UNLABELLED)
    without = sum(rows for label, rows in kept.items() if not task.names_in(label))
    return Found(path, used, roles, counts, leave_out, unlabelled, notes, kept.total(), without)


def _without_columns(roles: Roles, names: Collection[str], train: FoundTable) -> Roles:
    """Return the roles without some of the columns of 0 and 1."""
    columns = tuple(name for name in roles.label.columns if name not in names)
    if len(columns) < 2:
        few = f"{len(columns)} of the columns of 0 and 1 has {RAREST} rows of 1 or more"
        raise DataError(f"{train.path}: {few}; expected two, or name one column with --label")
    return replace(roles, label=replace(roles.label, columns=columns))


def _column_notes(train: FoundTable, roles: Roles) -> Iterator[str]:
    """Yield what a user should know of the columns before training on them."""
    if not train.layout.header and any(is_missing(value) or value == "" for value in train.rows[0].values()):
        finding = "no line was taken for the names of the columns, and the first one has an empty cell"
        yield f"{train.path}: {finding}; if it is a title above the names, delete it and run this again"
    if roles.guessed and len(roles.label.columns) > 1:
        yield (
            f"{len(roles.label.columns)} columns hold 0 and 1, and each is taken for a label of its own; --label names "
            "one column, or, repeated, those that are labels"
        )
    elif roles.guessed:
        yield (
            f"label {roles.label.name}: taken because few of its values differ, and no column has a name that labels "
            "have; --label names another"
        )
    if roles.splits:
        remedy = "kexp takes splits from files, so write one file for each"
        yield f"{', '.join(roles.splits)} seems to name splits, and is not used: {remedy}"
    labels = {label for row in train.rows if (label := _label(row, roles))}
    names = {name for label in labels for name in roles.label.task.names_in(label)}
    spelled = roles.label.task.spelled_once(names)
    if not roles.label.measured and (several := list(alike({spelled.get(name, name) for name in names}))):
        shown = "; ".join(" and ".join(f'"{name}"' for name in found) for found in several[:SHOWN])
        yield f"labels that look alike stay different labels: {shown}; if they are one, give both one spelling"
    yield from joined_notes(labels, roles.label)


def _named(table: FoundTable, roles: Roles) -> tuple[FoundTable, Roles]:
    """Call the columns of a file without header by what they hold."""
    if table.layout.columns is None:
        return table, roles
    names = {**dict(zip(roles.text, ("text", "text2", "text3"), strict=False))}
    several = len(roles.label.columns) > 1
    names |= {name: f"label{n}" if several else "label" for n, name in enumerate(roles.label.columns, 1)}
    names |= {roles.group: "group"} if roles.group else {}
    columns = tuple(names.get(name, name) for name in table.columns)
    rows = [dict(zip(columns, row.values(), strict=True)) for row in table.rows]
    named = replace(table, layout=replace(table.layout, columns=columns), columns=columns, rows=rows)
    group = names.get(roles.group or "", roles.group)
    labels = [names[name] for name in roles.label.columns]
    return named, find_roles(named, [names.get(text, text) for text in roles.text], labels, group)


def _fitting(table: FoundTable, train: FoundTable, roles: Roles, *, labelled: bool) -> tuple[FoundTable | None, str]:
    """Return a table of another split with the names of train, or why it cannot be used."""
    if table.layout.columns is None and len(table.columns) == 1 and not has_column(table.columns, roles.text[0]):
        # A text per line, of which the first is too short to be told from a name.
        row = dict.fromkeys(table.columns, table.columns[0])
        layout = replace(table.layout, header=False)
        table = replace(table, layout=layout, rows=[row, *table.rows], count=table.count + 1)
    if not table.layout.header:
        width = len(table.columns)
        names = tuple(train.columns) if width == len(train.columns) else roles.text if width == 1 else ()
        if not names:
            return None, f"it has no header and {width} columns, train has {len(train.columns)}"
        rows = [dict(zip(names, row.values(), strict=True)) for row in table.rows]
        table = replace(table, layout=replace(table.layout, columns=names), columns=names, rows=rows)
    needed = [*roles.text, *([roles.text_pair] if roles.text_pair else []), *(roles.label.columns if labelled else ())]
    if missing := [name for name in needed if not has_column(table.columns, name)]:
        return None, f"no column {', '.join(map(repr, missing))}; the columns are {', '.join(table.columns)}"
    if labelled and _missing(table, roles) == len(table.rows):
        return None, "none of its rows has a label"
    return table, ""


def _need_one_layout(tables: Mapping[str, FoundTable]) -> None:
    """Refuse files that one ``[dataset]`` cannot describe."""
    train = tables["train"]
    for table in tables.values():
        for option in ONE_FOR_ALL:
            one, two = getattr(train.layout, option), getattr(table.layout, option)
            if one != two and _matters(option, train) and _matters(option, table):
                found = f"{option} is {_shown(one)} in {train.path.name} and {_shown(two)} in {table.path.name}"
                raise DataError(f"{table.path}: {found}; kexp reads all files of a spec alike: write one as the other")


def _matters(option: str, table: FoundTable) -> bool:
    kind = table.layout.format
    if option == "sheet":
        return kind == "xlsx"
    return kind in ("csv", "tsv") or (option == "encoding" and kind in ("json", "jsonl"))


def _shown(value: object) -> str:
    return "that of the format" if value is None else repr(value)


def _labels(table: FoundTable, roles: Roles) -> Counter[str]:
    """Count the rows by label, of several names where rows have several: a text once, and none that has two labels."""
    labels: dict[str, set[str]] = {}
    for row in table.rows:
        text = normal_text(_text(row, (*roles.text, *([roles.text_pair] if roles.text_pair else []))), trim=True)
        label = _label(row, roles)
        if text and label:
            labels.setdefault(text, set()).add(label)
    spelled = roles.label.task.spelled_once({label for found in labels.values() for label in found})
    named = [{spelled.get(label, label) for label in found} for found in labels.values()]
    return Counter(next(iter(found)) for found in named if len(found) == 1)


def _by_name(labels: Mapping[str, int], roles: Roles) -> dict[str, int]:
    """Count the rows of each name, the most frequent first."""
    found: Counter[str] = Counter()
    for label, rows in labels.items():
        for name in roles.label.task.names_in(label):
            found[name] += rows
    return dict(found.most_common())


def _left_out(tables: Mapping[str, FoundTable], roles: Roles, labels: Mapping[str, int]) -> dict[str, str]:
    """Return the names that stand in the way of a split, with the reason."""
    if tables["train"].stride > 1 or roles.label.measured:
        # Not all rows were looked at, or no number needs others that are equal.
        return {}
    divided = not {"validation", "test"} <= tables.keys()
    rarest = RAREST if divided else 1
    task, found = roles.label.task, dict[str, str]()
    seen = {label for row in tables["train"].rows if (label := _label(row, roles))}
    spelled = task.spelled_once(seen)
    known = dict.fromkeys(name for label in seen for name in task.names_in(spelled.get(label, label)))
    known |= dict.fromkeys(roles.label.columns if len(roles.label.columns) > 1 else ())
    while True:
        # Rows that are left out for one of their names are lost to the others.
        kept = {label: rows for label, rows in labels.items() if not {*task.names_in(label)} & found.keys()}
        counts = _by_name(kept if len(roles.label.columns) == 1 else labels, roles)
        rare = [name for name in known if name not in found and counts.get(name, 0) < rarest]
        for name in rare:
            count = counts.get(name, 0)
            rows = f"{count} row{'' if count == 1 else 's'}"
            found[name] = f"{rows} without repetitions and contradictions, fewer than {rarest}"
        if not rare:
            break
    for split in tables.keys() & {"validation", "test"}:
        for row in tables[split].rows:
            label = _label(row, roles)
            for name in task.names_in(spelled.get(label, label)):
                if name not in counts and name not in found:
                    found[name] = f"in {tables[split].path.name} alone"
    return found


def _missing(table: FoundTable, roles: Roles) -> int:
    return sum(not _label(row, roles) for row in table.rows)


def _label(row: Mapping[str, object], roles: Roles) -> str:
    try:
        return roles.label.of(row)
    except ValueError:
        # What is no label is reported with its row when the data are read.
        return ""


def _text(row: Mapping[str, object], names: Sequence[str]) -> str:
    values = (cell(row, name) for name in names)
    return " ".join("" if is_missing(value) else str(value) for value in values)
