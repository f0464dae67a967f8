"""Rows of different lengths in one array, and what is made of them without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kexp.data.freed_memory import forget


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of different lengths in one array: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row."""
        return np.diff(self.offsets)

    @property
    def full_lengths(self) -> NDArray[np.int64]:
        """Length of each row before it was cut, which these are not."""
        return self.lengths

    def row(self, number: int) -> NDArray[np.int32]:
        """Return one row."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Return some rows in this order."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        return Ragged(self.values[ranges(starts, lengths)], offsets_of(lengths))

    def part(self, first: int, last: int) -> Ragged:
        """Return the rows from ``first`` up to ``last``; nothing is copied but their offsets."""
        offsets = self.offsets[first : last + 1]
        return Ragged(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def whole(self) -> Ragged:
        """Return these rows."""
        return self

    def forget(self) -> None:
        """Let go of the memory of rows that are mapped from a file; they are read again where they are needed."""
        forget(self.values)


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the offsets of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def cut(rows: Ragged, lengths: NDArray[np.int64], side: str) -> Ragged:
    """Keep ``lengths[i]`` tokens of row i; ``side`` is the end that is cut off, right or left."""
    starts = rows.offsets[:-1] if side == "right" else rows.offsets[1:] - lengths
    return Ragged(rows.values[ranges(starts, lengths)], offsets_of(lengths))


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``starts[i], starts[i] + 1 ...`` for ``lengths[i]`` numbers, for all i one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def repeated(tokens: tuple[int, ...], rows: int) -> Ragged:
    """Return rows that all have the same tokens."""
    return Ragged(np.tile(np.asarray(tokens, np.int32), rows), np.arange(rows + 1, dtype=np.int64) * len(tokens))


def side_by_side(parts: Sequence[Ragged]) -> Ragged:
    """Join rows with rows: row i of the result is row i of every part in turn."""
    offsets = offsets_of(np.sum([part.lengths for part in parts], axis=0))
    values = np.empty(int(offsets[-1]), np.int32)
    place = offsets[:-1].copy()
    for part in parts:
        values[ranges(place, part.lengths)] = part.values
        place += part.lengths
    return Ragged(values, offsets)
