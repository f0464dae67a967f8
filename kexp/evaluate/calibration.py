"""Calibration: how confidence compares with accuracy (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with a confidence in (low, high]: their number, mean confidence and accuracy; both are 0 without rows."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> float:
    """Return the mean gap between confidence and accuracy over equal bins, weighted by their rows (eq. 3).

    ``confidence`` and ``correct`` have shape (rows,), with at least one row.
    """
    import numpy as np

    number = _bin_numbers(confidence, bins)
    gap = np.bincount(number, weights=correct.astype(float) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> list[Bin]:
    """Return the bins of a reliability diagram (figure 1); both arrays have shape (rows,)."""
    import numpy as np

    number = _bin_numbers(confidence, bins)
    rows = np.bincount(number, minlength=bins)
    sums = (np.bincount(number, weights=of, minlength=bins) for of in (confidence, correct.astype(float)))
    means = [of / np.maximum(rows, 1) for of in sums]
    return [
        Bin(at / bins, (at + 1) / bins, int(n), float(mean), float(accuracy))
        for at, (n, mean, accuracy) in enumerate(zip(rows, *means, strict=True))
    ]


def _bin_numbers(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each row; bins are (low, high], as in the paper, and the first holds 0 too."""
    import numpy as np

    numbers: NDArray[np.int64] = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return numbers
