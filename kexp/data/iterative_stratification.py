"""Dividing rows with several labels each, so that every part has its share of every label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def stratified_parts(
    counts: NDArray[np.integer[Any]], sizes: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Return the part of every unit by iterative stratification (Sechidis et al. 2011, algorithm 1).

    A unit is a row or a group of rows: ``counts`` of shape (units, labels) says how many of its rows have each label,
    ``sizes`` of shape (units,) how many rows it has. ``shares`` are those of the parts and add up to 1. Units of the
    rarest label that is left come first, each to the part that lacks most of this label, then most rows; ties are
    drawn. A part that has all its rows gets no more, so that with units of one row the sizes are exact.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    order = generator.permutation(len(sizes))
    counts, sizes = counts[order], sizes[order]
    room = _rounded(np.asarray(shares, np.float64), int(sizes.sum()))
    lacking = np.outer(room / max(int(sizes.sum()), 1), counts.sum(0))
    found = np.full(len(sizes), -1, np.int64)
    left = counts.sum(0)
    while (left > 0).any():
        rarest = int(np.where(left > 0, left, left.max() + 1).argmin())
        for unit in np.flatnonzero((found < 0) & (counts[:, rarest] > 0)):
            part = _neediest(lacking[:, rarest], room, generator)
            found[unit] = part
            lacking[part] -= counts[unit]
            room[part] -= sizes[unit]
            left = left - counts[unit]
    for unit in np.flatnonzero(found < 0):
        part = _neediest(room, room, generator)
        found[unit] = part
        room[part] -= sizes[unit]
    parts = np.empty_like(found)
    parts[order] = found
    return parts


def _rounded(shares: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return how many of the rows each part gets, by largest remainders."""
    import numpy as np

    exact = shares / shares.sum() * rows
    whole: NDArray[np.float64] = np.floor(exact + 1e-9)
    more = int(rows - whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:more]] += 1
    return whole


def _neediest(lacking: NDArray[np.float64], room: NDArray[np.float64], generator: np.random.Generator) -> int:
    """Return the part with room that lacks most, of equal ones that with the most room, of these a drawn one."""
    import numpy as np

    able = np.flatnonzero(room > 0) if (room > 0).any() else np.arange(len(room))
    best = able[lacking[able] >= lacking[able].max() - 1e-9]
    best = best[room[best] >= room[best].max() - 1e-9]
    return int(best[0] if len(best) == 1 else generator.choice(best))
