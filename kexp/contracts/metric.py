"""What a metric promises: a number from labels and probabilities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from kexp.contracts.task import CLASS
from kexp.errors import PluginError, describe_value, plugin_call
from kexp.options import Options, build_component, component, component_title

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Metric(Protocol):
    """A number from labels and probabilities."""

    def __call__(self, labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
        """Score label ids of shape (rows,) against probabilities of shape (rows, labels), or those of its targets."""


@dataclass(frozen=True, slots=True)
class MetricContext:
    """What a metric is built for: the names of the labels, by id, and how the task decides.

    ``decide`` returns the targets that predictions decide for: with one label per row, the id of the largest
    probability. With thresholds, they are those chosen on the validation predictions of the model that is measured.
    """

    label_names: Sequence[str]
    decide: Callable[[NDArray[np.float64]], NDArray[Any]] = lambda predictions: predictions.argmax(1)


class MetricOptions(Options):
    """Base of every metric."""

    kind: ClassVar[str] = "metric"
    targets: ClassVar[Collection[str]] = (CLASS,)
    """Kinds of targets that it is defined for: see ``TaskOptions.measured_as``."""
    greater_is_better: ClassVar[bool] = True
    """Whether greater values are better; False for an error or a loss."""

    @abstractmethod
    def build(self, context: MetricContext) -> Metric:
        """Return the metric; raises ``KexpError`` where an option names a label that the data does not have."""


AnyMetric = Annotated[MetricOptions, *component("metric")]
"""A field that holds a component of this kind."""


def build_metrics(
    metrics: Iterable[MetricOptions], context: MetricContext, name_of: Callable[[type[Options]], str]
) -> dict[str, Metric]:
    """Build metrics by the names under which they are registered."""
    return {name_of(type(options)): build_metric(options, context) for options in metrics}


def build_metric(options: MetricOptions, context: MetricContext) -> Metric:
    """Build a metric that raises ``PluginError`` with its name, whatever goes wrong, and gives plain numbers."""
    title, metric = component_title(options), build_component(options, context)

    def measure(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
        with plugin_call(title):
            value = metric(labels, probabilities)
        if not isinstance(value, Real):
            raise PluginError(f"{title}: returned {describe_value(value)}, expected a number")
        return float(value)

    return measure
