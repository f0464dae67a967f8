"""Evaluating a trained model on other labelled data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Metric, TaskOptions
from kexp.errors import DataError
from kexp.evaluate.predictions import Predictions
from kexp.files import label_of
from kexp.files.cells import same_label
from kexp.inference.columns import TextColumns
from kexp.inference.input_tables import Row, Table
from kexp.inference.label_columns import LabelColumns
from kexp.inference.predict import Counts, Selection, readable
from kexp.inference.trained_model import TrainedModel
from kexp.names import alike, with_code_points

LEFT_OUT = "\0"
"""Stands for the labels whose rows the spec leaves out."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The columns of the true labels and how their names map to the model's; ``ignore`` skips unknown ones."""

    columns: LabelColumns
    task: TaskOptions
    names: Mapping[str, str]
    known: Sequence[str]
    ignore: bool
    leave_out: frozenset[str] = frozenset()

    @classmethod
    def of_model(
        cls, columns: LabelColumns, model: TrainedModel, names: Mapping[str, str] | None = None, *, ignore: bool = True
    ) -> Labels:
        """Return the labels of columns as the first model was trained on them; ``names`` precede those of its spec."""
        provenance = model.members[0].provenance
        renamed = {**provenance.label_names, **(names or {})}
        return cls(columns, model.task, renamed, model.labels, ignore, provenance.leave_out)

    def of(self, rows: Sequence[Row], source: str, first: int) -> list[str]:
        """Return the labels of rows by the model's names; empty where there is none.

        Raises ``DataError`` for a cell that is no label, with the number of its row, counted from ``first``.
        """
        labels = self.columns.read(rows, self.task, source, range(first, first + len(rows)))
        named = {label: self._named(label) for label in set(labels)}
        return [named[label] for label in labels]

    def readable(self, rows: Sequence[Row]) -> list[str]:
        """Return the labels of rows as ``of`` does; empty also where a cell is no label."""
        found = []
        for row in rows:
            try:
                label = self.columns.read([row], self.task, "", [1])[0]
            except DataError:
                label = ""
            found.append(self._named(label))
        return found

    def unknown(self, labels: Collection[str]) -> set[str]:
        """Return the labels of which the model cannot know whether it is right, and those that are left out."""
        return {*self.task.unknown(labels, self.known), *({LEFT_OUT} & {*labels})}

    def _named(self, label: str) -> str:
        """Return a label with its names as the model has them."""
        names = self.task.names_in(label)
        found = [self._name(name) for name in names]
        if label in self.leave_out or LEFT_OUT in found:
            return LEFT_OUT
        if found == [*names]:
            return label
        return self.task.label_of(found if self.task.several else found[0])

    def _name(self, label: str) -> str:
        if label in self.leave_out:
            return LEFT_OUT
        names = {label_of(old): new for old, new in self.names.items()}
        label = names.get(same_label(label, names), label)
        known = {label_of(name): name for name in self.known}
        return LEFT_OUT if label in self.leave_out else known.get(same_label(label_of(label), known), label)

    def check(self, table: Table, known: str) -> Counter[str]:
        """Read the labels of a whole table and return the numbers of rows of labels that the model does not have.

        Raises ``DataError`` for rows without a label, and for unknown labels unless they are ignored.
        """
        self.columns.need(table)
        counts: Counter[str] = Counter()
        for chunk in table.chunks():
            counts.update(self.of(chunk, table.source, counts.total() + 1))
        counts.pop(LEFT_OUT, None)
        if missing := counts.pop("", 0):
            finding = "1 row has no label; fill it in or remove it"
            many = f"{missing:,} rows have no label; fill them in or remove them"
            raise DataError(f"{table.source}: {finding if missing == 1 else many}")
        if not counts:
            raise DataError(f"{table.source}: it has no rows")
        others = self.unknown(counts)
        unknown = Counter({label: rows for label, rows in counts.items() if label in others})
        if len(unknown) == len(counts) or (unknown and not self.ignore):
            found = ", ".join(
                f'"{label}" ({rows:,} row{"" if rows == 1 else "s"})' for label, rows in unknown.most_common(10)
            )
            more = f" and {len(unknown) - 10} others" if len(unknown) > 10 else ""
            near = [label for group in alike([*self.known, *unknown]) if set(group) & others for label in group]
            differ = f"; these differ: {' and '.join(map(with_code_points, near))}" if near else ""
            finding = f"unknown labels: {found}{more}; the model has {known}{differ}"
            remedy = "" if self.ignore else ", or leave their rows out with --ignore-unknown"
            raise DataError(f"{table.source}: {finding}; rename them with --rename OLD=NEW{remedy}")
        return unknown


def measure(
    model: TrainedModel,
    table: Table,
    columns: TextColumns,
    labels: Labels,
    metrics: Mapping[str, Metric],
    progress: Callable[[int], None] = lambda rows: None,
    abstain: float | None = None,
) -> tuple[dict[str, Any], Counts]:
    """Predict a labelled table and return metrics and what else the task tells, with the counts of rows.

    Texts are held in memory chunk by chunk, predictions all at once. With ``abstain``, what a model answers that
    abstains below that probability is counted beside; the metrics are those of all rows.
    """
    task = model.task
    truth: list[NDArray[Any]] = []
    predicted: list[NDArray[np.float64]] = []
    counts, read = Counts(selection=Selection(abstain)), 0
    for chunk in table.chunks():
        known = labels.of(chunk, table.source, read + 1)
        counts.left_out += known.count(LEFT_OUT)
        others = labels.unknown({*known})
        rows = [row for row, label in enumerate(known) if label not in others]
        kept, texts, pairs = readable(
            [chunk[row] for row in rows], columns, table.source, [read + row + 1 for row in rows]
        )
        read += len(chunk)
        answers = model.answer_joined(texts, pairs)
        true = [known[rows[place]] for place in kept]
        truth.append(task.encode(true, model.labels))
        counts.selection.add(model, answers.probabilities, true)
        predicted.append(answers.probabilities)
        counts.rows += len(kept)
        counts.empty += len(rows) - len(kept)
        counts.add(answers)
        progress(counts.rows)
    if not counts.rows:
        raise DataError(f"{table.source}: it has no row with text and a known label")
    predictions = Predictions(np.concatenate(truth), np.concatenate(predicted))
    found = {
        "labels": list(model.labels),
        "metrics": predictions.measure(metrics),
        **({"decisions": dict(model.chosen)} if model.chosen else {}),
        **task.details(predictions.labels, predictions.probabilities, model.labels, model.chosen),
    }
    selection = counts.selection
    if abstain is not None:
        found["abstain"] = {
            "threshold": abstain,
            "answered": selection.answered,
            "coverage": selection.coverage,
            "accuracy": selection.accuracy,
        }
    return found, counts
