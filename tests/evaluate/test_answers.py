"""Measures of label sets, numbers and ordered classes as means over rows, against scikit-learn, scipy and loops."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from kexp.catalog import Catalog
from kexp.contracts import MetricContext
from kexp.evaluate.answers import Answers
from kexp.evaluate.measures import measures_of

Score = Callable[[Any, Any, Any], float]


def ranked(targets: Any, predictions: Any) -> float:
    """Return label ranking average precision of the rows in which something can be ranked wrongly."""
    some = (targets.sum(1) > 0) & (targets.sum(1) < targets.shape[1])
    return float(metrics.label_ranking_average_precision_score(targets[some], predictions[some]))


LABEL_SETS: dict[str, Score] = {
    "macro_f1": lambda t, p, d: metrics.f1_score(t, d, average="macro", zero_division=0),
    "weighted_f1": lambda t, p, d: metrics.f1_score(t, d, average="weighted", zero_division=0),
    "micro_f1": lambda t, p, d: metrics.f1_score(t, d, average="micro", zero_division=0),
    "samples_f1": lambda t, p, d: metrics.f1_score(t, d, average="samples", zero_division=1),
    "subset_accuracy": lambda t, p, d: metrics.accuracy_score(t, d),
    "hamming_loss": lambda t, p, d: metrics.hamming_loss(t, d),
    "lrap": lambda t, p, d: ranked(t, p),
}
NUMBERS: dict[str, Score] = {
    "mae": lambda t, p, d: metrics.mean_absolute_error(t, p[:, 0]),
    "mse": lambda t, p, d: metrics.mean_squared_error(t, p[:, 0]),
    "rmse": lambda t, p, d: metrics.root_mean_squared_error(t, p[:, 0]),
    "pearson": lambda t, p, d: float(stats.pearsonr(t, p[:, 0]).statistic),
    "spearman": lambda t, p, d: float(stats.spearmanr(t, p[:, 0]).statistic),
}
ORDERED: dict[str, Score] = {
    "rank_mae": lambda t, p, d: float(np.abs(t - d).mean()),
    "quadratic_kappa": lambda t, p, d: metrics.cohen_kappa_score(t, d, weights="quadratic"),
}
SCORES = {"label-set": LABEL_SETS, "number": NUMBERS, "ordered-class": ORDERED}
ALL = [(kind, name) for kind, of in SCORES.items() for name in of]


def answers(kind: str, rows: int, seed: int = 0) -> Answers:
    generator = np.random.default_rng(seed)
    if kind == "label-set":
        # Equal predictions within a row, rows without a label and with all of them occur.
        targets = (generator.random((rows, 4)) < [0.5, 0.3, 0.1, 0.4]).astype("int64")
        predictions = np.round((generator.random((rows, 4)) + targets) / 2, 1)
        return Answers(targets, predictions, (predictions >= 0.5).astype("int64"))
    if kind == "number":
        values = np.round(generator.normal(size=rows), 1)
        predictions = np.round(values + generator.normal(size=rows), 1)[:, None]
        return Answers(values, predictions, predictions[:, 0])
    targets = generator.integers(4, size=rows)
    predictions = generator.dirichlet(np.ones(4), rows) + np.eye(4)[targets] / 2
    return Answers(targets, predictions, predictions.argmax(1))


def score(kind: str, name: str, found: Answers, rows: Any = slice(None)) -> float:
    return SCORES[kind][name](found.targets[rows], found.predictions[rows], found.decided[rows])


def test_every_measure_is_tested() -> None:
    assert {(kind, name) for kind in SCORES for name in measures_of([kind])} == {*ALL}
    assert measures_of(["class", "of a plugin"]) == {}


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_mean_over_rows_is_the_metric(kind: str, name: str) -> None:
    found = answers(kind, 60)
    scores = measures_of([kind])[name].scores(found)
    assert scores.shape == (60,)
    assert scores.mean() == pytest.approx(score(kind, name, found))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_spread_between_rows_is_that_of_the_delete_one_jackknife(kind: str, name: str) -> None:
    rows = 400
    found = answers(kind, rows, 1)
    whole, every = score(kind, name, found), np.arange(rows)
    left_out = np.array([score(kind, name, found, every != row) for row in every])
    pseudo_values = rows * whole - (rows - 1) * left_out
    scores = measures_of([kind])[name].scores(found)
    assert np.corrcoef(scores, pseudo_values)[0, 1] > 0.999
    assert scores.std(ddof=1) == pytest.approx(pseudo_values.std(ddof=1), rel=0.03)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_weighted_measure_is_that_of_repeated_rows(kind: str, name: str) -> None:
    found, generator = answers(kind, 50, 2), np.random.default_rng(3)
    drawn = generator.integers(50, size=(7, 50))
    weights = np.stack([np.bincount(rows, minlength=50) for rows in drawn]).astype("float64")
    measured = measures_of([kind])[name].weighted(found)(weights)
    assert measured == pytest.approx([score(kind, name, found, rows) for rows in drawn])


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_a_constant_correlates_with_nothing(name: str) -> None:
    found = Answers(np.arange(5.0), np.ones((5, 1)), np.ones(5))
    measure = measures_of(["number"])[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not measure.scores(found).any()
        assert not measure.weighted(found)(np.ones((2, 5))).any()


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_measures_are_those_of_the_metrics(kind: str, name: str, catalog: Catalog) -> None:
    for found in (answers(kind, 40, 5), degenerate(kind)):
        metric = catalog.find("metric", name).options().build(MetricContext("abcd", lambda _, of=found: of.decided))
        value = metric(found.targets, found.predictions)
        measure = measures_of([kind])[name]
        assert measure.scores(found).mean() == pytest.approx(value)
        assert measure.weighted(found)(np.ones((1, len(found)))) == pytest.approx([value])


def degenerate(kind: str) -> Answers:
    """Return rows without a label, of one number, or of one class."""
    if kind == "label-set":
        nothing = np.zeros((6, 4), "int64")
        return Answers(nothing, np.full((6, 4), 0.1), nothing)
    if kind == "number":
        return Answers(np.ones(6), np.full((6, 1), 0.3), np.full(6, 0.3))
    return Answers(np.ones(6, "int64"), np.eye(4)[np.ones(6, "int64")], np.ones(6, "int64"))
