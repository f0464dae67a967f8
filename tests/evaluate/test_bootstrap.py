"""Intervals from a bootstrap over rows and repeats, against scikit-learn's metrics on the same resamples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, matthews_corrcoef

from kexp import seeds
from kexp.evaluate import bootstrap
from kexp.evaluate.bootstrap import METRICS, intervals, mean_interval
from kexp.evaluate.statistics import RANGES

Predictions = tuple[np.ndarray, np.ndarray]

SKLEARN = {
    "accuracy": lambda labels, p: accuracy_score(labels, p.argmax(1)),
    "macro_f1": lambda labels, p: f1_score(
        labels, p.argmax(1), labels=range(p.shape[1]), average="macro", zero_division=0
    ),
    "weighted_f1": lambda labels, p: f1_score(
        labels, p.argmax(1), labels=range(p.shape[1]), average="weighted", zero_division=0
    ),
    "mcc": lambda labels, p: matthews_corrcoef(labels, p.argmax(1)),
    "cross_entropy": lambda labels, p: log_loss(labels, p, labels=range(p.shape[1])),
    "mse": lambda labels, p: ((np.eye(p.shape[1])[labels] - p) ** 2).mean(),
    "mae": lambda labels, p: np.abs(np.eye(p.shape[1])[labels] - p).mean(),
}


def runs(number: int, rows: int = 60, labels: int = 4, skill: float = 1.5) -> list[Predictions]:
    """Draw the predictions of models for the same rows; the last label is rare."""
    generator = np.random.default_rng(5)
    true = generator.choice(labels, size=rows, p=[0.4, 0.35, 0.22, 0.03][:labels])
    logits = generator.normal(size=(number, rows, labels)) + skill * np.eye(labels)[true]
    odds = np.exp(logits)
    return [(true, of / of.sum(1, keepdims=True)) for of in odds]


def test_every_metric_of_resampled_rows_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 30)
    monkeypatch.setattr(bootstrap, "CHUNK", 700)
    assert set(SKLEARN) == set(METRICS)
    (one, two) = runs(2)
    found = bootstrap._resampled(
        [(len(run[0]), bootstrap._measure(METRICS, *run)) for run in (one, two)], seeds.generator(0, "x")
    )
    assert found.shape == (2, len(METRICS), 30)
    weights = np.concatenate(list(bootstrap._weights(60, seeds.generator(0, "x")))).astype(int)
    assert (weights.sum(1) == 60).all()
    for number, (labels, probabilities) in enumerate((one, two)):
        for resample in range(30):
            rows = np.repeat(np.arange(60), weights[resample])
            wanted = [SKLEARN[name](labels[rows], probabilities[rows]) for name in METRICS]
            assert found[number, :, resample] == pytest.approx(wanted, abs=1e-12)


def test_the_interval_is_that_of_a_plain_bootstrap_over_rows_and_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    three = runs(3)
    (low, high) = intervals(["accuracy"], [[one] for one in three], shared_rows=True)["accuracy"]
    weights = np.concatenate(list(bootstrap._weights(60, seeds.generator(0, "bootstrap/rows", 0)))).astype(int)
    drawn = seeds.generator(0, "bootstrap/units").integers(3, size=(3, 200))
    means = []
    for resample in range(200):
        rows = np.repeat(np.arange(60), weights[resample])
        of = [(labels[rows] == probabilities[rows].argmax(1)).mean() for labels, probabilities in three]
        means.append(np.mean([of[unit] for unit in drawn[:, resample]]))
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]))


@pytest.mark.parametrize("skill", [0.0, 1.5, 9.0])
@pytest.mark.parametrize("rows", [2, 5, 60])
def test_intervals_have_possible_values_and_hold_the_mean(rows: int, skill: float) -> None:
    found = intervals(METRICS, [[one] for one in runs(2, rows=rows, skill=skill)], shared_rows=True)
    for name, (low, high) in found.items():
        assert RANGES[name][0] <= low <= high <= RANGES[name][1]
    if rows == 60:
        for name, measure in SKLEARN.items():
            mean = np.mean([measure(*one) for one in runs(2, rows=rows, skill=skill)])
            assert found[name][0] <= mean <= found[name][1]


def test_models_that_are_always_right_have_an_interval_without_width() -> None:
    labels = np.array([0, 1, 1, 0])
    certain = (labels, np.eye(2)[labels])
    found = intervals(["accuracy", "macro_f1", "mcc", "mse"], [[certain], [certain]], shared_rows=True)
    assert found["accuracy"] == (1.0, 1.0)
    assert found["mse"] == (0.0, 0.0)
    # Resamples with one label alone have the MCC 0, as the metric has.
    assert (found["macro_f1"][1], found["mcc"][1]) == (1.0, 1.0)


def test_interval_is_wider_where_units_differ_more() -> None:
    alike, other = runs(1)[0], runs(1, skill=-1.0)[0]
    same = intervals(["accuracy"], [[alike], [alike]], shared_rows=True)["accuracy"]
    apart = intervals(["accuracy"], [[alike], [other]], shared_rows=True)["accuracy"]
    assert apart[1] - apart[0] > same[1] - same[0]


def test_units_with_rows_of_their_own_are_resampled_each_for_itself() -> None:
    one, two = runs(1, rows=60)[0], runs(1, rows=40)[0]
    found = intervals(["accuracy"], [[one], [two]], shared_rows=False)
    assert set(found) == {"accuracy"}
    assert 0 < found["accuracy"][0] < found["accuracy"][1] < 1


def test_runs_within_a_unit_are_averaged() -> None:
    a, b, c, d = runs(4)
    pairs = intervals(["mse"], [[a, b], [c, d]], shared_rows=True)["mse"]
    mean = np.mean([SKLEARN["mse"](*one) for one in (a, b, c, d)])
    assert pairs[0] < mean < pairs[1]


def test_metrics_without_such_an_interval_have_none() -> None:
    assert intervals(["ece", "f1", "accuracy"], [[one] for one in runs(2)], shared_rows=True).keys() == {"accuracy"}
    assert intervals(["ece"], [[one] for one in runs(2)], shared_rows=True) == {}
    nothing = (np.array([0, 1]), np.full((2, 2), np.nan))
    assert "cross_entropy" not in intervals(METRICS, [[nothing], [nothing]], shared_rows=True)


def test_interval_of_a_mean_over_rows_covers_it_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    found = [mean_interval(generator.integers(0, 2, 80).astype(float)) for _ in range(200)]
    assert 0.90 <= np.mean([low <= 0.5 <= high for low, high in found]) <= 0.99
    low, high = mean_interval(np.array([1.0, 0.0, -1.0, 1.0]))
    assert (-high, -low) == pytest.approx(mean_interval(np.array([-1.0, 0.0, 1.0, -1.0])))
