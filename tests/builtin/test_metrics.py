"""Metrics against plain loops and scikit-learn, with classes that are missing and models that are sure."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn import metrics as sklearn_metrics

from kexp.builtin.metrics import ECE, F1, MAE, MCC, MSE, Accuracy, CrossEntropy, MacroF1, Precision, Recall, WeightedF1
from kexp.contracts import MetricContext, MetricOptions
from kexp.errors import KexpError

Ids = NDArray[np.int64]
Table = NDArray[np.float64]


def drawn(rows: int = 300, labels: int = 4, seed: int = 0) -> tuple[Ids, Table]:
    """Labels, and probabilities of a model that is right more often than not."""
    generator = np.random.default_rng(seed)
    true = generator.integers(labels, size=rows)
    logits = generator.normal(0, 1.5, (rows, labels)) + 1.5 * np.eye(labels)[true]
    odds = np.exp(logits)
    return true, odds / odds.sum(1, keepdims=True)


def certain(guesses: list[int], labels: int) -> Table:
    return np.eye(labels)[guesses]


def score(options: MetricOptions, true: Ids | list[int], probabilities: Table) -> float:
    names = [f"라벨{number}" for number in range(probabilities.shape[1])]
    value = options.build(MetricContext(names))(np.asarray(true), probabilities)
    assert type(value) is float
    return value


def f1_by_loop(true: Ids, guesses: Ids, labels: int) -> list[float]:
    scores = []
    for label in range(labels):
        hits = sum(1 for t, g in zip(true, guesses, strict=True) if t == g == label)
        told, there = sum(g == label for g in guesses), sum(t == label for t in true)
        scores.append(2 * hits / (told + there) if hits else 0.0)
    return scores


@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_metric_is_that_of_a_plain_loop(labels: int, seed: int) -> None:
    true, probabilities = drawn(labels=labels, seed=seed)
    rows, guesses = len(true), probabilities.argmax(1)
    scores = f1_by_loop(true, guesses, labels)
    there = [sum(true == label) for label in range(labels)]
    told = [sum(guesses == label) for label in range(labels)]
    hits = sum(true == guesses)
    assert score(Accuracy(), true, probabilities) == pytest.approx(hits / rows)
    assert score(MacroF1(), true, probabilities) == pytest.approx(sum(scores) / labels)
    for label in range(labels):
        own = sum(1 for t, g in zip(true, guesses, strict=True) if t == g == label)
        assert score(F1(label=f"라벨{label}"), true, probabilities) == pytest.approx(scores[label])
        assert score(Precision(label=f"라벨{label}"), true, probabilities) == pytest.approx(own / told[label])
        assert score(Recall(label=f"라벨{label}"), true, probabilities) == pytest.approx(own / there[label])
    assert score(WeightedF1(), true, probabilities) == pytest.approx(
        sum(f1 * count for f1, count in zip(scores, there, strict=True)) / rows
    )
    # Gorodkin 2004, in terms of the marginal counts.
    agreement = hits * rows - sum(a * b for a, b in zip(there, told, strict=True))
    spread = (rows**2 - sum(a**2 for a in there)) * (rows**2 - sum(b**2 for b in told))
    assert score(MCC(), true, probabilities) == pytest.approx(agreement / spread**0.5)
    assert score(CrossEntropy(), true, probabilities) == pytest.approx(
        -sum(np.log(probabilities[row, label]) for row, label in enumerate(true)) / rows
    )
    assert score(MSE(), true, probabilities) == pytest.approx(
        sum((probabilities[row, k] - (k == label)) ** 2 for row, label in enumerate(true) for k in range(labels))
        / (rows * labels)
    )
    assert score(MAE(), true, probabilities) == pytest.approx(
        sum(abs(probabilities[row, k] - (k == label)) for row, label in enumerate(true) for k in range(labels))
        / (rows * labels)
    )
    wrong = sum(1 - probabilities[row, label] for row, label in enumerate(true)) / rows
    assert score(MAE(), true, probabilities) == pytest.approx(2 / labels * wrong)


def ece_by_loop(true: Ids, probabilities: Table, bins: int) -> float:
    """Guo et al. 2017, equation 3, with bins (low, high]."""
    total = 0.0
    for number in range(bins):
        inside = [row for row in range(len(true)) if number / bins < probabilities[row].max() <= (number + 1) / bins]
        if inside:
            accuracy = sum(probabilities[row].argmax() == true[row] for row in inside) / len(inside)
            confidence = sum(probabilities[row].max() for row in inside) / len(inside)
            total += len(inside) / len(true) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [2, 10, 15, 100])
@pytest.mark.parametrize("labels", [2, 5])
def test_ece_is_that_of_a_plain_loop_over_bins(bins: int, labels: int) -> None:
    true, probabilities = drawn(labels=labels)
    assert score(ECE(bins=bins), true, probabilities) == pytest.approx(ece_by_loop(true, probabilities, bins))


def test_ece_has_fifteen_bins_unless_told_otherwise() -> None:
    true, probabilities = drawn()
    assert score(ECE(), true, probabilities) == score(ECE(bins=15), true, probabilities)
    assert score(ECE(bins=3), true, probabilities) != score(ECE(), true, probabilities)


@pytest.mark.parametrize("bins", [2, 4, 5, 10, 15, 20])
def test_a_confidence_on_the_edge_belongs_to_the_bin_below(bins: int) -> None:
    edges = [edge / bins for edge in range(bins + 1) if edge / bins >= 0.5]
    for edge in edges:
        probabilities = np.array([[edge, 1 - edge], [edge - 1e-3, 1 - edge + 1e-3]])
        if edge - 1e-3 > 0.5:
            # Both rows share a bin: one right, one wrong, so the gap is |1 - both confidences| / 2.
            expected = abs(1 - edge - (edge - 1e-3)) / 2
            assert score(ECE(bins=bins), [0, 1], probabilities) == pytest.approx(expected)


def test_a_calibrated_model_has_no_calibration_error_and_a_boastful_one_has() -> None:
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert score(ECE(), [0, 0, 0, 1], probabilities) == pytest.approx(0)
    assert score(ECE(), [1, 1, 1, 1], probabilities) == pytest.approx(0.75)


def test_a_perfect_model() -> None:
    true = [0, 1, 2, 2]
    probabilities = certain(true, 3)
    for options in (Accuracy(), MacroF1(), WeightedF1(), MCC()):
        assert score(options, true, probabilities) == 1
    for options in (CrossEntropy(), MSE(), MAE(), ECE()):
        assert score(options, true, probabilities) == pytest.approx(0, abs=1e-12)


def test_a_model_that_always_says_the_same() -> None:
    true, probabilities = [0, 0, 1, 2], certain([0, 0, 0, 0], 3)
    assert score(Accuracy(), true, probabilities) == 0.5
    assert score(MacroF1(), true, probabilities) == pytest.approx(2 / 3 / 3)
    assert score(WeightedF1(), true, probabilities) == pytest.approx(2 / 3 / 2)
    assert score(MCC(), true, probabilities) == 0


def test_a_label_that_nothing_has_and_nothing_gets_counts_as_zero_in_macro_f1() -> None:
    true, probabilities = [0, 1, 0, 1], certain([0, 1, 0, 1], 3)
    assert score(MacroF1(), true, probabilities) == pytest.approx(2 / 3)
    assert score(WeightedF1(), true, probabilities) == 1


def test_a_split_of_a_single_label_is_measured_without_a_warning() -> None:
    true, probabilities = [1, 1, 1], np.array([[0.2, 0.8]] * 3)
    assert score(Accuracy(), true, probabilities) == 1
    assert score(MacroF1(), true, probabilities) == 0.5
    assert score(MCC(), true, probabilities) == 0
    assert score(CrossEntropy(), true, probabilities) == pytest.approx(-np.log(0.8))


def test_a_sure_and_wrong_model_has_a_finite_cross_entropy() -> None:
    value = score(CrossEntropy(), [0, 1], certain([1, 1], 2))
    assert np.isfinite(value)
    assert value > 10
    assert score(MSE(), [0, 1], certain([1, 1], 2)) == 0.5
    assert score(MAE(), [0, 1], certain([1, 1], 2)) == 0.5


def test_the_first_of_equally_probable_labels_is_the_guess() -> None:
    assert score(Accuracy(), [0, 1], np.full((2, 2), 0.5)) == 0.5


def test_scikit_learn_agrees() -> None:
    true, probabilities = drawn()
    guesses = probabilities.argmax(1)
    assert score(MacroF1(), true, probabilities) == sklearn_metrics.f1_score(true, guesses, average="macro")
    assert score(MCC(), true, probabilities) == pytest.approx(sklearn_metrics.matthews_corrcoef(true, guesses))
    assert score(MSE(), true, probabilities) * 4 == pytest.approx(
        np.mean([sklearn_metrics.brier_score_loss(true == label, probabilities[:, label]) for label in range(4)]) * 4
    )


def test_metrics_know_which_way_is_better() -> None:
    better = {type(options): options.greater_is_better for options in (Accuracy(), MacroF1(), WeightedF1(), MCC())}
    worse = {type(options): options.greater_is_better for options in (CrossEntropy(), MSE(), MAE(), ECE())}
    assert set(better.values()) == {True}
    assert set(worse.values()) == {False}


@pytest.mark.parametrize("bins", [1, 0, 1001, 2.5, "15"])
def test_bins_out_of_bounds_are_refused(bins: object) -> None:
    with pytest.raises(ValidationError, match="bins"):
        ECE(bins=bins)


@pytest.mark.parametrize("options", [F1(label="라벨1"), Precision(label="라벨1"), Recall(label="라벨1")])
def test_a_label_that_nobody_has_or_says_scores_nothing(options: MetricOptions) -> None:
    assert score(options, [0, 0, 2], certain([0, 2, 2], 3)) == 0.0


def test_a_label_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(KexpError, match='there is no label "긍적"; known: 긍정, 부정'):
        F1(label="긍적").build(MetricContext(["부정", "긍정"]))
