"""What the prepared data show that is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kexp.data.rows import PreparedData
from kexp.plan.cross_checks import more_validation, stated_validation
from kexp.seeds import generator
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW_CHANGES = 0.5
"""Share of the label changes of a random order below which rows stand in blocks of one label."""


def data_warnings(spec: Spec, data: PreparedData) -> Iterator[str]:
    """Yield warnings about a run's data: labels in blocks, more labels to choose by than to train on, rows left out."""
    if spec.sampler.keeps_order and spec.task.classes:
        order = spec.sampler.order(data.train.labels, generator(0, "order of labels"))
        yield from _blocks(data.train.labels[order])
    yield from row_warnings(spec, data)


def row_warnings(spec: Spec, data: PreparedData) -> Iterator[str]:
    """Yield the warnings that are not about the order of the rows."""
    # Of numbers that the spec states it was warned when it was checked.
    if spec.labelled.chosen and "validation" in data.splits and not list(stated_validation(spec)):
        labelled = len(data.train) - data.record["splits"]["train"].get("added_by_seed_words", 0)
        yield from more_validation(spec, len(data.splits["validation"]), labelled)
    missing = data.record["splits"].get("unlabelled", {}).get("without_augmented_view", 0)
    if missing:
        rest = data.record["splits"]["train"].get("unlabelled", 0)
        remedy = '; labelled.pool_from = "file" keeps the rest of train out' if rest else ""
        yield f"{missing:,} unlabelled rows have no augmented view and are left out{remedy}"


def label_changes(labels: NDArray[np.int64]) -> tuple[int, float]:
    """Return how often the label changes from row to row, and how often it would in a random order."""
    import numpy as np

    count = len(labels)
    shares = np.bincount(labels) / max(count, 1)
    # Two neighbours of a random order are two different rows.
    return int((labels[1:] != labels[:-1]).sum()), float(count * (1 - (shares**2).sum()))


def _blocks(labels: NDArray[np.int64]) -> Iterator[str]:
    """Yield a warning if labels in training order change far less often than in a random order."""
    changes, expected = label_changes(labels)
    if changes < FEW_CHANGES * expected:
        yield (
            f"the train rows are ordered by label: in the order of training the label changes {changes:,} times in "
            f"{len(labels):,} rows, about {expected:,.0f} times in a random order, so that batches have few labels; "
            'use sampler = "random", or shuffle the data'
        )
