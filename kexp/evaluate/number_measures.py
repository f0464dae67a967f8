"""Measures of numbers: targets and decisions are a number per row, of shape (rows,)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp.evaluate.answers import Answers, Measure, Weighted, in_chunks, mean_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kexp.evaluate.answers import Numbers


def _errors(answers: Answers) -> Numbers:
    errors: Numbers = answers.predictions[:, 0] - answers.targets
    return errors


def absolute_error(answers: Answers) -> Numbers:
    """Return the size of every row's error."""
    return abs(_errors(answers))


def squared_error(answers: Answers) -> Numbers:
    """Return the square of every row's error."""
    squares: Numbers = _errors(answers) ** 2
    return squares


def _rmse_scores(answers: Answers) -> Numbers:
    squares = squared_error(answers)
    mean = float(squares.mean())
    root = mean**0.5
    return root + (squares - mean) / (2 * root) if root else squares


def _weighted_rmse(answers: Answers) -> Weighted:
    import numpy as np

    squares = squared_error(answers)
    return lambda weights: np.sqrt(weights @ squares / weights.sum(1))


def _pearson_scores(answers: Answers) -> Numbers:
    x, y = (_standardised(of) for of in _both(answers))
    if not (x.any() and y.any()):
        return 0 * x
    value = float((x * y).mean())
    scores: Numbers = value + x * y - value - value * (x**2 + y**2 - 2) / 2
    return scores


def _standardised(values: Numbers) -> Numbers:
    # A constant correlates with nothing, as in the metric.
    constant = len(values) == 0 or values.min() == values.max()
    return 0 * values if constant else (values - values.mean()) / float(values.std())


def _both(answers: Answers) -> tuple[Numbers, Numbers]:
    return answers.targets.astype("float64"), answers.predictions[:, 0]


def _weighted_pearson(answers: Answers) -> Weighted:
    import numpy as np

    # Around their means, so that nothing is lost to rounding.
    x, y = (values - values.mean() for values in _both(answers))
    products = np.stack([x, y, x * x, y * y, x * y], axis=1)

    def measure(weights: NDArray[np.float64]) -> Numbers:
        of_x, of_y, xx, yy, xy = (weights @ products / weights.sum(1, keepdims=True)).T
        return _correlation(xy - of_x * of_y, xx - of_x**2, yy - of_y**2)

    return measure


def _correlation(shared: Numbers, of_x: Numbers, of_y: Numbers) -> Numbers:
    """Return the covariance over the root of both variances; 0 where one of them is 0 but for rounding."""
    import numpy as np

    varied = (of_x > TINY) & (of_y > TINY)
    product = np.where(varied, of_x * of_y, 1.0)
    found: Numbers = np.where(varied, shared / np.sqrt(product), 0.0)
    return found


TINY = 1e-24
"""Variance up to which numbers are equal."""


def _spearman_scores(answers: Answers) -> Numbers:
    """Return the rank correlation plus each row's influence on it, through its own ranks and those of other rows."""
    ranks = [_Ranks.of(values) for values in _both(answers)]
    (x, y) = (of.centred for of in ranks)
    shared, of_x, of_y = (float((a * b).mean()) for a, b in ((x, y), (x, x), (y, y)))
    if not (of_x and of_y):
        return 0 * x
    moved = x * y + ranks[0].above(y) + ranks[1].above(x)
    moved_x, moved_y = x * x + 2 * ranks[0].above(x), y * y + 2 * ranks[1].above(y)
    value = shared / (of_x * of_y) ** 0.5
    scores: Numbers = (
        value
        + (moved - moved.mean()) / (of_x * of_y) ** 0.5
        - value / 2 * ((moved_x - moved_x.mean()) / of_x + (moved_y - moved_y.mean()) / of_y)
    )
    return scores


class _Ranks:
    """The ranks of values as shares from -0.5 to 0.5, equal values sharing theirs."""

    def __init__(self, groups: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        self.groups, self.sizes = groups, sizes
        below = sizes.cumsum() - sizes
        self.centred: Numbers = (((below + sizes / 2) / sizes.sum()) - 0.5)[groups]

    @classmethod
    def of(cls, values: Numbers) -> _Ranks:
        """Rank values of shape (rows,)."""
        import numpy as np

        _, groups, sizes = np.unique(values, return_inverse=True, return_counts=True)
        return cls(groups, sizes)

    def above(self, values: Numbers) -> Numbers:
        """Return for every row the mean over all rows of ``values``, of those ranked above it, half of its equals'."""
        import numpy as np

        sums = np.bincount(self.groups, weights=values, minlength=len(self.sizes))
        above = sums.sum() - sums.cumsum() + sums / 2
        found: Numbers = above[self.groups] / len(values)
        return found


def _weighted_spearman(answers: Answers) -> Weighted:
    """Rank the rows of every resample anew: a row that is drawn several times shares its rank with itself."""
    import numpy as np

    groups = [np.unique(values, return_inverse=True)[1] for values in _both(answers)]
    orders = [np.argsort(of, kind="stable") for of in groups]
    starts = [np.flatnonzero(np.diff(of[order], prepend=-1)) for of, order in zip(groups, orders, strict=True)]

    def ranked(weights: Numbers, number: int) -> Numbers:
        of_group = np.add.reduceat(weights[:, orders[number]], starts[number], axis=1)
        return (of_group.cumsum(1) - of_group / 2)[:, groups[number]]

    def measure_chunk(weights: Numbers) -> Numbers:
        total = weights.sum(1, keepdims=True)
        x, y = (ranked(weights, number) / total - 0.5 for number in (0, 1))
        shared, of_x, of_y = ((weights * a * b).sum(1) for a, b in ((x, y), (x, x), (y, y)))
        return _correlation(shared, of_x, of_y)

    return lambda weights: np.concatenate([measure_chunk(part) for part in in_chunks(weights, 4 * weights.shape[1])])


NUMBER_MEASURES: Mapping[str, Measure] = {
    "mae": mean_of(absolute_error),
    "mse": mean_of(squared_error),
    "rmse": Measure(_rmse_scores, _weighted_rmse),
    "pearson": Measure(_pearson_scores, _weighted_pearson),
    "spearman": Measure(_spearman_scores, _weighted_spearman),
}
