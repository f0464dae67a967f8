"""95 % intervals of metrics of few repeats: a bootstrap over the rows of the test set and over the repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kexp import seeds
from kexp.evaluate.row_scores import ROW_SCORES
from kexp.evaluate.statistics import CHUNK

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from kexp.evaluate.answers import Answers, Measure, Weighted
    from kexp.evaluate.statistics import Predictions

    Numbers: TypeAlias = NDArray[np.float64]
    Measured: TypeAlias = tuple[int, Callable[[Numbers], Numbers]]
    """The rows of a run, and what of weights of them, shape (resamples, rows), is (metrics, resamples)."""

RESAMPLES = 2000

MEANS = ("accuracy", "cross_entropy", "mse", "mae")
"""Metrics that are means over rows."""

METRICS = (*MEANS, "macro_f1", "weighted_f1", "mcc")
"""Metrics that have such intervals. Calibration error has none: of resampled rows it is systematically larger."""

QUANTILES = (0.025, 0.975)


def intervals(
    metrics: Sequence[str], units: Sequence[Sequence[Predictions]], *, shared_rows: bool
) -> dict[str, tuple[float, float]]:
    """Return the interval of the mean of each metric over the units; those not in ``METRICS`` have none.

    ``units`` are the runs of every unit, whose values are averaged: label ids (rows,) and probabilities (rows, labels).
    Every resample draws as many units as there are, with replacement, and as many rows, with replacement too: the same
    ones for all runs where they share their rows, in the same order, else each run's own. The ends are percentiles of
    values that the metric can have, so they lie in its range (Efron & Tibshirani 1993, chapters 8 and 13).
    """
    known = [metric for metric in metrics if metric in METRICS]
    if not known:
        return {}
    runs = [[(len(run[0]), _measure(known, *run)) for run in of] for of in units]
    return _intervals(known, runs, shared_rows=shared_rows)


def intervals_of(
    measures: Mapping[str, Measure], units: Sequence[Sequence[Answers]], *, shared_rows: bool
) -> dict[str, tuple[float, float]]:
    """Return the interval of the mean of each measure over the units, as ``intervals`` does for metrics of classes."""
    if not measures:
        return {}
    runs = [[(len(run), _together([of.weighted(run) for of in measures.values()])) for run in unit] for unit in units]
    return _intervals([*measures], runs, shared_rows=shared_rows)


def _together(measures: Sequence[Weighted]) -> Callable[[Numbers], Numbers]:
    """Return a function of weights of rows, of shape (resamples, rows), to measures of shape (measures, resamples)."""
    import numpy as np

    return lambda weights: np.stack([measure(weights) for measure in measures])


def _intervals(
    known: Sequence[str], units: Sequence[Sequence[Measured]], *, shared_rows: bool
) -> dict[str, tuple[float, float]]:
    import numpy as np

    runs = [run for of in units for run in of]
    together = [runs] if shared_rows else [[run] for run in runs]
    found = np.concatenate([
        _resampled(of, seeds.generator(0, "bootstrap/rows", number)) for number, of in enumerate(together)
    ])  # fmt: skip
    ends = np.cumsum([len(of) for of in units])
    values = np.stack([of.mean(0) for of in np.split(found, ends[:-1])], axis=1)
    drawn = seeds.generator(0, "bootstrap/units").integers(len(units), size=(len(units), RESAMPLES))
    means = values[:, drawn, np.arange(RESAMPLES)].mean(1)
    low, high = np.quantile(means, QUANTILES, axis=1)
    return {
        metric: (float(low[at]), float(high[at])) for at, metric in enumerate(known) if np.isfinite(means[at]).all()
    }


def mean_interval(values: Numbers) -> tuple[float, float]:
    """Return the interval of the mean of values of shape (rows,), by chance of the rows alone."""
    import numpy as np

    means = np.concatenate([
        weights @ values / len(values) for weights in _weights(len(values), seeds.generator(0, "bootstrap/rows"))
    ])  # fmt: skip
    low, high = np.quantile(means, QUANTILES)
    return float(low), float(high)


def differences_of_resamples(a: Weighted, b: Weighted, rows: int) -> Numbers:
    """Return the difference of two measures of the same rows in every resample, of shape (resamples,)."""
    import numpy as np

    drawn = _weights(rows, seeds.generator(0, "bootstrap/rows"))
    return np.concatenate([a(weights) - b(weights) for weights in drawn])


def _weights(rows: int, generator: np.random.Generator) -> Iterator[Numbers]:
    """Yield how often each row is drawn, of shape (resamples, rows), for some resamples at a time."""
    import numpy as np

    per_chunk = max(1, CHUNK // rows)
    for start in range(0, RESAMPLES, per_chunk):
        count = min(per_chunk, RESAMPLES - start)
        places = generator.integers(rows, size=(count, rows)) + np.arange(count)[:, None] * rows
        yield np.bincount(places.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _resampled(runs: Sequence[Measured], generator: np.random.Generator) -> Numbers:
    """Return the metrics of runs on the same resampled rows, of shape (runs, metrics, resamples)."""
    import numpy as np

    chunks = [np.stack([measure(weights) for _, measure in runs]) for weights in _weights(runs[0][0], generator)]
    return np.concatenate(chunks, axis=2)


def _measure(metrics: Sequence[str], labels: NDArray[np.int64], probabilities: Numbers) -> Callable[[Numbers], Numbers]:
    """Return a function of weights of rows, of shape (resamples, rows), to metrics of shape (metrics, resamples)."""
    import numpy as np
    from scipy.sparse import csr_array

    rows, size = probabilities.shape
    predicted, every, ones = probabilities.argmax(1), np.arange(rows), np.ones(rows)
    means = np.stack([ROW_SCORES[metric](labels, probabilities) for metric in MEANS], axis=1)
    # One column per label: 1 for the rows that have it, that are predicted to have it, and both.
    right = (labels == predicted).astype(np.float64)
    pairs = ((ones, labels), (ones, predicted), (right, labels))
    columns = [csr_array((data, (every, of)), shape=(rows, size)) for data, of in pairs]

    def measure(weights: Numbers) -> Numbers:
        found = dict(zip(MEANS, (weights @ means / rows).T, strict=True))
        counts = [weights @ column for column in columns]
        return np.stack([found[name] if name in found else COUNTED[name](*counts) for name in metrics])

    return measure


# --- metrics of counts: rows that have a label, that are predicted to, and both; all of shape (resamples, labels) ----


def _f1(true: Numbers, predicted: Numbers, both: Numbers) -> Numbers:
    import numpy as np

    # As in the metric, a label that neither occurs nor is predicted counts as 0.
    f1: Numbers = 2 * both / np.maximum(true + predicted, 1)
    return f1


def _macro_f1(true: Numbers, predicted: Numbers, both: Numbers) -> Numbers:
    found: Numbers = _f1(true, predicted, both).mean(1)
    return found


def _weighted_f1(true: Numbers, predicted: Numbers, both: Numbers) -> Numbers:
    found: Numbers = (_f1(true, predicted, both) * true).sum(1) / true.sum(1)
    return found


def _mcc(true: Numbers, predicted: Numbers, both: Numbers) -> Numbers:
    import numpy as np

    rows = true.sum(1)
    spread = (rows**2 - (true**2).sum(1)) * (rows**2 - (predicted**2).sum(1))
    covariance = both.sum(1) * rows - (true * predicted).sum(1)
    # 0 by definition where all rows have one label, or are predicted to.
    found: Numbers = np.where(spread > 0, covariance / np.sqrt(np.maximum(spread, 1)), 0.0)
    return found


COUNTED: Mapping[str, Callable[[Numbers, Numbers, Numbers], Numbers]] = {
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "mcc": _mcc,
}
