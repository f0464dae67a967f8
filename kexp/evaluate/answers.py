"""What a model says of rows beside what is true, and measures of it as means over rows, for every kind of targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


def in_chunks(weights: Numbers, size: int, most: int = 2**22) -> Iterator[Numbers]:
    """Yield some resamples at a time, for a measure that needs ``size`` numbers for each of them."""
    per_chunk = max(1, most // max(size, 1))
    for start in range(0, len(weights), per_chunk):
        yield weights[start : start + per_chunk]
