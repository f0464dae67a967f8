"""Lengths of the rows of a split: percentiles, a histogram, and what a maximum length would cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (0, 5, 25, 50, 75, 95, 99, 100)
BINS = 20


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the rows of one split, in characters or tokens.

    ``percentiles`` are by number: as many per cent of the rows, at least, are not longer. ``histogram`` has for every
    bin its shortest length and the number of its rows; all bins are equally wide. ``cut`` has the number of rows that
    are longer than each maximum length, in tokens.
    """

    split: str
    unit: str
    rows: int
    mean: float
    percentiles: Mapping[int, int]
    histogram: Sequence[tuple[int, int]]
    cut: Mapping[int, int]


def lengths_of(split: str, unit: str, values: NDArray[np.int64], cuts: Iterable[int] = ()) -> Lengths:
    """Describe the lengths of a split that has rows; ``cuts`` are maximum lengths."""
    percentiles = np.percentile(values, PERCENTILES, method="inverted_cdf").astype(int).tolist()
    first, last = int(values.min()), int(values.max())
    width = (last - first) // BINS + 1
    counts = np.bincount((values - first) // width).tolist()
    histogram = [(first + width * number, count) for number, count in enumerate(counts)]
    cut = {length: int((values > length).sum()) for length in sorted(set(cuts))}
    return Lengths(
        split, unit, len(values), float(values.mean()), dict(zip(PERCENTILES, percentiles, strict=True)), histogram, cut
    )
