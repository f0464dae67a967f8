"""What a file or folder of data holds, as far as a first spec depends on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kexp.contracts import UNLABELLED
from kexp.data.cleaning import normal_text
from kexp.errors import DataError
from kexp.files import label_of
from kexp.files.cells import is_missing, truth_spelled_once
from kexp.files.columns import cell, has_column
from kexp.init.columns import Roles, find_roles
from kexp.init.layout import FoundTable, find_table
from kexp.init.source import files_of, left_aside
from kexp.names import alike

FEWEST_ROWS = 10
RAREST = 3
"""Rows of a label that train, validation and test need together."""
SHOWN = 3
"""Labels that a note names."""
ONE_FOR_ALL = ("encoding", "separator", "quoting", "escape", "sheet")
"""Options of ``[dataset]`` that hold for all its files."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found. ``counts`` are the rows of train by label, without repetitions and contradictions.

    ``leave_out`` are labels whose rows no model could learn or be measured on, with the reason; ``unlabelled`` counts
    rows of a labelled split without a label. ``notes`` are sentences for the user.
    """

    path: Path
    tables: Mapping[str, FoundTable]
    roles: Roles
    counts: Mapping[str, int]
    leave_out: Mapping[str, str]
    unlabelled: int
    notes: Sequence[str]

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
    def rows(self) -> int:
        """Rows of train that a model may learn from, before other splits are taken out."""
        return sum(self.counts.values())

    @property
    def imbalance(self) -> float:
        """How many times as many rows the most frequent label has as the rarest one."""
        return max(self.counts.values()) / min(self.counts.values())


def examine(
    path: Path,
    texts: Sequence[str] = (),
    label: str | None = None,
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
    counts = _counts(train, roles)
    leave_out = _left_out(used, roles, counts)
    kept = {name: count for name, count in counts.items() if name not in leave_out}
    if len(kept) < 2 or sum(kept.values()) < FEWEST_ROWS:
        rows = f"{sum(kept.values()):,} rows of {len(kept)} label{'' if len(kept) == 1 else 's'}"
        expected = f"expected at least {FEWEST_ROWS} of two, {RAREST} of each"
        raise DataError(f"{train.path}: {rows} are left without repetitions and contradictions; {expected}")
    unlabelled = sum(_missing(table, roles) for split, table in used.items() if split != UNLABELLED)
    return Found(path, used, roles, kept, leave_out, unlabelled, notes)


def _column_notes(train: FoundTable, roles: Roles) -> Iterator[str]:
    """Yield what a user should know of the columns before training on them."""
    if not train.layout.header and any(is_missing(value) or value == "" for value in train.rows[0].values()):
        finding = "no line was taken for the names of the columns, and the first one has an empty cell"
        yield f"{train.path}: {finding}; if it is a title above the names, delete it and run this again"
    if roles.guessed:
        yield (
            f"label {roles.label.name}: taken because few of its values differ, and no column has a name that labels "
            "have; --label names another"
        )
    if roles.splits:
        remedy = "kexp takes splits from files, so write one file for each"
        yield f"{', '.join(roles.splits)} seems to name splits, and is not used: {remedy}"
    values = roles.label.values
    spelled = truth_spelled_once(values)
    if several := list(alike({spelled.get(value, value) for value in values})):
        shown = "; ".join(" and ".join(f'"{name}"' for name in names) for names in several[:SHOWN])
        yield f"labels that look alike stay different labels: {shown}; if they are one, give both one spelling"
    parts = {value: set(re.split(r"\s*[,;|]\s*", value)) - {""} for value in values}
    known = Counter(part for found in parts.values() for part in found)
    joined = [value for value, found in parts.items() if len(found) > 1 and any(known[part] > 1 for part in found)]
    if joined:
        shown = ", ".join(f'"{value}"' for value in joined[:SHOWN])
        yield f"{shown} seem to be several labels of a row: kexp learns one, and takes each combination for a label"


def _named(table: FoundTable, roles: Roles) -> tuple[FoundTable, Roles]:
    """Call the columns of a file without header by what they hold."""
    if table.layout.columns is None:
        return table, roles
    names = {**dict(zip(roles.text, ("text", "text2", "text3"), strict=False)), roles.label.name: "label"}
    names |= {roles.group: "group"} if roles.group else {}
    columns = tuple(names.get(name, name) for name in table.columns)
    rows = [dict(zip(columns, row.values(), strict=True)) for row in table.rows]
    named = replace(table, layout=replace(table.layout, columns=columns), columns=columns, rows=rows)
    group = names.get(roles.group or "", roles.group)
    return named, find_roles(named, [names.get(text, text) for text in roles.text], "label", group)


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
    needed = [*roles.text, *([roles.text_pair] if roles.text_pair else []), *([roles.label.name] if labelled else [])]
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


def _counts(table: FoundTable, roles: Roles) -> dict[str, int]:
    """Count the rows by label: a text once, and none that has two labels."""
    labels: dict[str, set[str]] = {}
    for row in table.rows:
        text = normal_text(_text(row, (*roles.text, *([roles.text_pair] if roles.text_pair else []))), trim=True)
        label = _label(row, roles)
        if text and label:
            labels.setdefault(text, set()).add(label)
    spelled = truth_spelled_once({label for found in labels.values() for label in found})
    named = [{spelled.get(label, label) for label in found} for found in labels.values()]
    return dict(Counter(next(iter(found)) for found in named if len(found) == 1).most_common())


def _left_out(tables: Mapping[str, FoundTable], roles: Roles, counts: Mapping[str, int]) -> dict[str, str]:
    """Return the labels that stand in the way of a split, with the reason."""
    if tables["train"].stride > 1:
        # Not all rows were looked at: how many a rare label has is not known.
        return {}
    divided = not {"validation", "test"} <= tables.keys()
    rarest = RAREST if divided else 1
    found = {}
    spelled = truth_spelled_once(roles.label.values)
    for label in roles.label.values.keys() - spelled.keys():
        if (count := counts.get(label, 0)) < rarest:
            rows = f"{count} row{'' if count == 1 else 's'}"
            found[label] = f"{rows} without repetitions and contradictions, fewer than {rarest}"
    for split in tables.keys() & {"validation", "test"}:
        for row in tables[split].rows:
            label = _label(row, roles)
            if label and spelled.get(label, label) not in counts and label not in found:
                found[label] = f"in {tables[split].path.name} alone"
    return found


def _missing(table: FoundTable, roles: Roles) -> int:
    return sum(not _label(row, roles) for row in table.rows)


def _label(row: Mapping[str, object], roles: Roles) -> str:
    try:
        return label_of(cell(row, roles.label.name))
    except ValueError:
        # What is no label is reported with its row when the data are read.
        return ""


def _text(row: Mapping[str, object], names: Sequence[str]) -> str:
    values = (cell(row, name) for name in names)
    return " ".join("" if is_missing(value) else str(value) for value in values)
