"""Labels that are numbers: how a cell is read, and how a number is spelled."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from kexp.data.reading import MISSING_WORDS
from kexp.files.cells import described, is_missing
from kexp.names import plain_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")

SHOWN = 21
"""Different numbers that are counted each by itself: half points from 0 to 10, for example."""
RANGES = 10
"""Ranges in which others are counted."""
STRATA = 10
"""Into how many strata of neighbouring numbers rows are divided, where each has rows enough."""


def spelled(value: float) -> str:
    """Return the one spelling of a number: the shortest text that reads as it, without a fraction of 0."""
    # -0.0 is 0.
    return repr(value + 0.0).removesuffix(".0")


def number_label(value: Any) -> str:
    """Return a cell as the label of a number; "" for a missing one.

    Raises ``ValueError`` for what is no finite number, with what it is.
    """
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return _number_text(value)
    if type(value).__name__ in ("bool", "bool_"):
        raise ValueError(f"found {described(value)}, expected a number; write 1 and 0 if these are numbers")
    try:
        # Bytes are read as digits.
        number = float("" if hasattr(value, "__len__") else value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"found {described(value)}, expected a number{_remedy(value)}") from None
    if not math.isfinite(number):
        raise ValueError(f"found {described(value)}, expected a finite number; correct it, or leave the row out")
    return spelled(number)


@lru_cache(10_000)
def _number_text(value: str) -> str:
    text = plain_name(value)
    if not text or text.lower() in MISSING_WORDS:
        return ""
    if _NUMBER.fullmatch(text):
        if math.isfinite(number := float(text)):
            return spelled(number)
        raise ValueError(f'found "{text[:40]}", expected a finite number; correct it')
    if _DECIMAL_COMMA.fullmatch(text):
        point = text.replace(",", ".")
        raise ValueError(f'found "{text[:40]}", expected a number with a decimal point; write it as {point}')
    raise ValueError(f'found "{text[:40]}", expected a number; correct it, or use a task for names, as "single-label"')


def _remedy(value: Any) -> str:
    return "; one number per row is learnt, so choose one" if hasattr(value, "__len__") else "; write it as a number"


def is_number(label: str) -> bool:
    """Return whether a label is spelled as a number."""
    return _NUMBER.fullmatch(label) is not None


def tally(rows: Mapping[str, Mapping[str, int]], bounds: tuple[float, float] | None) -> dict[str, dict[str, int]]:
    """Return how many rows of each split have each number, or lie in each of ``RANGES`` where there are many numbers.

    Ranges are of equal width, from bound to bound or from the smallest to the largest number of all splits; all but the
    last one are without their end.
    """
    values = sorted({float(label) for of_label in rows.values() for label in of_label})
    if len(values) <= SHOWN:
        return {
            split: {label: of_label[label] for label in sorted(of_label, key=float)} for split, of_label in rows.items()
        }
    low, high = bounds or (values[0], values[-1])
    ends = [low + (high - low) * number / RANGES for number in range(1, RANGES)]
    names = [f"{first:.4g} to {last:.4g}" for first, last in pairwise((low, *ends, high))]
    found = {split: dict.fromkeys(names, 0) for split in rows}
    for split, of_label in rows.items():
        for label, count in of_label.items():
            found[split][names[bisect_right(ends, float(label))]] += count
    return found


def quantile_strata(values: NDArray[np.float64], parts: int) -> NDArray[np.int32]:
    """Return in which of at most ``STRATA`` stretches of neighbouring values each row is, from 0; shape (rows,).

    Equal values are in one stretch. Each stretch has ``parts`` rows or more, unless there are fewer rows in all.
    """
    import numpy as np

    distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    wanted = max(parts, -(-len(values) // STRATA), 1)
    stretches = _stretches([int(count) for count in counts], wanted, max(parts, 1))
    of_value = np.empty(len(distinct), np.int32)
    for number, (first, last) in enumerate(stretches):
        of_value[first:last] = number
    found: NDArray[np.int32] = of_value[place.reshape(-1)]
    return found


def _stretches(counts: Sequence[int], wanted: int, least: int) -> list[tuple[int, int]]:
    """Return the stretches of distinct values, each with about ``wanted`` rows and at least ``least``."""
    found: list[tuple[int, int]] = []
    first = rows = 0
    for place, count in enumerate(counts):
        # A value that fills a stretch by itself does not swallow what stands before it.
        if rows >= least and count >= wanted:
            found.append((first, place))
            first, rows = place, 0
        rows += count
        if rows >= wanted:
            found.append((first, place + 1))
            first, rows = place + 1, 0
    if rows:
        if rows < least and found:
            first = found.pop()[0]
        found.append((first, len(counts)))
    return found
