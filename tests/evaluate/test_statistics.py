"""Statistics against textbook values, scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from kexp.evaluate import statistics
from kexp.evaluate.statistics import Summary, bootstrap_f1, mcnemar, summarise

Ids = NDArray[np.int64]


def predictions(rows: int, labels: int, right_a: float, right_b: float, seed: int = 0) -> tuple[Ids, Ids, Ids]:
    """Draw labels, and predictions of two models that are right with the given probabilities."""
    generator = np.random.default_rng(seed)
    true = generator.integers(labels, size=rows)
    guesses = generator.integers(labels, size=(2, rows))
    right = generator.random((2, rows)) < np.array([[right_a], [right_b]])
    a, b = np.where(right, true, guesses)
    return true, a, b


def test_summary_of_known_values() -> None:
    summary = summarise([0.80, 0.82, 0.84, 0.81, 0.83])
    # t(0.975, 4) = 2.7764 from a printed table; the standard error is sqrt(0.00025 / 5).
    assert summary.mean == pytest.approx(0.82)
    assert summary.sd == pytest.approx(0.00025**0.5)
    assert summary.n == 5
    assert summary.low == pytest.approx(0.82 - 2.7764 * 0.00005**0.5, abs=1e-6)
    assert summary.high == pytest.approx(0.82 + 2.7764 * 0.00005**0.5, abs=1e-6)


@pytest.mark.parametrize("values", [[0.80, 0.89], [0.8, 0.85, 0.9], [0.6, 0.7, 0.8, 0.9]], ids=len)
def test_few_values_have_a_spread_but_no_interval(values: list[float]) -> None:
    summary = summarise(values, 0.25, (0.0, 1.0))
    assert summary.sd == pytest.approx(np.std(values, ddof=1))
    assert (summary.low, summary.high) == (None, None)


def test_one_value_has_no_spread_and_equal_values_have_none() -> None:
    assert summarise([0.5]) == Summary(0.5, None, 1, None, None)
    assert summarise([0.5] * 5) == Summary(0.5, 0.0, 5, 0.5, 0.5)
    bounded = summarise([0.1, 1.0, 1.0, 1.0, 1.0], within=(0, 1))
    assert (bounded.mean, bounded.high) == (pytest.approx(0.82), 1)
    bounded = summarise([0.9, 0.0, 0.0, 0.0, 0.0], within=(0, 1))
    assert (bounded.mean, bounded.low) == (pytest.approx(0.18), 0)
    with pytest.raises(ValueError, match="at least one value"):
        summarise([])


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0.8, 0.02, size=(500, 5))
    hits = sum(
        s.low <= 0.8 <= s.high for s in map(summarise, draws.tolist()) if s.low is not None and s.high is not None
    )
    assert 0.92 <= hits / 500 <= 0.98


@pytest.mark.parametrize(
    ("only_a", "only_b", "expected"),
    [(0, 0, 1.0), (5, 5, 1.0), (6, 0, 2 / 2**6), (9, 1, 2 * (1 + 10) / 2**10), (1, 9, 2 * (1 + 10) / 2**10)],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, expected: float) -> None:
    both = [True] * 50 + [False] * 7
    correct_a = np.array(both + [True] * only_a + [False] * only_b)
    correct_b = np.array(both + [False] * only_a + [True] * only_b)
    assert mcnemar(correct_a, correct_b) == pytest.approx(expected)


@pytest.mark.parametrize("labels", [2, 5])
def test_bootstrap_agrees_with_a_plain_loop(labels: int) -> None:
    true, a, b = predictions(300, labels, 0.75, 0.65)

    def difference(rows: Ids) -> float:
        scores = [f1_score(true[rows], p[rows], labels=range(labels), average="macro", zero_division=0) for p in (a, b)]
        return float(scores[0] - scores[1])

    generator = np.random.default_rng(1)
    loop = np.array([difference(generator.integers(300, size=300)) for _ in range(1000)])
    result = bootstrap_f1(true, a, b, labels, generator=np.random.default_rng(2))
    assert result.difference == pytest.approx(difference(np.arange(300)), abs=1e-12)
    # The ends of a 95 % interval from 1,000 resamples have a standard error of about 0.09 standard deviations.
    assert result.low == pytest.approx(np.quantile(loop, 0.025), abs=0.3 * loop.std())
    assert result.high == pytest.approx(np.quantile(loop, 0.975), abs=0.3 * loop.std())
    assert result.p_value == pytest.approx(2 * (loop <= 0).mean(), abs=0.03)


def test_bootstrap_counts_absent_labels_as_the_metric_does() -> None:
    true, a, b = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), np.array([0, 1, 1, 1])
    result = bootstrap_f1(true, a, b, 4, generator=np.random.default_rng(0), resamples=50)
    scores = [f1_score(true, p, labels=range(4), average="macro", zero_division=0) for p in (a, b)]
    assert result.difference == pytest.approx(scores[0] - scores[1])


def test_bootstrap_is_antisymmetric_and_says_nothing_of_equal_models() -> None:
    true, a, b = predictions(400, 3, 0.9, 0.6)
    result = bootstrap_f1(true, a, b, 3, generator=np.random.default_rng(0))
    swapped = bootstrap_f1(true, b, a, 3, generator=np.random.default_rng(0))
    assert swapped.difference == pytest.approx(-result.difference)
    assert result.p_value == pytest.approx(2 / 10_001)  # no resample reaches 0; the correction keeps p above it
    assert 0 < result.low < result.difference < result.high
    same = bootstrap_f1(true, a, a, 3, generator=np.random.default_rng(0), resamples=100)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_bootstrap_p_value_is_level_under_the_null_hypothesis() -> None:
    p_values = []
    for seed in range(200):
        true, a, b = predictions(200, 3, 0.7, 0.7, seed)
        p_values.append(bootstrap_f1(true, a, b, 3, generator=np.random.default_rng(seed), resamples=500).p_value)
    assert np.mean(np.array(p_values) < 0.05) < 0.10
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.12)


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    true, a, b = predictions(300, 4, 0.8, 0.7)
    whole = bootstrap_f1(true, a, b, 4, generator=np.random.default_rng(0), resamples=105)
    monkeypatch.setattr(statistics, "CHUNK", 500)
    assert bootstrap_f1(true, a, b, 4, generator=np.random.default_rng(0), resamples=105) == whole
