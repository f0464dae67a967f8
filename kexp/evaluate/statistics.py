"""Statistics over repeats and paired predictions: means with intervals, tests between two models, corrections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Predictions: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
    """Label ids of shape (rows,) and probabilities of shape (rows, labels)."""

CHUNK = 2**22
"""Numbers that a bootstrap holds at once: 32 MiB per array."""


FEWEST = 5
"""Values from which the mean has a 95 % interval: that of two is 12.7 standard errors wide on either side."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean of ``n`` values; their sample standard deviation needs two, the 95 % interval of the mean five or more."""

    mean: float
    sd: float | None
    n: int
    low: float | None
    high: float | None


RANGES = {
    "accuracy": (0.0, 1.0),
    "macro_f1": (0.0, 1.0),
    "weighted_f1": (0.0, 1.0),
    "mcc": (-1.0, 1.0),
    "cross_entropy": (0.0, math.inf),
    "ece": (0.0, 1.0),
    "mse": (0.0, math.inf),
    "mae": (0.0, math.inf),
    "micro_f1": (0.0, 1.0),
    "samples_f1": (0.0, 1.0),
    "subset_accuracy": (0.0, 1.0),
    "hamming_loss": (0.0, 1.0),
    "lrap": (0.0, 1.0),
    "macro_auc": (0.0, 1.0),
    "micro_auc": (0.0, 1.0),
    "pearson": (-1.0, 1.0),
    "spearman": (-1.0, 1.0),
    "rmse": (0.0, math.inf),
    "quadratic_kappa": (-1.0, 1.0),
    "rank_mae": (0.0, math.inf),
}
"""Least and largest value of the metrics of kexp itself, whatever targets they are of."""

ANY = (-math.inf, math.inf)


def summarise(values: Sequence[float], ratio: float = 0.0, within: tuple[float, float] = ANY) -> Summary:
    """Return the mean of ``values`` with its 95 % Student-t interval.

    The standard deviation is that of a sample (n - 1 in the denominator). One value has no spread, so ``sd`` is None
    then, not 0; of fewer than five values, ``low`` and ``high`` are None. Where the values come from folds or splits
    whose training rows overlap, ``ratio`` is that of test to other rows, and widens the interval: the variance of the
    mean is (1/n + ratio) sd^2 (Nadeau & Bengio 2003). The interval ends at the least and the largest value that there
    can be, ``within``. Raises ``ValueError`` without values.
    """
    import numpy as np
    from scipy.stats import t

    if not values:
        raise ValueError("expected at least one value")
    n, mean = len(values), float(np.mean(values))
    if n == 1:
        return Summary(mean, None, n, None, None)
    sd = float(np.std(values, ddof=1))
    if n < FEWEST:
        return Summary(mean, sd, n, None, None)
    half = float(t.ppf(0.975, n - 1)) * sd * math.sqrt(1 / n + ratio)
    return Summary(mean, sd, n, max(mean - half, within[0]), min(mean + half, within[1]))


def mcnemar(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> float:
    """Return the exact two-sided p-value that two models are correct equally often on the same rows.

    Only rows that exactly one model predicts correctly count: under the null hypothesis each of these is a fair coin
    flip (McNemar 1947; exact form in Dietterich 1998, section 3.1). Without such a row the result is 1.
    """
    from scipy.stats import binomtest

    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for several tests (Holm 1979, the step-down method).

    The probability of any false positive among them is at most the level of significance, whatever the dependence
    between the tests.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, test in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[test]))
        corrected[test] = highest
    return corrected


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """The difference a - b on the observed rows, its 95 % percentile interval, and the two-sided p-value of 0."""

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_f1(
    labels: NDArray[np.int64],
    predicted_a: NDArray[np.int64],
    predicted_b: NDArray[np.int64],
    n_labels: int,
    *,
    generator: np.random.Generator,
    resamples: int = 10_000,
) -> BootstrapResult:
    """Return the paired bootstrap over rows of macro-F1(a) - macro-F1(b) (Efron & Tibshirani 1993, chapter 13).

    ``labels`` and predictions are label ids of shape (rows,). The p-value is twice the share of resamples on the far
    side of 0, with 1 added to both counts so that it is never 0 (Davison & Hinkley 1997, section 4.2.1).
    """
    import numpy as np

    # Macro-F1 of both models depends on a row only through its cell (label, prediction of a, prediction of b). Drawing
    # n rows with replacement and counting cells is, by definition, one multinomial draw over the cells with their
    # observed shares. So nothing is approximated, and a resample costs as much as there are occupied cells, not rows.
    cells, counts = np.unique(np.stack([labels, predicted_a, predicted_b]), axis=1, return_counts=True)
    observed = float(_f1_difference(counts[None], cells, n_labels)[0])
    rows, shares = counts.sum(), counts / counts.sum()
    per_chunk = max(1, CHUNK // len(counts))
    differences = np.concatenate([
        _f1_difference(generator.multinomial(rows, shares, size=min(per_chunk, resamples - start)), cells, n_labels)
        for start in range(0, resamples, per_chunk)
    ])  # fmt: skip
    low, high = np.quantile(differences, [0.025, 0.975])
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return BootstrapResult(observed, float(low), float(high), min(1.0, 2 * (beyond + 1) / (resamples + 1)))


def _f1_difference(counts: NDArray[np.int64], cells: NDArray[np.int64], n_labels: int) -> NDArray[np.float64]:
    """Return macro-F1(a) - macro-F1(b) of each row of ``counts``, shape (resamples, cells); ``cells`` is (3, cells)."""
    import numpy as np

    weights = counts.astype(np.float64)
    true, of_a, of_b = (np.eye(n_labels)[cell] for cell in cells)  # each of shape (cells, labels), one-hot
    support = weights @ true

    def macro_f1(predicted: NDArray[np.float64]) -> NDArray[np.float64]:
        # F1 = 2 TP / (support + predicted); a label that neither occurs nor is predicted counts as 0, as in the metric.
        found = 2 * (weights @ (true * predicted))
        f1: NDArray[np.float64] = (found / np.maximum(support + weights @ predicted, 1)).mean(1)
        return f1

    return macro_f1(of_a) - macro_f1(of_b)
