"""Dividing rows with several labels each, so that every part has its share of every label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOSE = 1e-9
"""Differences below are those of sums of fractions."""
SWAPS = 1000
"""Swaps of two rows at most, after all rows have a part."""
LOOKED_AT, TRIED = 2000, 64
"""Rows of each of two parts of which the most promising ones are chosen for a swap, and these."""


def stratified_parts(
    counts: NDArray[np.integer[Any]], sizes: NDArray[np.int64], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Return the part of every unit by iterative stratification (Sechidis et al. 2011, algorithm 1).

    A unit is a row or a group of rows: ``counts`` of shape (units, labels) says how many of its rows have each label,
    ``sizes`` of shape (units,) how many rows it has. ``shares`` are those of the parts and add up to 1. Units of the
    rarest label that is left come first, the largest ones before others, each to the part that lacks most of this
    label, then most rows; ties are drawn. A part that has all its rows gets no more, so that with units of one row the
    sizes are exact; where that leaves a part a row or more off its share of a label, such rows are swapped.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    order = generator.permutation(len(sizes))
    counts, sizes = counts[order], sizes[order]
    room = _rounded(np.asarray(shares, np.float64), int(sizes.sum()))
    wanted = np.outer(room / max(int(sizes.sum()), 1), counts.sum(0))
    draws = generator.random(len(sizes))
    parts = np.empty(len(sizes), np.int64)
    found = _assigned(counts, sizes, room, wanted, draws)
    if counts.size and (sizes == 1).all():
        _swap(found, counts, wanted)
    parts[order] = found
    return parts


def _assigned(
    counts: NDArray[np.integer[Any]],
    sizes: NDArray[np.int64],
    room: NDArray[np.float64],
    wanted: NDArray[np.float64],
    draws: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the part of every unit, in which a unit is considered after those before it."""
    import numpy as np

    # Lists: what is looked at for a unit are a few numbers, which NumPy takes longer for.
    left, lacking, rooms = counts.sum(0), wanted.T.tolist(), room.tolist()
    rows, labels = np.nonzero(counts)
    ends = np.searchsorted(rows, np.arange(len(sizes) + 1)).tolist()
    label_of, amounts = labels.tolist(), counts[counts != 0].tolist()
    by_label, drawn, size_of = np.ascontiguousarray(counts.T), draws.tolist(), sizes.tolist()
    found = np.full(len(sizes), -1, np.int64)
    while (left > 0).any():
        rarest = int(np.where(left > 0, left, left.max() + 1).argmin())
        units = np.flatnonzero((found < 0) & (by_label[rarest] > 0))
        for unit in units[np.argsort(-by_label[rarest][units], kind="stable")].tolist():
            part = _neediest(lacking[rarest], rooms, drawn[unit])
            found[unit] = part
            rooms[part] -= size_of[unit]
            for place in range(ends[unit], ends[unit + 1]):
                lacking[label_of[place]][part] -= amounts[place]
        left = left - counts[units].sum(0)
    units = np.flatnonzero(found < 0)
    for unit in units[np.argsort(-sizes[units], kind="stable")].tolist():
        part = _neediest(rooms, rooms, drawn[unit])
        found[unit] = part
        rooms[part] -= size_of[unit]
    return found


def _rounded(shares: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return how many of the rows each part gets, by largest remainders."""
    import numpy as np

    exact = shares / shares.sum() * rows
    whole: NDArray[np.float64] = np.floor(exact + CLOSE)
    more = int(rows - whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:more]] += 1
    return whole


def _neediest(lacking: Sequence[float], room: Sequence[float], draw: float) -> int:
    """Return the part with room that lacks most, of equal ones that with the most room, of these a drawn one."""
    able = [part for part, rows in enumerate(room) if rows > 0] or list(range(len(room)))
    most = max(lacking[part] for part in able) - CLOSE
    able = [part for part in able if lacking[part] >= most]
    if len(able) > 1:
        most = max(room[part] for part in able) - CLOSE
        able = [part for part in able if room[part] >= most]
    return able[int(draw * len(able))]


def _swap(found: NDArray[np.int64], counts: NDArray[np.integer[Any]], wanted: NDArray[np.float64]) -> None:
    """Swap rows of two parts, in place, while a part has a row of a label too many and a swap brings all nearer.

    What is made smaller is the sum of squares of the rows that parts have too many or too few, over labels.
    """
    import numpy as np

    over = -wanted
    np.add.at(over, found, counts)
    done = np.zeros(over.shape, bool)
    for _ in range(SWAPS):
        open_ = np.where(done, 0, np.abs(over))
        part, label = np.unravel_index(int(open_.argmax()), over.shape)
        if open_[part, label] < 1:
            return
        # The part that has most of what this one lacks, or lacks most of what it has.
        other = int((over[:, label] * -np.sign(over[part, label])).argmax())
        swap = _best_swap(found, counts, int(part), other, over)
        if swap is None:
            done[part, label] = True
            continue
        mine, its = swap
        change = counts[its].astype(np.float64) - counts[mine]
        over[part] += change
        over[other] -= change
        found[mine], found[its] = other, part
        done[:] = False


def _best_swap(
    found: NDArray[np.int64], counts: NDArray[np.integer[Any]], part: int, other: int, over: NDArray[np.float64]
) -> tuple[int, int] | None:
    """Return a row of each of two parts whose swap brings the parts nearest to their shares; None where none does."""
    import numpy as np

    # Swapping adds the labels of its row to the part and takes those of mine: |over + d|^2 + |over' - d|^2 changes by
    # 2 d (over - over') + 2 |d|^2, where d is the difference of the two rows.
    pull = over[part] - over[other]
    mine, its = (np.flatnonzero(found == place)[:LOOKED_AT] for place in (part, other))
    if not len(mine) or not len(its):
        return None
    mine = mine[np.argsort(-(counts[mine] @ pull), kind="stable")[:TRIED]]
    its = its[np.argsort(counts[its] @ pull, kind="stable")[:TRIED]]
    difference = counts[its][None].astype(np.float64) - counts[mine][:, None]
    change = 2 * difference @ pull + 2 * (difference**2).sum(2)
    best = int(change.argmin())
    if change.flat[best] >= -CLOSE:
        return None
    row, column = divmod(best, len(its))
    return int(mine[row]), int(its[column])


def with_every_label(chosen: NDArray[np.bool_], counts: NDArray[np.integer[Any]], seed: int) -> bool:
    """Exchange chosen rows, in place, until every label of shape (rows, labels) has one; return whether it has.

    For each label that is missing a drawn row with it comes, for one whose labels all have other chosen rows.
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(chosen))
    for label in np.argsort(counts.sum(0), kind="stable"):
        if not counts[:, label].any() or counts[chosen, label].any():
            continue
        comes = order[counts[order, label] > 0][0]
        had = counts[chosen].sum(0) + counts[comes]
        spare = order[chosen[order] & ((had - counts[order] > 0) | (counts[order] == 0)).all(1)]
        if not len(spare):
            return False
        chosen[comes], chosen[spare[-1]] = True, False
    return True
