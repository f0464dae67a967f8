"""What a metric promises: a number from labels and probabilities."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from kexp.options import Options, component

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Metric(Protocol):
    """A number from labels and probabilities."""

    def __call__(self, labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        """Score label ids of shape (rows,) against probabilities of shape (rows, labels)."""


class MetricOptions(Options):
    """Base of every metric."""

    kind: ClassVar[str] = "metric"
    greater_is_better: ClassVar[bool] = True
    """Whether more is better; a metric that is to be small, such as an error, says False."""

    @abstractmethod
    def build(self) -> Metric:
        """Return the metric."""


AnyMetric = Annotated[MetricOptions, *component("metric")]
"""A field that holds a component of this kind."""
