"""Coverage and accuracy of a model that abstains, against naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kexp.errors import KexpError
from kexp.evaluate.selective import check_threshold, curve


def test_the_curve_is_that_of_every_threshold() -> None:
    generator = np.random.default_rng(0)
    confidence = np.round(generator.uniform(0.5, 1, 200), 2)
    correct = generator.random(200) < confidence
    found = curve(confidence, correct)
    assert list(found.thresholds) == sorted(set(confidence), reverse=True)
    for threshold, coverage, accuracy in zip(found.thresholds, found.coverage, found.accuracy, strict=True):
        answered = [right for sure, right in zip(confidence, correct, strict=True) if sure >= threshold]
        assert coverage == pytest.approx(len(answered) / 200)
        assert accuracy == pytest.approx(sum(answered) / len(answered))
    assert found.coverage[-1] == 1
    assert found.accuracy[-1] == correct.mean()


def test_one_row_and_equal_rows_are_one_point() -> None:
    for rows in (1, 5):
        found = curve(np.full(rows, 0.7), np.arange(rows) == 0)
        assert (found.thresholds.tolist(), found.coverage.tolist(), found.accuracy.tolist()) == ([0.7], [1], [1 / rows])


@pytest.mark.parametrize("threshold", [-0.1, 1.01, 60, math.nan, math.inf])
def test_what_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(KexpError, match=r"--abstain .*: expected a probability, above 1/3 for 3 labels"):
        check_threshold(threshold, 3, "--abstain")


def test_a_threshold_that_every_row_reaches_is_warned_of() -> None:
    for threshold in (0.0, 0.2, 1 / 4):
        assert "never abstains: the largest of 4 probabilities is at least 1/4 = 0.25" in check_threshold(threshold, 4)
    assert check_threshold(0.2500001, 4) == check_threshold(1.0, 4) == ""
