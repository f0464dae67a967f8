"""Metrics of label sets: targets of 0 and 1, and probabilities of each label, both of shape (rows, names)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from kexp.contracts import Metric, MetricContext, MetricOptions
from kexp.contracts.task import LABEL_SET

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANCE = 0.5
"""Area under the curve of scores that say nothing."""


class LabelSetMetric(MetricOptions):
    """Base of metrics that are defined for label sets alone."""

    targets: ClassVar[Collection[str]] = (LABEL_SET,)


class MicroF1(LabelSetMetric):
    """F1 over all labels of all rows together; without a correct label 0."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import f1_score

            decided = context.decide(probabilities)
            return float(f1_score(labels.ravel(), decided.ravel(), zero_division=0))

        return measure


class SamplesF1(LabelSetMetric):
    """F1 of the labels of each row, averaged; a row without labels counts as 1 where none is predicted, else as 0."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            decided = context.decide(probabilities)
            found, there = 2 * (labels * decided).sum(1), labels.sum(1) + decided.sum(1)
            return float(((found + (there == 0)) / there.clip(min=1)).mean())

        return measure


class SubsetAccuracy(LabelSetMetric):
    """Share of rows all of whose labels are predicted, and no others."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import accuracy_score

            return float(accuracy_score(labels, context.decide(probabilities)))

        return measure


class HammingLoss(LabelSetMetric):
    """Share of wrong decisions, where each label of each row is one."""

    greater_is_better: ClassVar[bool] = False

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import hamming_loss

            return float(hamming_loss(labels, context.decide(probabilities)))

        return measure


class LRAP(LabelSetMetric):
    """Label ranking average precision: how far above a row's other labels its own stand (Tsoumakas et al. 2010).

    For each label of a row, the share of its own among the labels with at least that probability; averaged over the
    labels of a row, then over rows. Rows that have no label or all of them are left out, since nothing can be ranked
    wrongly in them: scikit-learn counts them as 1. Where no row is left it is 1, as in scikit-learn.
    """

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in (0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            from sklearn.metrics import label_ranking_average_precision_score

            ranked = both_values(labels, axis=1)
            if not ranked.any():
                return 1.0
            return float(label_ranking_average_precision_score(labels[ranked], probabilities[ranked]))

        return measure


class MacroAUC(LabelSetMetric):
    """Area under the ROC curve of each label, averaged with equal weight: needs no thresholds.

    It is the probability that a row with the label gets a higher probability than one without it. Labels that all rows
    have, or none, have no curve and are left out; where no label is left it is 0.5, that of chance.
    """

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            import numpy as np

            defined = np.flatnonzero(both_values(labels, axis=0))
            areas = [_area(labels[:, label], probabilities[:, label]) for label in defined]
            return float(np.mean(areas)) if areas else CHANCE

        return measure


class MicroAUC(LabelSetMetric):
    """Area under the ROC curve over all labels of all rows together; 0.5, that of chance, where all are alike."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric, in [0, 1]."""

        def measure(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
            flat = labels.ravel()
            return _area(flat, probabilities.ravel()) if both_values(flat, axis=0) else CHANCE

        return measure


def both_values(labels: NDArray[np.int64], axis: int) -> NDArray[np.bool_]:
    """Return where both 0 and 1 occur along an axis."""
    both: NDArray[np.bool_] = labels.min(axis) != labels.max(axis)
    return both


def _area(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
