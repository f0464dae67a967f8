"""Scores of rows: their mean is the metric, and their spread is that of the metric."""

from __future__ import annotations

import numpy as np
import pytest

from kexp.builtin.metrics import MAE, MSE, Accuracy, CrossEntropy, MacroF1, WeightedF1
from kexp.contracts import MetricContext, MetricOptions
from kexp.evaluate.row_scores import ROW_SCORES

METRICS: dict[str, MetricOptions] = {
    "accuracy": Accuracy(), "macro_f1": MacroF1(), "weighted_f1": WeightedF1(), "cross_entropy": CrossEntropy(),
    "mse": MSE(), "mae": MAE(),
}  # fmt: skip


def draw(rows: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels of unequal shares, and probabilities that fit them more or less."""
    generator = np.random.default_rng(seed)
    true = generator.choice(labels, size=rows, p=np.arange(1, labels + 1) / np.arange(1, labels + 1).sum())
    logits = generator.normal(size=(rows, labels)) + 1.2 * np.eye(labels)[true]
    odds = np.exp(logits)
    return true, odds / odds.sum(1, keepdims=True)


@pytest.mark.parametrize("name", ROW_SCORES)
@pytest.mark.parametrize("labels", [2, 5])
def test_the_mean_is_the_metric_and_the_spread_that_of_leaving_rows_out(name: str, labels: int) -> None:
    rows = 400
    true, probabilities = draw(rows, labels, labels)
    metric = METRICS[name].build(MetricContext(tuple(map(str, range(labels)))))
    scores = ROW_SCORES[name](true, probabilities)
    assert scores.shape == (rows,)
    assert scores.mean() == pytest.approx(metric(true, probabilities), abs=1e-12)
    # The jackknife (Efron & Tibshirani 1993, chapter 11), by a plain loop.
    kept = ~np.eye(rows, dtype=bool)
    without = np.array([metric(true[at], probabilities[at]) for at in kept])
    jackknife = (rows - 1) / rows * ((without - without.mean()) ** 2).sum()
    assert scores.var(ddof=1) / rows == pytest.approx(jackknife, rel=0.02)


@pytest.mark.parametrize("name", ["macro_f1", "weighted_f1"])
def test_labels_that_do_not_occur_count_as_in_the_metric(name: str) -> None:
    true, guesses = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    metric = METRICS[name].build(MetricContext(("a", "b", "c", "d")))
    probabilities = np.eye(4)[guesses]
    assert ROW_SCORES[name](true, probabilities).mean() == pytest.approx(metric(true, probabilities))
