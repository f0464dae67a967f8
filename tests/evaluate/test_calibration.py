"""Calibration against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from kexp.evaluate.calibration import expected_calibration_error, reliability


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
