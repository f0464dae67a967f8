"""Metrics of numbers and of ordered classes against loops and NumPy, and where they are not defined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kexp.builtin.metrics import MAE, MSE, RMSE, Pearson, QuadraticKappa, RankMAE, Spearman
from kexp.contracts import MetricContext
from kexp.contracts.metric import build_metric
from kexp.errors import PluginError
from kexp.evaluate.baselines import fit_baseline
from kexp.evaluate.row_scores import ROW_SCORES
from kexp.train.best_model import merit

CONTEXT = MetricContext(("1", "2", "3", "4", "5"))


def measured(options: Any, labels: Any, predicted: Any) -> float:
    return build_metric(options, CONTEXT)(np.asarray(labels), np.asarray(predicted))


def numbers(seed: int, rows: int = 50) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    labels = random.choice([0.0, 0.5, 1.25, 3, 5], rows)
    return labels, (labels + random.normal(0, 2, rows)).round(1)


def correlation(first: Any, second: Any) -> float:
    one, two = np.asarray(first) - np.mean(first), np.asarray(second) - np.mean(second)
    return float((one * two).sum() / math.sqrt((one**2).sum() * (two**2).sum()))


def ranks(values: Any) -> list[float]:
    return [
        sum(other < value for other in values) + (1 + sum(other == value for other in values)) / 2 for value in values
    ]


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_measured_as_the_formulas_say(seed: int) -> None:
    labels, predicted = numbers(seed)
    column = predicted[:, None]
    assert measured(Pearson(), labels, column) == pytest.approx(correlation(labels, predicted))
    assert measured(Spearman(), labels, column) == pytest.approx(correlation(ranks(labels), ranks(predicted)))
    errors = [p - t for p, t in zip(predicted.tolist(), labels.tolist(), strict=True)]
    assert measured(MSE(), labels, column) == pytest.approx(sum(error**2 for error in errors) / 50)
    assert measured(RMSE(), labels, column) == pytest.approx(math.sqrt(sum(error**2 for error in errors) / 50))
    assert measured(MAE(), labels, column) == pytest.approx(sum(map(abs, errors)) / 50)
    for name, options in (("mse", MSE()), ("mae", MAE())):
        assert ROW_SCORES[name](labels, column).mean() == pytest.approx(measured(options, labels, column))


@pytest.mark.parametrize("seed", range(3))
def test_ordered_classes_are_measured_as_the_formulas_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, probabilities = random.integers(5, size=80), random.dirichlet(np.ones(5), 80)
    decided = probabilities.argmax(1)
    seen = expected = distance = 0.0
    for true, said in zip(labels, decided, strict=True):
        seen += (true - said) ** 2 / 80
        distance += abs(int(true) - int(said)) / 80
        expected += sum((true - other) ** 2 for other in decided) / 80**2
    assert measured(QuadraticKappa(), labels, probabilities) == pytest.approx(1 - seen / expected)
    assert measured(RankMAE(), labels, probabilities) == pytest.approx(distance)


def test_classes_without_rows_have_their_place_in_the_order() -> None:
    probabilities = np.eye(5)[[0, 4, 4, 0]]
    assert measured(QuadraticKappa(), [0, 4, 4, 4], probabilities) == pytest.approx(1 - 0.25 / 0.5)


CONSTANT = [
    ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
    ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]),
    ([2.0, 2.0], [2.0, 2.0]),
    ([0.0, 0.0], [0.0, 0.0]),
    ([2.0], [1.0]),
    ([1.0, 2.0, 3.0], [0.1, 0.1 + 1e-17, 0.1 - 1e-16]),
]


@pytest.mark.parametrize(("labels", "predicted"), CONSTANT)
@pytest.mark.parametrize("options", [Pearson(), Spearman()])
def test_equal_numbers_have_no_correlation(
    options: Any, labels: list[float], predicted: list[float], recwarn: pytest.WarningsRecorder
) -> None:
    assert measured(options, labels, [[value] for value in predicted]) == 0.0
    assert not recwarn.list


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2]])
def test_one_class_alone_agrees_no_more_than_chance(labels: list[int]) -> None:
    assert measured(QuadraticKappa(), labels, np.eye(5)[[1, 1, 1]]) == 0.0
    assert measured(QuadraticKappa(), [1, 1, 1], np.eye(5)[labels]) == 0.0


@pytest.mark.parametrize("options", [Pearson(), Spearman(), RMSE(), MAE(), MSE()])
def test_predictions_that_are_no_numbers_are_refused(options: Any) -> None:
    with pytest.raises(PluginError):
        measured(options, [1.0, 2.0, 3.0], [[1.0], [math.nan], [2.0]])


def test_a_model_that_says_one_number_is_worse_than_one_that_follows_the_labels_and_better_than_one_against() -> None:
    labels = [1.0, 2.0, 3.0]
    scores = [measured(Pearson(), labels, [[of] for of in said]) for said in ([3, 2, 1.5], [2, 2, 2], [1, 2, 2.5])]
    assert [merit(score, None, greater_is_better=True) for score in scores] == sorted(
        merit(score, None, greater_is_better=True) for score in scores
    )


TEXTS = [f"{'재미있다 ' * good}{'지루하다 ' * (4 - good)}" for good in range(5)] * 6
SCORES = np.array([0.0, 1, 2, 3, 4] * 6)


def test_the_mean_is_that_of_train() -> None:
    assert fit_baseline("mean", TEXTS, SCORES, 1, seed=1)(["가", "나"]).tolist() == [[2.0], [2.0]]


def test_the_ridge_regression_is_that_of_the_normal_equations() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True, max_features=200_000)
    read = features.fit_transform(TEXTS).toarray()
    centred, mean = read - read.mean(0), SCORES.mean()
    weights = np.linalg.solve(centred.T @ centred + np.eye(read.shape[1]), centred.T @ (SCORES - mean))
    new = ["재미있다 재미있다 지루하다", "지루하다", "전혀 다른 글"]
    expected = (features.transform(new).toarray() - read.mean(0)) @ weights + mean
    found = fit_baseline("tfidf-ridge", TEXTS, SCORES, 1, seed=1)(new)
    assert found.shape == (3, 1)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-3)


def test_a_single_number_is_that_number() -> None:
    found = fit_baseline("tfidf-ridge", TEXTS[:3], np.full(3, 2.5), 1, seed=1)(["재미있다"])
    np.testing.assert_allclose(found, [[2.5]], atol=1e-6)


def test_the_numbers_of_the_ridge_regression_stay_within_the_bounds() -> None:
    from kexp.builtin.tasks import Regression

    predict = Regression(low=1, high=3).fit_baseline("tfidf-ridge", TEXTS, SCORES.clip(1, 3), ("score",), 0)
    found = predict([*TEXTS, "재미있다", "지루하다 지루하다"])
    assert found.min() >= 1
    assert found.max() <= 3
