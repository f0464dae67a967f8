"""Metrics, computed by scikit-learn, which is imported when something is measured: training need not wait for it."""

from __future__ import annotations

from collections.abc import Mapping

from kexp.builtin.metrics.classes import (
    ECE,
    F1,
    MAE,
    MCC,
    MSE,
    Accuracy,
    CrossEntropy,
    MacroF1,
    Precision,
    Recall,
    WeightedF1,
)
from kexp.builtin.metrics.label_sets import (
    LRAP,
    HammingLoss,
    MacroAUC,
    MicroAUC,
    MicroF1,
    SamplesF1,
    SubsetAccuracy,
)
from kexp.builtin.metrics.numbers import RMSE, Pearson, QuadraticKappa, RankMAE, Spearman
from kexp.contracts import MetricOptions

METRICS: Mapping[str, type[MetricOptions]] = {
    "accuracy": Accuracy,
    "macro_f1": MacroF1,
    "weighted_f1": WeightedF1,
    "f1": F1,
    "precision": Precision,
    "recall": Recall,
    "mcc": MCC,
    "cross_entropy": CrossEntropy,
    "mse": MSE,
    "mae": MAE,
    "ece": ECE,
    "micro_f1": MicroF1,
    "samples_f1": SamplesF1,
    "subset_accuracy": SubsetAccuracy,
    "hamming_loss": HammingLoss,
    "lrap": LRAP,
    "macro_auc": MacroAUC,
    "micro_auc": MicroAUC,
    "pearson": Pearson,
    "spearman": Spearman,
    "rmse": RMSE,
    "quadratic_kappa": QuadraticKappa,
    "rank_mae": RankMAE,
}

__all__ = [
    "ECE",
    "F1",
    "LRAP",
    "MAE",
    "MCC",
    "METRICS",
    "MSE",
    "RMSE",
    "Accuracy",
    "CrossEntropy",
    "HammingLoss",
    "MacroAUC",
    "MacroF1",
    "MicroAUC",
    "MicroF1",
    "Pearson",
    "Precision",
    "QuadraticKappa",
    "RankMAE",
    "Recall",
    "SamplesF1",
    "Spearman",
    "SubsetAccuracy",
    "WeightedF1",
]
