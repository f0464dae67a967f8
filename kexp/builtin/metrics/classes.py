"""Metrics of one label per row out of several; F1 and its parts also of label sets, errors also of numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kexp.contracts import Metric, MetricContext, MetricOptions
from kexp.contracts.task import CLASS, LABEL_SET, NUMBER
from kexp.errors import KexpError, did_you_mean
from kexp.evaluate.calibration import expected_calibration_error
from kexp.evaluate.row_scores import wanted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


ONE_OR_SEVERAL = (CLASS, LABEL_SET)


class Accuracy(MetricOptions):
    """Share of rows whose most probable label is the true one."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import accuracy_score

            return float(accuracy_score(labels, context.decide(probabilities)))

        return measure


class MacroF1(MetricOptions):
    """F1 of each label, averaged with equal weight; a label without a correct prediction counts as 0."""

    targets: ClassVar[Collection[str]] = ONE_OR_SEVERAL

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""
        return _f1(context, "macro")


class WeightedF1(MetricOptions):
    """F1 of each label, averaged in proportion to its rows."""

    targets: ClassVar[Collection[str]] = ONE_OR_SEVERAL

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""
        return _f1(context, "weighted")


def _f1(context: MetricContext, average: str) -> Metric:
    """Return the F1 of all labels, averaged, of the targets that the task decides for."""

    def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        from sklearn.metrics import f1_score

        decided, known = context.decide(probabilities), range(probabilities.shape[1])
        if labels.shape[1:] == (1,):
            # scikit-learn takes a single column for ids, of which the label is 1.
            labels, decided, known = labels[:, 0], decided[:, 0], range(1, 2)
        return float(f1_score(labels, decided, labels=known, average=average, zero_division=0))

    return measure


class OneLabel(MetricOptions):
    """Base of metrics of a single label against all others; 0 where they are not defined."""

    targets: ClassVar[Collection[str]] = ONE_OR_SEVERAL

    label: str = Field(description="Name of the label, as in the data or label_names.")

    @abstractmethod
    def score(self) -> Callable[..., Any]:
        """Return scikit-learn's function."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]; raises ``KexpError`` for a label that the data does not have."""
        names = context.label_names
        if self.label not in names:
            raise KexpError(f'evaluation.metrics: there is no label "{self.label}"; {did_you_mean(self.label, names)}')
        score, own = self.score(), names.index(self.label)
        return lambda labels, probabilities: float(
            score(_with_label(labels, own), _with_label(context.decide(probabilities), own), zero_division=0)
        )


def _with_label(targets: NDArray[np.int64], label: int) -> NDArray[np.bool_]:
    """Return which rows have a label, of ids or of sets."""
    found: NDArray[np.bool_] = targets == label if targets.ndim == 1 else targets[:, label] == 1
    return found


class F1(OneLabel):
    """F1 of one label: the harmonic mean of its precision and its recall."""

    def score(self) -> Callable[..., Any]:
        """Return scikit-learn's function."""
        from sklearn.metrics import f1_score

        return f1_score  # type: ignore[no-any-return]


class Precision(OneLabel):
    """Share of the rows predicted to have a label that do have it."""

    def score(self) -> Callable[..., Any]:
        """Return scikit-learn's function."""
        from sklearn.metrics import precision_score

        return precision_score  # type: ignore[no-any-return]


class Recall(OneLabel):
    """Share of the rows with a label that are predicted to have it."""

    def score(self) -> Callable[..., Any]:
        """Return scikit-learn's function."""
        from sklearn.metrics import recall_score

        return recall_score  # type: ignore[no-any-return]


class MCC(MetricOptions):
    """Matthews correlation coefficient for K classes (Gorodkin 2004)."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [-1, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import matthews_corrcoef

            predicted = context.decide(probabilities)
            # 0 by definition, where scikit-learn warns.
            single = labels.min() == labels.max() == predicted.min() == predicted.max()
            return 0.0 if single else float(matthews_corrcoef(labels, predicted))

        return measure


class CrossEntropy(MetricOptions):
    """Mean negative log probability of the true label, in nats."""

    greater_is_better: ClassVar[bool] = False

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, from 0 upwards."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import log_loss

            return float(log_loss(labels, probabilities, labels=range(probabilities.shape[1])))

        return measure


class MSE(MetricOptions):
    """Mean squared difference between the probabilities and the one-hot label, over rows and labels.

    It is the Brier score (1950) divided by the number of labels. Of numbers, the mean squared error.
    """

    targets: ClassVar[Collection[str]] = (CLASS, NUMBER)
    greater_is_better: ClassVar[bool] = False

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]; of numbers from 0 upwards."""

        def measure(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import mean_squared_error

            return float(mean_squared_error(wanted(labels, probabilities), probabilities))

        return measure


class MAE(MetricOptions):
    """Mean absolute difference between the probabilities and the one-hot label, over rows and labels.

    The differences of a row add up to 2 (1 - p_y): it is 2/K times the mean probability of wrong labels. Of numbers, it
    is the mean absolute error.
    """

    targets: ClassVar[Collection[str]] = (CLASS, NUMBER)
    greater_is_better: ClassVar[bool] = False

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1], at most 2/K for K labels; of numbers from 0 upwards."""

        def measure(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import mean_absolute_error

            return float(mean_absolute_error(wanted(labels, probabilities), probabilities))

        return measure


class ECE(MetricOptions):
    """Expected calibration error: mean gap between confidence and accuracy over equal bins (Guo et al. 2017, eq. 3)."""

    greater_is_better: ClassVar[bool] = False
    bins: int = Field(15, ge=2, le=1000, description="Number of equal bins of confidence.")

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""
        return lambda labels, probabilities: expected_calibration_error(
            probabilities.max(1), probabilities.argmax(1) == labels, self.bins
        )
