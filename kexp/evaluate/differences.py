"""The difference between two methods or two models, from the scores of their runs on rows.

Repeats of a method (its seeds, draws of labelled rows or folds) are called units. All of them predict the same test
rows, so units and rows are crossed, as readers and cases are in studies of medical images, and both vary by chance
(Obuchowski & Rockette 1995; Gallas 2006). With folds, and with a split per seed, every unit has test rows of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from kexp import seeds
from kexp.evaluate.bootstrap import QUANTILES, differences_of_resamples, mean_interval
from kexp.evaluate.row_scores import ROW_SCORES
from kexp.evaluate.statistics import bootstrap_f1, mcnemar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kexp.evaluate.answers import Answers, Measure
    from kexp.evaluate.statistics import Predictions

Error = tuple[float, int]
"""Standard error and its degrees of freedom."""

POWER = 0.8
"""Probability with which a difference of the size ``detectable`` would be found."""

ROUNDING = 1e-12
"""Spread below which numbers differ by rounding alone."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference a - b over ``n`` units and what it may be due to.

    ``errors`` are pairs of (standard error, degrees of freedom), one for every independent source of chance, and
    ``of_rows`` is the pair of the rows alone, below which the error of all cannot be. ``effect_size`` is the difference
    over the standard deviation between units, None where there is none. ``low`` and ``high`` bound the 95 % interval;
    they are None where nothing varied.
    """

    test: str
    n: int
    difference: float
    low: float | None
    high: float | None
    effect_size: float | None
    p_value: float
    errors: Sequence[Error]
    of_rows: Error = (0.0, 1)

    def detectable(self, level: float) -> float | None:
        """Return the difference that units and rows like these would show in 80 of 100 experiments.

        It is as many standard errors as a t-test with their degrees of freedom needs (the noncentrality at which its
        power is 0.8), the standard errors being those without bias. None for one unit, which shows nothing about
        methods, and where nothing varied.
        """
        if self.n < 2 or not any(error for error, _ in (*self.errors, self.of_rows)):
            return None
        return _bound(self.errors, self.of_rows, lambda df: _noncentrality(level, df) / _bias(df))


def crossed(a: NDArray[np.float64], b: NDArray[np.float64]) -> Difference:
    """Return the difference of two methods whose scores of shape (units, rows) are of the same units and rows.

    With unit effects u and row effects r, the variance of the mean is var(u)/units + var(r)/rows + var(rest)/(units
    rows). The variance between the units' means estimates the first and the last term, and what the variance between
    the rows' means is above the rest, the second one. See ``_tested`` for the test. Needs two units and two rows.
    """
    import numpy as np

    found = a - b
    n, rows = found.shape
    of_units, of_rows, mean = found.mean(1), found.mean(0), float(found.mean())
    rest = ((found - of_rows - of_units[:, None] + mean) ** 2).sum() / ((n - 1) * (rows - 1))
    spread = float(np.std(of_units, ddof=1))
    by_rows, alone = _row_errors(of_rows, float(rest / n))
    return _tested("crossed", n, mean, spread, [(spread / math.sqrt(n), n - 1), by_rows], rows, alone)


def unpaired(a: NDArray[np.float64], b: NDArray[np.float64]) -> Difference:
    """Return the difference of two methods whose scores of shape (units, rows) are of other units, but the same rows.

    As ``crossed``, with the spread of each method's own units, as in Welch's test. ``n`` is the smaller number of
    units; the effect size is Cohen's d. Needs two units of each, and two rows.
    """
    import numpy as np

    rows = a.shape[1]
    spreads: list[float] = []
    errors: list[Error] = []
    rest = 0.0
    for found in (a, b):
        n, of_units = len(found), found.mean(1)
        left = found - found.mean(0) - of_units[:, None] + found.mean()
        rest += float((left**2).sum() / ((n - 1) * (rows - 1) * n))
        spreads.append(float(np.std(of_units, ddof=1)))
        errors.append((spreads[-1] / math.sqrt(n), n - 1))
    of_rows = a.mean(0) - b.mean(0)
    by_rows, alone = _row_errors(of_rows, rest)
    spread = math.sqrt((spreads[0] ** 2 + spreads[1] ** 2) / 2)
    n = min(len(a), len(b))
    return _tested("welch", n, float(of_rows.mean()), spread, [*errors, by_rows], rows, alone)


def _row_errors(differences: NDArray[np.float64], rest: float) -> tuple[Error, Error]:
    """Return the error of rows in addition to that of units, and that of rows alone.

    ``rest`` is the variance of a row's mean difference that is not the row's own. It is in the variance between the
    means of units already, but few units may agree by luck: then the error is still that of the rows alone.
    """
    rows, variance = len(differences), float(differences.var(ddof=1))
    return (math.sqrt(max(0.0, variance - rest) / rows), rows - 1), (math.sqrt(variance / rows), rows - 1)


def resampled(differences: Sequence[float], ratio: float) -> Difference:
    """Return the mean of differences between two methods, one for every fold or split, with test rows of its own.

    Training sets overlap, so the differences are not independent: their mean has the variance (1/n + ratio) s^2, where
    ``ratio`` is that of test to other rows (Nadeau & Bengio 2003, the corrected resampled t-test). Needs two of them.
    """
    import numpy as np

    n, spread = len(differences), float(np.std(differences, ddof=1))
    errors = [(spread * math.sqrt(1 / n + ratio), n - 1)]
    return _tested("resampled", n, float(np.mean(differences)), spread, errors, n)


def two_models(metric: str, a: Predictions, b: Predictions) -> Difference:
    """Return the difference of two trained models on the same rows, by chance of the rows alone.

    Accuracy is tested by McNemar's exact test, macro-F1 by a paired bootstrap, other metrics by a paired t-test over
    rows; the interval is always that of a bootstrap. Nothing depends on which of the two comes first, but the sign.
    """
    labels, scores = a[0], [ROW_SCORES[metric](*found) for found in (a, b)]
    found = scores[0] - scores[1]
    rows = len(found)
    error = float(found.std(ddof=1)) / math.sqrt(rows) if rows > 1 else 0.0
    by_rows = _tested("rows", 1, float(found.mean()), None, [(error, rows - 1)], rows)
    if by_rows.low is not None:
        low, high = mean_interval(found)
        by_rows = replace(by_rows, low=low, high=high)
    predicted_a, predicted_b = a[1].argmax(1), b[1].argmax(1)
    if metric == "accuracy":
        p_value = mcnemar(predicted_a == labels, predicted_b == labels)
        return replace(by_rows, test="mcnemar", p_value=p_value)
    if metric == "macro_f1":
        swapped = predicted_a.tolist() > predicted_b.tolist()
        first, second = (predicted_b, predicted_a) if swapped else (predicted_a, predicted_b)
        boot = bootstrap_f1(labels, first, second, a[1].shape[1], generator=seeds.generator(0, "bootstrap/macro_f1"))
        low, high = (-boot.high, -boot.low) if swapped else (boot.low, boot.high)
        return Difference("bootstrap", 1, by_rows.difference, low, high, None, boot.p_value, by_rows.errors)
    return by_rows


def two_answers(measure: Measure, a: Answers, b: Answers) -> Difference:
    """Return the difference of two trained models in a measure of the same rows, by a paired bootstrap over rows.

    Every resample draws the same rows for both, and both are measured on them. The interval ends at percentiles of
    their difference; the p-value is twice the share of resamples on the far side of 0, with 1 added to both counts
    (Davison & Hinkley 1997, section 4.2.1). Resamples in which a measure has no value are left out.
    """
    import numpy as np

    of_rows = measure.scores(a) - measure.scores(b)
    rows, difference = len(of_rows), float(of_rows.mean())
    error = float(of_rows.std(ddof=1)) / math.sqrt(rows) if rows > 1 else 0.0
    found = differences_of_resamples(measure.weighted(a), measure.weighted(b), rows)
    found = found[np.isfinite(found)]
    if abs(difference) < ROUNDING and (not len(found) or np.abs(found).max() < ROUNDING):
        return Difference("bootstrap", 1, 0.0, None, None, None, 1.0, [(0.0, rows - 1)])
    beyond = min(int((found <= 0).sum()), int((found >= 0).sum()))
    p_value = min(1.0, 2 * (beyond + 1) / (len(found) + 1))
    low, high = (float(end) for end in np.quantile(found, QUANTILES)) if len(found) else (None, None)
    return Difference("bootstrap", 1, difference, low, high, None, p_value, [(error, rows - 1)])


def _tested(
    test: str,
    n: int,
    difference: float,
    spread: float | None,
    errors: Sequence[Error],
    count: int,
    of_rows: Error = (0.0, 1),
) -> Difference:
    """Return the test of a difference with independent standard errors of few degrees of freedom each.

    The half width of the interval is the root of the sum of (t x standard error)^2, each t with its own degrees of
    freedom (Banerjee 1960): it covers the truth at least as often as it says, whatever the sizes of the errors. One t
    with Satterthwaite's degrees of freedom does not: with two seeds it errs in up to 12.7 % of experiments instead of
    5 %, with three in 7.8 %. The p-value is the level at which the interval ends at 0. Where nothing varied, it is that
    of the sign test over ``count`` rows or units.
    """
    difference = 0.0 if abs(difference) < ROUNDING else difference
    *errors, of_rows = ((0.0 if error < ROUNDING else error, df) for error, df in (*errors, of_rows))
    effect = difference / spread if spread is not None and spread >= ROUNDING else None
    if not any(error for error, _ in (*errors, of_rows)):
        p_value = 0.5 ** (count - 1) if difference else 1.0
        return Difference(test, n, difference, None, None, effect, p_value, errors)
    half = _half_width(errors, of_rows, 0.05)
    p_value = _level(errors, of_rows, abs(difference))
    return Difference(test, n, difference, difference - half, difference + half, effect, p_value, errors, of_rows)


def _bound(errors: Sequence[Error], of_rows: Error, factor: Callable[[int], float]) -> float:
    """Return the root of the sum of squares of the errors times their factors, or that of the rows if it is more."""
    *each, alone = (factor(df) * error if error else 0.0 for error, df in (*errors, of_rows))
    return max(math.hypot(*each), alone)


def _half_width(errors: Sequence[Error], of_rows: Error, level: float) -> float:
    # The root of many levels is looked for: scipy.stats.t would take fifty times as long.
    from scipy.special import stdtrit

    return _bound(errors, of_rows, lambda df: -float(stdtrit(df, level / 2)))


@cache
def _noncentrality(level: float, df: int) -> float:
    """Return the difference in standard errors at which a two-sided t-test of this level has the power 0.8."""
    from scipy.optimize import brentq
    from scipy.stats import nct, norm, t

    critical = float(t.isf(level / 2, df))
    if df > LARGE:
        return critical + float(norm.ppf(POWER))
    return float(brentq(lambda size: nct.sf(critical, df, size) - POWER, 0.0, 3 * critical))


LARGE = 100
"""Degrees of freedom from which t is as good as normal."""


def _bias(df: int) -> float:
    """Return the mean of a sample standard deviation of normal values over the true one."""
    return math.sqrt(2 / df) * math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2))


SMALLEST = 1e-15
"""Least p-value that is told apart from 0."""


def _level(errors: Sequence[Error], of_rows: Error, size: float) -> float:
    """Return the level at which the half width is ``size``."""
    from scipy.optimize import brentq

    if _half_width(errors, of_rows, SMALLEST) <= size:
        return SMALLEST

    def beyond(log: float) -> float:
        return _half_width(errors, of_rows, math.exp(log)) - size

    # In logarithms the root is found with the same relative accuracy for small levels as for large ones.
    return min(1.0, math.exp(brentq(beyond, math.log(SMALLEST), 0.0, xtol=1e-12)))
