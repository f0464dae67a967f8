"""Tests of two methods against formulas of the literature, and their errors in simulated experiments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm, t, ttest_1samp, ttest_rel

from kexp.evaluate.differences import Difference, crossed, resampled, two_models, unpaired
from kexp.evaluate.statistics import holm, mcnemar

Scores = NDArray[np.float64]


def simulate(
    generator: np.random.Generator, seeds: int, spread: float, *, rows: int = 1000, gain: float = 0.0
) -> Scores:
    """Draw which rows the runs of a method have right: rows are of unequal difficulty, seeds of unequal luck."""
    difficulty = np.random.default_rng(5).beta(4, 1.5, rows) * 0.9
    luck = generator.normal(0, spread, (seeds, 1))
    return (generator.random((seeds, rows)) < difficulty + luck + gain).astype(float)


def test_crossed_is_the_analysis_of_variance_by_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    n, rows = 4, 60
    a, b = (
        generator.normal(size=(n, 1)) + generator.normal(size=rows) + generator.normal(size=(n, rows)) for _ in "ab"
    )
    found = crossed(a, b)
    d = a - b
    grand = sum(map(sum, d)) / (n * rows)
    of_units, of_rows = [sum(unit) / rows for unit in d], [sum(row) / n for row in d.T]
    units = rows * sum((mean - grand) ** 2 for mean in of_units) / (n - 1)
    between_rows = n * sum((mean - grand) ** 2 for mean in of_rows) / (rows - 1)
    rest = sum(
        (d[i, j] - of_units[i] - of_rows[j] + grand) ** 2 for i, j in itertools.product(range(n), range(rows))
    ) / ((n - 1) * (rows - 1))
    assert between_rows > rest
    half = np.hypot(
        t.ppf(0.975, n - 1) * (units / (n * rows)) ** 0.5,
        t.ppf(0.975, rows - 1) * ((between_rows - rest) / (n * rows)) ** 0.5,
    )
    assert (found.difference, found.n) == (pytest.approx(grand), n)
    assert (found.low, found.high) == (pytest.approx(grand - half), pytest.approx(grand + half))
    assert found.effect_size == pytest.approx(grand / np.std(of_units, ddof=1))
    turned = crossed(b, a)
    assert turned.p_value == pytest.approx(found.p_value)
    assert (turned.low, turned.high) == (pytest.approx(-grand - half), pytest.approx(-grand + half))


@pytest.mark.parametrize("shift", [0.4, 1.0, 1.6])
def test_the_p_value_is_the_level_at_which_the_interval_ends_at_zero(shift: float) -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(shift, 1, (3, 40)), generator.normal(size=(3, 40))
    found = crossed(a, b)
    half = np.hypot(*(t.isf(found.p_value / 2, df) * error for error, df in found.errors))
    alone = t.isf(found.p_value / 2, found.of_rows[1]) * found.of_rows[0]
    assert max(half, alone) == pytest.approx(abs(found.difference), rel=1e-6)
    assert (found.p_value < 0.05) == (found.low is not None and found.low > 0)


def test_without_chance_of_rows_it_is_the_paired_t_test_over_seeds() -> None:
    # Every row of a seed has the same difference.
    of_seeds = np.array([0.1, 0.3, 0.2, 0.25])
    found = crossed(np.repeat(of_seeds[:, None], 50, 1), np.zeros((4, 50)))
    assert found.p_value == pytest.approx(ttest_1samp(of_seeds, 0).pvalue, rel=1e-6)
    # Every seed has the same rows: then it is the paired t-test over rows.
    rows = np.random.default_rng(2).normal(0.2, 1, 50)
    found = crossed(np.repeat(rows[None], 4, 0), np.zeros((4, 50)))
    assert found.p_value == pytest.approx(ttest_rel(rows, np.zeros(50)).pvalue, rel=1e-6)
    assert found.effect_size is None


def test_nothing_that_varies_is_judged_by_the_sign_test() -> None:
    ones, zeros = np.ones((3, 8)), np.zeros((3, 8))
    found = crossed(ones, zeros)
    assert (found.difference, found.low, found.high, found.effect_size) == (1, None, None, None)
    assert found.p_value == pytest.approx(2 / 2**8)
    assert crossed(ones, ones).p_value == 1
    # Five folds with the same difference are five signs.
    assert resampled([0.1, 0.1, 0.1, 0.1, 0.1], 0.25).p_value == pytest.approx(2 / 2**5)
    assert resampled([0.1 + 0.2, 0.3], 1.0).effect_size is None


def test_unpaired_is_welch_over_seeds_where_rows_do_not_matter() -> None:
    a, b = np.array([0.5, 0.6, 0.7]), np.array([0.3, 0.2])
    found = unpaired(*(np.repeat(of[:, None], 30, 1) for of in (a, b)))
    half = np.hypot(t.ppf(0.975, 2) * a.std(ddof=1) / 3**0.5, t.ppf(0.975, 1) * b.std(ddof=1) / 2**0.5)
    assert (found.low, found.high) == (pytest.approx(0.35 - half), pytest.approx(0.35 + half))
    assert found.n == 2


def test_folds_are_corrected_as_by_nadeau_and_bengio() -> None:
    differences = [0.02, 0.05, 0.01, 0.03, 0.04]
    found = resampled(differences, 1 / 4)
    error = ((1 / 5 + 1 / 4) * np.var(differences, ddof=1)) ** 0.5
    assert found.difference == pytest.approx(0.03)
    assert found.high == pytest.approx(0.03 + t.ppf(0.975, 4) * error)
    assert found.p_value == pytest.approx(2 * t.sf(0.03 / error, 4), rel=1e-6)


def test_two_models_have_the_tests_of_two_models() -> None:
    generator = np.random.default_rng(3)
    true = generator.integers(3, size=200)
    a, b = ((true, np.eye(3)[np.where(generator.random(200) < right, true, (true + 1) % 3)]) for right in (0.8, 0.7))
    right = [of[1].argmax(1) == true for of in (a, b)]
    for metric, test in (("accuracy", "mcnemar"), ("macro_f1", "bootstrap"), ("mse", "rows")):
        found, turned = two_models(metric, a, b), two_models(metric, b, a)
        assert (found.test, found.n, found.effect_size, found.detectable(0.05)) == (test, 1, None, None)
        assert turned.p_value == found.p_value
        assert turned.difference == pytest.approx(-found.difference)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert two_models("accuracy", a, b).p_value == mcnemar(*right)


# --- simulated experiments -----------------------------------------------------------------------------------------

EXPERIMENTS = 400


def pairs(methods: list[Scores]) -> list[Difference]:
    return [crossed(a, b) for a, b in itertools.combinations(methods, 2)]


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_of_equal_methods_none_beats_another_in_95_of_100_experiments(seeds: int, spread: float) -> None:
    generator = np.random.default_rng([seeds, int(1000 * spread)])
    false = 0
    for _ in range(EXPERIMENTS):
        found = pairs([simulate(generator, seeds, spread) for _ in range(3)])
        false += min(holm([difference.p_value for difference in found])) < 0.05
    assert false <= binom.ppf(0.99, EXPERIMENTS, 0.05)


def test_folds_and_unpaired_seeds_err_no_more_often() -> None:
    generator = np.random.default_rng(9)
    unlike = [unpaired(simulate(generator, 3, 0.02), simulate(generator, 2, 0.01)) for _ in range(EXPERIMENTS)]
    assert sum(found.p_value < 0.05 for found in unlike) <= binom.ppf(0.99, EXPERIMENTS, 0.05)


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.0), (3, 0.01), (5, 0.01), (10, 0.02)])
def test_the_power_that_is_told_is_that_of_simulated_experiments(seeds: int, spread: float) -> None:
    generator = np.random.default_rng([seeds, int(1000 * spread), 1])
    equal = [pairs([simulate(generator, seeds, spread) for _ in range(2)])[0] for _ in range(200)]
    told = float(np.mean([found.detectable(0.05) or 0.0 for found in equal]))
    # Some rows are so easy that nothing is gained on them.
    gain = told / (np.random.default_rng(5).beta(4, 1.5, 1000) * 0.9 + told < 1).mean()
    found = [
        crossed(simulate(generator, seeds, spread, gain=gain), simulate(generator, seeds, spread)) for _ in range(200)
    ]
    assert np.mean([of.difference for of in found]) == pytest.approx(told, rel=0.15)
    power = np.mean([of.p_value < 0.05 for of in found])
    assert 0.7 <= power <= 0.95


def test_more_seeds_show_smaller_differences() -> None:
    generator = np.random.default_rng(4)
    told = [crossed(simulate(generator, n, 0.02), simulate(generator, n, 0.02)).detectable(0.05) for n in (3, 30)]
    assert told[0] > 2 * told[1]
    # Of many seeds and rows, two standard errors and eight tenths more.
    large = Difference("crossed", 200, 0.0, None, None, None, 1.0, [(0.01, 199)])
    assert large.detectable(0.05) == pytest.approx(0.01 * (1.96 + norm.ppf(0.8)), rel=0.01)
