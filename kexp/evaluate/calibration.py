"""How far a model's confidence can be believed: accuracy by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose confidence is in (low, high]: how many, their mean confidence and the share that is right.

    An empty bin has 0 for both.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> list[Bin]:
    """Return equal bins of confidence, closed above as in Guo et al. 2017; both arrays have shape (rows,)."""
    import numpy as np

    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = np.bincount(number, minlength=bins)
    sums = (np.bincount(number, weights=of, minlength=bins) for of in (confidence, right.astype(float)))
    means = [of / np.maximum(rows, 1) for of in sums]
    return [
        Bin(at / bins, (at + 1) / bins, int(n), float(sure), float(share))
        for at, (n, sure, share) in enumerate(zip(rows, *means, strict=True))
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean gap between confidence and accuracy over the rows (Guo et al. 2017, eq. 3)."""
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.accuracy - one.confidence) for one in bins) / rows if rows else 0.0
