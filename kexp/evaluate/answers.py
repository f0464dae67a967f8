"""What a model says of rows beside what is true, and measures of it as means over rows, for every kind of targets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Targets and predictions of some rows, as the task makes them, and ``decided``, the targets it decides for.

    All have the rows as their first axis.
    """

    targets: NDArray[Any]
    predictions: NDArray[np.float64]
    decided: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)


Weighted = Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]
"""From weights of rows, shape (resamples, rows), to the measure of each resample, shape (resamples,)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of one kind of targets.

    ``scores`` returns numbers of shape (rows,) whose mean is the metric: what each row counts, or for a metric that is
    no mean its value plus the influence of every row on it (the infinitesimal jackknife, Jaeckel 1972; Efron 1982).
    ``weighted`` returns the metric of rows that are drawn several times or not at all.
    """

    scores: Callable[[Answers], Numbers]
    weighted: Callable[[Answers], Weighted]


def mean_of(scores: Callable[[Answers], Numbers]) -> Measure:
    """Return the measure of a metric that is the mean of what each row counts."""

    def weighted(answers: Answers) -> Weighted:
        counted = scores(answers)
        return lambda weights: weights @ counted / weights.sum(1)

    return Measure(scores, weighted)


def measures_of(kinds: Collection[str]) -> dict[str, Measure]:
    """Return the measures by metric that are known for some kinds of targets (``TaskOptions.measured_as``)."""
    from kexp.evaluate.label_set_measures import LABEL_SET_MEASURES
    from kexp.evaluate.number_measures import NUMBER_MEASURES
    from kexp.evaluate.order_measures import ORDER_MEASURES

    known: Mapping[str, Mapping[str, Measure]] = {
        "label-set": LABEL_SET_MEASURES,
        "number": NUMBER_MEASURES,
        "ordered-class": ORDER_MEASURES,
    }
    return {name: measure for kind in kinds for name, measure in known.get(kind, {}).items()}


def row_scores_of(kinds: Collection[str]) -> dict[str, Callable[[Answers], Numbers]]:
    """Return by metric what every row counts in it, for all metrics of which that is known for these targets."""
    from kexp.contracts.task import CLASS
    from kexp.evaluate.row_scores import ROW_SCORES

    of_classes = {name: partial(_of_classes, name) for name in (ROW_SCORES if CLASS in kinds else ())}
    return {**of_classes, **{name: measure.scores for name, measure in measures_of(kinds).items()}}


def _of_classes(metric: str, answers: Answers) -> Numbers:
    from kexp.evaluate.row_scores import ROW_SCORES

    return ROW_SCORES[metric](answers.targets, answers.predictions)


def in_chunks(weights: Numbers, size: int, most: int = 2**22) -> Iterator[Numbers]:
    """Yield some resamples at a time, for a measure that needs ``size`` numbers for each of them."""
    per_chunk = max(1, most // max(size, 1))
    for start in range(0, len(weights), per_chunk):
        yield weights[start : start + per_chunk]
