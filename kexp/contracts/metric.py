"""What a metric promises: a number from labels and probabilities."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Real
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from kexp.errors import KexpError, PluginError, blamed
from kexp.options import Options, component, title

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


def build_metric(options: MetricOptions) -> Metric:
    """Build a metric that raises ``PluginError`` with its name, whatever goes wrong, and gives plain numbers."""
    name = title(options)
    with blamed(name):
        metric = options.build()

    def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        try:
            with blamed(name):
                value = metric(labels, probabilities)
        except PluginError:
            raise
        # What a metric says to users has no name in it: it does not know under which one it is registered.
        except KexpError as error:
            raise PluginError(f"{name}: {error}") from error
        if not isinstance(value, Real):
            raise PluginError(f"{name}: returned {_described(value)}, expected a number")
        return float(value)

    return measure


def _described(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
