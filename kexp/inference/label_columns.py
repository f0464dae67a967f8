"""Where the labels of a labelled table stand, and how their cells are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kexp.builtin.label_cells import labels_of_columns, split_at
from kexp.contracts import TaskOptions
from kexp.files.cells import column_of
from kexp.files.columns import cell
from kexp.inference.input_tables import Row, Table


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """The column of labels, or one column of 0 and 1 for each of several labels, read as those of training.

    ``separator`` stands between the labels of a cell; ``blank`` are the labels of a blank cell, None where they are
    missing.
    """

    names: tuple[str, ...]
    separator: str | None = None
    blank: tuple[str, ...] | None = None

    @classmethod
    def of(cls, dataset: Mapping[str, Any], columns: Sequence[str], given: str | None = None) -> LabelColumns:
        """Return the column that is given, or those of a spec's ``[dataset]``, or "label" if the table lacks these.

        ``label`` is what the files of kexp itself call it. Cells are divided as in training where the column is that
        of training.
        """
        stated = dataset.get("label", "label")
        trained = tuple(stated) if isinstance(stated, list | tuple) else (str(stated),)
        if given is None and {*trained} <= {*columns}:
            given = trained[0] if len(trained) == 1 else None
            if given is None:
                return cls(trained, blank=_blank(dataset))
        name = given or "label"
        return cls((name,), dataset.get("label_separator"), _blank(dataset)) if (name,) == trained else cls((name,))

    def need(self, table: Table) -> None:
        """Raise ``DataError`` where a table lacks one of the columns."""
        for name in self.names:
            table.need(name, "--label")

    def read(self, rows: Sequence[Row], task: TaskOptions, source: str, numbers: Sequence[int]) -> list[str]:
        """Return the label of every row; raises ``DataError`` for a cell that is none, with the number of its row."""
        if len(self.names) == 1:
            cells = [cell(row, self.names[0]) for row in rows]
            return column_of(cells, lambda value: self.label_of(value, task), source, self.names[0], numbers)
        values = {name: [cell(row, name) for row in rows] for name in self.names}
        found = labels_of_columns(values, self.names, {}, source, numbers)
        return [task.label_of(self.blank if names is None else names) for names in found]

    def label_of(self, value: Any, task: TaskOptions) -> str:
        """Return what a cell says; raises ``ValueError`` for one that is no label."""
        if not task.several:
            return task.label_of(value)
        names = split_at(self.separator)(value)
        return task.label_of(self.blank if names is None else names)


def _blank(dataset: Mapping[str, Any]) -> tuple[str, ...] | None:
    return () if dataset.get("blank_label") == "none" else None
