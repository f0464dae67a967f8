"""How the label of a row is read: one name, several of a list, of a cell or of columns of 0 and 1, or a number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp.builtin.label_cells import labels_of_columns, split_at
from kexp.builtin.tasks.multi_label import MultiLabel
from kexp.builtin.tasks.numbers import number_label
from kexp.builtin.tasks.regression import Regression
from kexp.builtin.tasks.single_label import SingleLabel
from kexp.contracts import TaskOptions
from kexp.contracts.task import NUMBER
from kexp.errors import DataError
from kexp.files.columns import cell
from kexp.files.label_sets import NO_LABEL, SEPARATOR
from kexp.init.table_columns import Column

SEPARATORS = (",", ";", "|")
"""What may stand between the labels of a cell."""
FEW = 3
"""Cells of several labels that show a separator."""
SHOWN = 3
"""Labels that a note names."""
MOST_NAMES = 200
"""Different names that the cells of several labels have at most."""

_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True, slots=True)
class Label:
    """The columns of the label, the task that learns it, and what stands between the labels of a cell."""

    columns: tuple[str, ...]
    task: TaskOptions
    separator: str | None = None

    @property
    def name(self) -> str:
        """The columns, in words."""
        return ", ".join(self.columns)

    @property
    def measured(self) -> bool:
        """Whether labels are numbers, of which no two rows need have the same."""
        return self.task.trained_as == NUMBER

    def of(self, row: Mapping[str, Any]) -> str:
        """Return the label of a row as the task spells it, "" for a missing one; ``ValueError`` for what is none."""
        if len(self.columns) > 1:
            values = {column: [cell(row, column)] for column in self.columns}
            try:
                found = labels_of_columns(values, self.columns, {}, "", (1,))[0]
            except DataError as error:
                raise ValueError(str(error)) from None
            return self.task.label_of(found)
        value = cell(row, self.columns[0])
        return self.task.label_of(value if self.separator is None else split_at(self.separator)(value))


def label_in(column: Column) -> Label:
    """Return how a column of labels is read, by what its cells hold."""
    if column.kind == "list":
        return Label((column.name,), MultiLabel())
    if column.kind == "fraction":
        return Label((column.name,), Regression())
    separator = separator_of(column.values)
    return Label((column.name,), SingleLabel() if separator is None else MultiLabel(), separator)


def names_in(column: Column) -> Counter[str]:
    """Count the rows of each name of a column, the name itself where a cell has one."""
    label, found = label_in(column), Counter[str]()
    for value, rows in column.values.items():
        try:
            spelled = label.of({column.name: value})
        except ValueError:
            # Cells that are no label are reported with their row when the data are read.
            spelled = ""
        for name in label.task.names_in(spelled):
            found[name] += rows
    return found


def separator_of(values: Mapping[str, int]) -> str | None:
    """Return what stands between the labels of a cell; None where cells are whole labels.

    Cells have several where what they are made of occurs in other cells too, and is a small vocabulary.
    """
    for separator in SEPARATORS:
        several = [value for value in values if separator in value]
        parts = {value: [part.strip() for part in value.split(separator)] for value in values}
        known = Counter(part for found in parts.values() for part in set(found))
        if sum(values[value] for value in several) < FEW or len(known) > MOST_NAMES or "" in known:
            continue
        if any(name == NO_LABEL or (SEPARATOR in name and separator != SEPARATOR) for name in known):
            continue
        shared = [value for value in several if all(known[part] > 1 for part in parts[value])]
        # A comma in all cells is that of a decimal.
        decimal = all(_NUMBER_WITH_COMMA.fullmatch(value) for value in values)
        if len(shared) * 2 >= len(several) and not decimal and len(known) < sum(values.values()) / 2:
            return separator
    return None


def columns_of_truth(columns: Mapping[str, Column]) -> list[str]:
    """Return the columns that hold 0 and 1, or words for them, and nothing else."""
    return [name for name, column in columns.items() if {value.lower() for value in column.values} <= _TRUTH]


_TRUTH = {"0", "1", "true", "false"}


def label_in_several(columns: Sequence[Column], path: object) -> Label:
    """Return how columns of 0 and 1 are read; raises ``DataError`` where one holds anything else."""
    for column in columns:
        if odd := next((value for value in column.values if value.lower() not in _TRUTH), None):
            found = f"column {column.name!r} holds {odd[:40]!r}, expected 0 or 1 in each of several label columns"
            raise DataError(f"{path}: {found}; name one column, or columns of 0 and 1")
    return Label(tuple(column.name for column in columns), MultiLabel())


def odd_number(column: Column) -> str | None:
    """Return a value of a column of numbers that is none; None where all are numbers."""
    for value in column.values:
        try:
            number_label(value)
        except ValueError:
            return value
    return None


def finding(column: Column) -> str:
    """Return in words what a column of lists, or of measured values, holds."""
    values = list(column.values)
    if column.kind == "fraction":
        return f"column {column.name!r} holds measured values ({', '.join(values[:3])})"
    return f"column {column.name!r} holds several values in a cell ({values[0][:40]})"


def joined_notes(labels: Collection[str], label: Label) -> Iterator[str]:
    """Yield that labels are taken whole, where they may be several."""
    if label.task.several or label.measured:
        return
    parts = {value: set(re.split(r"\s*[,;|]\s*", value)) - {""} for value in labels}
    known = Counter(part for found in parts.values() for part in found)
    joined = [value for value, found in parts.items() if len(found) > 1 and any(known[part] > 1 for part in found)]
    if joined:
        shown = ", ".join(f'"{value}"' for value in joined[:SHOWN])
        mark = next(mark for mark in SEPARATORS if mark in joined[0])
        remedy = f'label_separator = "{mark}" reads several labels of a row'
        yield f"{shown} may be several labels of a row, and each combination is taken for a label; {remedy}"
