"""Calibration against scikit-learn, and temperatures against a grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from kexp.evaluate.calibration import calibrated, expected_calibration_error, fit_temperature, reliability


def test_reliability_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.6, 0.6, 0.6], 500)
    labels = generator.integers(3, size=500)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    bins = reliability(confidence, correct, 10)
    share, mean = calibration_curve(correct, confidence, n_bins=10)
    held = [one for one in bins if one.rows]
    assert [one.accuracy for one in held] == pytest.approx(share)
    assert [one.confidence for one in held] == pytest.approx(mean)
    assert [one.rows for one in bins] == np.histogram(confidence, bins=10, range=(0, 1))[0].tolist()
    error = sum(one.rows / 500 * abs(one.accuracy - one.confidence) for one in bins)
    assert expected_calibration_error(confidence, correct, 10) == pytest.approx(error)


def test_bins_are_closed_above_and_the_ends_belong_to_them() -> None:
    bins = reliability(np.array([0.0, 0.1, 0.2, 0.5, 1.0]), np.array([True, True, False, True, False]), 10)
    assert [one.rows for one in bins] == [2, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    assert (bins[0].confidence, bins[0].accuracy) == (0.05, 1.0)


# --- temperature scaling -------------------------------------------------------------------------------------------


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def drawn(temperature: float, rows: int = 4000, labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from softmax(logits / temperature) and return them with the logits."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 4, (rows, labels))
    chances = softmax(logits / temperature).cumsum(1)
    return (generator.random((rows, 1)) > chances[:, :-1]).sum(1), logits


def cross_entropy(labels: np.ndarray, logits: np.ndarray, temperature: float) -> float:
    return float(-np.log(softmax(logits / temperature)[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_is_that_of_a_grid_of_cross_entropies(temperature: float) -> None:
    labels, logits = drawn(temperature)
    grid = np.exp(np.linspace(math.log(temperature / 2), math.log(temperature * 2), 2001))
    best = grid[np.argmin([cross_entropy(labels, logits, value) for value in grid])]
    found = fit_temperature(labels, softmax(logits))
    assert found.value == pytest.approx(best, rel=1e-3)
    assert found.value == pytest.approx(temperature, rel=0.1)
    # 1 is true in one case.
    assert ("too few to tell" in found.remark) == (temperature == 1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < temperature < found.high < temperature * 1.2
    # The derivative of the cross entropy by 1/T is 0: the mean logit of the true label is that which is expected.
    expected = (softmax(logits / found.value) * logits).sum(1).mean()
    assert logits[np.arange(len(labels)), labels].mean() == pytest.approx(expected, abs=1e-5)


def test_the_interval_holds_the_true_temperature_as_often_as_it_says() -> None:
    held = 0
    for seed in range(400):
        labels, logits = drawn(2.0, rows=150, seed=seed)
        found = fit_temperature(labels, softmax(logits))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2.0 <= found.high
        assert ("includes 1: 150 rows are too few" in found.remark) == (found.low <= 1 <= found.high)
    # Binomial with 400 draws: three standard deviations around 0.95.
    assert 0.917 <= held / 400 <= 0.983


def test_a_boastful_model_is_corrected_on_rows_it_was_not_fitted_on() -> None:
    labels, logits = drawn(3.0)
    others, unseen = drawn(3.0, seed=1)
    before = softmax(unseen)
    after = calibrated(before, fit_temperature(labels, softmax(logits)).value)
    assert after == pytest.approx(softmax(unseen / fit_temperature(labels, softmax(logits)).value))

    def errors(probabilities: np.ndarray) -> tuple[float, float]:
        right = probabilities.argmax(1) == others
        loss = -np.log(probabilities[np.arange(len(others)), others]).mean()
        return expected_calibration_error(probabilities.max(1), right, 15), float(loss)

    assert errors(before)[0] > 0.15
    assert errors(after)[0] < 0.03
    assert errors(after)[1] < errors(before)[1]
    assert calibrated(after, 1 / fit_temperature(labels, softmax(logits)).value) == pytest.approx(before, abs=1e-12)


def test_rows_that_are_all_right_fix_no_temperature() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    found = fit_temperature(np.array([0, 1, 0]), probabilities)
    assert found.value == 1
    assert "all 3 rows are predicted correctly" in found.remark
    assert calibrated(probabilities, found.value) is probabilities


def test_a_model_that_is_no_better_than_chance_becomes_unsure() -> None:
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.8, 0.2]])
    found = fit_temperature(np.array([1, 0, 0]), probabilities)
    assert found.value == 100
    assert "no better than chance" in found.remark
    assert calibrated(probabilities, found.value) == pytest.approx(np.full((3, 2), 0.5), abs=0.01)


def test_a_model_that_is_right_and_hardly_certain_becomes_certain() -> None:
    labels = np.array([0] * 30 + [1] * 30)
    logits = np.where(np.arange(2) == labels[:, None], 1e-3, 0.0)
    logits[[3, 40]] = logits[[3, 40], ::-1]
    found = fit_temperature(labels, softmax(logits))
    assert found.value == 0.01
    assert "at its bound, 0.01: on these rows the model is far less certain than it is right" in found.remark
    assert (calibrated(softmax(logits), 0.01).max(1) > 0.52).all()


def test_an_interval_does_not_leave_the_bounds() -> None:
    labels, logits = (np.arange(200) > 100).astype(int), np.tile([0.05, 0.0], (200, 1))
    found = fit_temperature(labels, softmax(logits))
    assert (found.low, found.high) == (0.01, 100)
    assert "0.01 to 100, includes 1: 200 rows are too few to tell" in found.remark


def test_probabilities_of_0_and_1_are_calibrated_too() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.7, 0.3]])
    found = fit_temperature(np.array([0, 1, 1, 0]), sure)
    assert 1 < found.value <= 100
    after = calibrated(sure, found.value)
    assert np.isfinite(after).all()
    assert (after.argmax(1) == sure.argmax(1)).all()
    assert after.sum(1) == pytest.approx(np.ones(4))
    assert calibrated(np.empty((0, 3)), 2.0).shape == (0, 3)


@given(
    st.lists(st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3), min_size=1, max_size=8),
    st.floats(0.01, 100),
    st.booleans(),
)
def test_no_temperature_changes_the_label(logits: list[list[float]], temperature: float, close: bool) -> None:
    probabilities = softmax(np.array(logits, float))
    if close:
        # As near to a tie as numbers can be.
        top = probabilities.max(1)
        probabilities[:, 0], probabilities[:, 2] = np.nextafter(top, 0), top
    after = calibrated(probabilities, temperature)
    assert (after.argmax(1) == probabilities.argmax(1)).all()
    assert after.sum(1) == pytest.approx(np.ones(len(after)))
