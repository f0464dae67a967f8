"""Evaluating a trained model on other labelled data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kexp.contracts import Metric
from kexp.errors import DataError
from kexp.evaluate.predictions import Predictions
from kexp.inference.columns import TextColumns
from kexp.inference.model import TrainedModel
from kexp.inference.predict import Counts, readable
from kexp.inference.tables import Row, Table


@dataclass(frozen=True, slots=True)
class Labels:
    """The column of the true labels and how its names map to the model's; ``ignore`` skips unknown ones."""

    column: str
    names: Mapping[str, str]
    known: frozenset[str]
    ignore: bool

    def of(self, row: Row) -> str:
        """Return the label of a row by the model's name; empty if there is none."""
        value = row.get(self.column)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        # Many programs write a column of integers with gaps as floats: 1.0 is the label 1.
        whole = isinstance(value, float) and value.is_integer()
        label = str(int(value) if whole else value).strip()
        return self.names.get(label, label)

    def check(self, table: Table, known: str) -> Counter[str]:
        """Read the labels of a whole table and return the numbers of rows of labels that the model does not have.

        Raises ``DataError`` for rows without a label, and for unknown labels unless they are ignored.
        """
        table.need(self.column, "--label")
        counts = Counter(self.of(row) for row in table.rows)
        if missing := counts.pop("", 0):
            finding = "1 row has no label; fill it in or remove it"
            many = f"{missing:,} rows have no label; fill them in or remove them"
            raise DataError(f"{table.source}: {finding if missing == 1 else many}")
        if not counts:
            raise DataError(f"{table.source}: it has no rows")
        unknown = Counter({label: rows for label, rows in counts.items() if label not in self.known})
        if len(unknown) == len(counts) or (unknown and not self.ignore):
            found = ", ".join(f'"{label}" ({rows:,} rows)' for label, rows in unknown.most_common(10))
            more = f" and {len(unknown) - 10} others" if len(unknown) > 10 else ""
            finding = f"unknown labels: {found}{more}; the model has {known}"
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
) -> tuple[dict[str, Any], Counts]:
    """Predict a labelled table and return metrics, scores per label and confusion matrix, with the counts of rows.

    Texts are held in memory chunk by chunk, probabilities all at once.
    """
    numbers = {label: number for number, label in enumerate(model.labels)}
    truth: list[int] = []
    probabilities = [np.empty((0, len(model.labels)))]
    counts = Counts()
    for chunk in table.chunks():
        known = [row for row in chunk if labels.of(row) in numbers]
        kept, texts, pairs = readable(known, columns)
        answers = model.answer_joined(texts, pairs)
        truth += [numbers[labels.of(known[number])] for number in kept]
        probabilities.append(answers.probabilities)
        counts.rows += len(kept)
        counts.empty += len(known) - len(kept)
        counts.add(answers)
        progress(counts.rows)
    if not truth:
        raise DataError(f"{table.source}: it has no row with text and a known label")
    predictions = Predictions(np.asarray(truth, np.int64), np.concatenate(probabilities))
    found = {
        "labels": list(model.labels),
        "metrics": predictions.measure(metrics),
        "per_class": predictions.per_class(tuple(model.labels)),
        "confusion_matrix": predictions.confusion_matrix(),
    }
    return found, counts
