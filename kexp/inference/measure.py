"""Measuring a trained model on labelled data that it was not made with."""

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
from kexp.inference.model import TrainedModel
from kexp.inference.predict import Counts, readable
from kexp.inference.tables import Row, Table


@dataclass(frozen=True, slots=True)
class Labels:
    """Which column holds the true labels, and what the names in it mean; ``ignore`` leaves unknown ones out."""

    column: str
    names: Mapping[str, str]
    known: frozenset[str]
    ignore: bool

    def of(self, row: Row) -> str:
        """Return the label of a row in the model's words, empty where there is none."""
        value = row.get(self.column)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        # A column with gaps is one of floats to many programs: 1.0 is the label 1.
        whole = isinstance(value, float) and value.is_integer()
        label = str(int(value) if whole else value).strip()
        return self.names.get(label, label)

    def check(self, table: Table, known: str) -> Counter[str]:
        """Read the labels of a whole table and return those that the model does not know, with their rows.

        Raises ``DataError`` for rows without a label, and for unknown labels unless they are ignored.
        """
        table.need(self.column, "--label")
        counts = Counter(self.of(row) for row in table.rows)
        if missing := counts.pop("", 0):
            finding = "1 row has no label; fill it in or remove it"
            many = f"{missing:,} rows have no label; fill them in or remove them"
            raise DataError(f"{table.source}: {finding if missing == 1 else many}")
        if not counts:
            raise DataError(f"{table.source}: there are no rows")
        unknown = Counter({label: rows for label, rows in counts.items() if label not in self.known})
        if len(unknown) == len(counts) or (unknown and not self.ignore):
            found = ", ".join(f'"{label}" ({rows:,} rows)' for label, rows in unknown.most_common(10))
            more = f" and {len(unknown) - 10} others" if len(unknown) > 10 else ""
            finding = f"labels that the model does not know: {found}{more}; it knows {known}"
            remedy = "" if self.ignore else ", or leave their rows out with --ignore-unknown"
            raise DataError(f"{table.source}: {finding}; rename them with --rename OLD=NEW{remedy}")
        return unknown


def measure(
    model: TrainedModel,
    table: Table,
    text: str,
    pair: str | None,
    labels: Labels,
    metrics: Mapping[str, Metric],
    told: Callable[[int], None] = lambda rows: None,
) -> tuple[dict[str, Any], Counts]:
    """Predict a labelled table and return what the metrics say of it, with the counts of the rows.

    Texts are held in memory chunk by chunk, probabilities all at once.
    """
    numbers = {label: number for number, label in enumerate(model.labels)}
    truth: list[int] = []
    probabilities = [np.empty((0, len(model.labels)))]
    counts = Counts()
    for chunk in table.chunks():
        known = [row for row in chunk if labels.of(row) in numbers]
        kept, texts, pairs = readable(known, text, pair)
        answers = model.answer(texts, pairs)
        truth += [numbers[labels.of(known[number])] for number in kept]
        probabilities.append(answers.probabilities)
        counts.rows += len(kept)
        counts.empty += len(known) - len(kept)
        counts.truncated += answers.truncated
        counts.blank += answers.blank
        told(counts.rows)
    if not truth:
        raise DataError(f"{table.source}: no row with text and a known label is left")
    predictions = Predictions(np.asarray(truth, np.int64), np.concatenate(probabilities))
    found = {
        "labels": list(model.labels),
        "metrics": predictions.measure(metrics),
        "per_class": predictions.per_class(tuple(model.labels)),
        "confusion_matrix": predictions.confusion_matrix(),
    }
    return found, counts
