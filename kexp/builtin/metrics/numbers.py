"""Metrics of numbers and of ordered classes, computed by scikit-learn and SciPy, which are imported when measuring.

Where a coefficient is not defined, since all numbers or all classes are equal, it is 0: nothing says that the
predictions go with the labels. A NaN would neither be better nor worse than another value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar

from kexp.contracts import Metric, MetricContext, MetricOptions
from kexp.contracts.task import NUMBER, ORDERED_CLASS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pearson(MetricOptions):
    """Pearson's correlation of true and predicted numbers; 0 where either are all equal."""

    targets: ClassVar[Collection[str]] = (NUMBER,)

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [-1, 1]."""

        def correlation(labels: NDArray[Any], predicted: NDArray[np.float64]) -> float:
            from scipy.stats import pearsonr

            return float(pearsonr(labels, predicted).statistic)

        return _where_defined(correlation)


class Spearman(MetricOptions):
    """Spearman's rank correlation of true and predicted numbers, equal ones with their mean rank; 0 as ``pearson``."""

    targets: ClassVar[Collection[str]] = (NUMBER,)

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [-1, 1]."""

        def correlation(labels: NDArray[Any], predicted: NDArray[np.float64]) -> float:
            from scipy.stats import spearmanr

            return float(spearmanr(labels, predicted).statistic)

        return _where_defined(correlation)


def _where_defined(correlation: Callable[[NDArray[Any], NDArray[np.float64]], float]) -> Metric:
    """Return a metric that is 0 where labels or predictions are all equal."""

    def measure(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
        import numpy as np

        predicted = probabilities[:, 0]
        if not np.isfinite(predicted).all():
            raise ValueError("a predicted number is not finite")
        if _constant(labels) or _constant(predicted):
            return 0.0
        return correlation(labels, predicted)

    return measure


def _constant(values: NDArray[np.float64]) -> bool:
    """Return whether numbers are equal, or differ by no more than rounding, which would be a correlation of noise."""
    import numpy as np

    return bool(np.ptp(values) <= 1e-13 * np.abs(values).max())


class RMSE(MetricOptions):
    """Square root of the mean squared error of the numbers, in their unit."""

    targets: ClassVar[Collection[str]] = (NUMBER,)
    greater_is_better: ClassVar[bool] = False

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, from 0 upwards."""

        def measure(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import root_mean_squared_error

            return float(root_mean_squared_error(labels, probabilities[:, 0]))

        return measure


class QuadraticKappa(MetricOptions):
    """Agreement of true and predicted classes beyond chance, errors weighted by squared distance (Cohen 1968).

    0 where true and predicted classes are all the same one, where it is not defined.
    """

    targets: ClassVar[Collection[str]] = (ORDERED_CLASS,)

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [-1, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import cohen_kappa_score

            decided: NDArray[Any] = context.decide(probabilities)
            if labels.min() == labels.max() == decided.min() == decided.max():
                return 0.0
            known = range(probabilities.shape[1])
            return float(cohen_kappa_score(labels, decided, labels=known, weights="quadratic"))

        return measure


class RankMAE(MetricOptions):
    """Mean number of classes between the true and the predicted one."""

    targets: ClassVar[Collection[str]] = (ORDERED_CLASS,)
    greater_is_better: ClassVar[bool] = False

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, from 0 to K - 1."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import mean_absolute_error

            return float(mean_absolute_error(labels, context.decide(probabilities)))

        return measure
