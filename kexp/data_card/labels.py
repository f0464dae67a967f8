"""What the labels of train are, where a row has not one out of few: sets with their sizes and pairs, or numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.data_card.rows import CardRows

if TYPE_CHECKING:
    import pandas as pd

PAIRS = 20
"""Pairs of names of one row that are told, the most frequent ones."""
BINS = 20
"""Bars of a histogram of numbers."""
QUANTILES = (0, 5, 25, 50, 75, 95, 100)

NEED_CLASSES = (
    "classes of unequal size",
    "the order of labels",
    "likely label errors",
    "labels that a simple trait gives away",
)
"""What is looked for only where a row has one label out of few."""


def labels_of_rows(rows: CardRows) -> Mapping[str, Any]:
    """Return what is told of the labels of train as they are read, as plain JSON; empty where classes are counted.

    Of sets: ``per_row``, how many rows have how many names, and ``together``, the most frequent pairs. Of numbers:
    ``quantiles`` in per cent, and ``histogram``, of which each bar has the number that it begins with and its rows.
    """
    task, train = rows.spec.task, rows.read["train"]["label"]
    known = train[train != ""]
    if task.classes or not len(known):
        return {}
    if task.several:
        return _of_sets([task.names_in(label) for label in known])
    values = task.encode(known.tolist(), ())
    return _of_numbers(values) if values.ndim == 1 and values.dtype.kind == "f" else {}


def _of_sets(sets: Sequence[Sequence[str]]) -> dict[str, Any]:
    sizes = Counter(map(len, sets))
    pairs = Counter(pair for names in sets for pair in combinations(sorted(names), 2))
    most = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:PAIRS]
    return {
        "rows": len(sets),
        "per_row": {str(size): sizes[size] for size in sorted(sizes)},
        "together": [{"labels": list(pair), "rows": count} for pair, count in most],
    }


def _of_numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    counts, edges = np.histogram(values, min(BINS, len(np.unique(values))))
    quantiles = zip(QUANTILES, np.percentile(values, QUANTILES).tolist(), strict=True)
    return {
        "rows": len(values),
        "mean": float(values.mean()),
        "spread": float(values.std()),
        "quantiles": {f"{percent} %": value for percent, value in quantiles},
        "histogram": [[low, count] for low, count in zip(edges.tolist(), counts.tolist(), strict=False)],
    }


def counted_labels(rows: CardRows, frames: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, int]]:
    """Return the rows of each label by split, sorted; of sets those of each name, of numbers those of ranges.

    Unlabelled rows have the label "".
    """
    found = {split: frame["label"].value_counts().sort_index().to_dict() for split, frame in frames.items()}
    return {split: dict(of) for split, of in rows.spec.task.tally(found).items()}


def not_looked_at(rows: CardRows) -> Iterator[str]:
    """Yield what is not looked for, since rows have no class."""
    if not rows.spec.task.classes:
        yield f"not looked at, since a row has not one label out of few: {', '.join(NEED_CLASSES)}"
