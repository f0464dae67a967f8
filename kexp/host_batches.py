"""Batches as training and prediction pass them on: NumPy arrays on the host, until they are moved to the device."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class HostRows:
    """Rows of tokens, one after the other without padding: ids and, where the model takes them, types of (tokens,).

    ``lengths`` has shape (rows,). ``hidden`` is what the frozen blocks of the model make of the tokens, of shape
    (tokens, hidden), or of the first token of each row, of shape (rows, hidden), where that is known.
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    types: NDArray[np.int64] | None = None
    hidden: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self, first: int, last: int) -> HostRows:
        """Return the rows from ``first`` up to ``last``."""
        ids, types, hidden = (self.part_of(values, first, last) for values in (self.ids, self.types, self.hidden))
        return HostRows(ids, self.lengths[first:last], types, hidden)

    def part_of(self, values: Any, first: int, last: int) -> Any:
        """Return what ``values``, one for each token or for each row, say of the rows from ``first`` up to ``last``."""
        if values is None or len(values) == len(self):
            return None if values is None else values[first:last]
        begin, end = int(self.lengths[:first].sum()), int(self.lengths[:last].sum())
        return values[begin:end]

    def every(self, step: int, first: int) -> HostRows:
        """Return the rows at ``[first::step]``."""
        ids, types, hidden = (self.every_of(values, step, first) for values in (self.ids, self.types, self.hidden))
        return HostRows(ids, self.lengths[first::step], types, hidden)

    def every_of(self, values: Any, step: int, first: int) -> Any:
        """Return what ``values``, one for each token or for each row, say of the rows at ``[first::step]``."""
        if values is None or len(values) == len(self):
            return None if values is None else values[first::step]
        chosen = np.arange(len(self)) % step == first
        return values[np.flatnonzero(np.repeat(chosen, self.lengths))]


@dataclass(frozen=True, slots=True)
class HostBatch:
    """Labelled rows, before they are on the device; ``numbers`` are the places of the rows in their file.

    ``labels`` are targets of the task, rows first, or have shape (tokens,) where every token has one.
    """

    inputs: HostRows
    labels: NDArray[Any]
    numbers: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def tokens(self) -> int:
        """Number of tokens of all rows."""
        return len(self.inputs.ids)

    def part(self, first: int, last: int) -> HostBatch:
        """Return the rows from ``first`` up to ``last``."""
        numbers = None if self.numbers is None else self.numbers[first:last]
        labels = self.inputs.part_of(self.labels, first, last)
        return HostBatch(self.inputs.part(first, last), labels, numbers)

    def every(self, step: int, first: int) -> HostBatch:
        """Return the rows at ``[first::step]``."""
        numbers = None if self.numbers is None else self.numbers[first::step]
        return HostBatch(self.inputs.every(step, first), self.inputs.every_of(self.labels, step, first), numbers)


@dataclass(frozen=True, slots=True)
class HostUnlabelledBatch:
    """Unlabelled rows and their augmented views; ``rows`` are their numbers among all of them.

    ``augmented`` has no rows where no views are used. ``numbers`` are the places of the rows in their file.
    """

    original: HostRows
    augmented: HostRows
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64] | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens of all rows and views."""
        return len(self.original.ids) + len(self.augmented.ids)

    def part(self, first: int, last: int) -> HostUnlabelledBatch:
        """Return the rows from ``first`` up to ``last``."""
        original, augmented = (rows.part(first, last) for rows in (self.original, self.augmented))
        numbers = None if self.numbers is None else self.numbers[first:last]
        return HostUnlabelledBatch(original, augmented, self.rows[first:last], numbers)

    def every(self, step: int, first: int) -> HostUnlabelledBatch:
        """Return the rows at ``[first::step]``."""
        original, augmented = (rows.every(step, first) for rows in (self.original, self.augmented))
        numbers = None if self.numbers is None else self.numbers[first::step]
        return HostUnlabelledBatch(original, augmented, self.rows[first::step], numbers)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The rows of one forward pass: labelled ones and, for objectives that use them, unlabelled ones."""

    labelled: HostBatch
    unlabelled: HostUnlabelledBatch | None = None

    def every(self, step: int, first: int) -> MicroBatch:
        """Return the rows at ``[first::step]``, of labelled and of unlabelled ones."""
        unlabelled = None if self.unlabelled is None else self.unlabelled.every(step, first)
        return MicroBatch(self.labelled.every(step, first), unlabelled)

    def split(self, count: int) -> list[MicroBatch]:
        """Return ``count`` passes over parts of the rows, or as many as there are labelled rows.

        Unlabelled rows are divided as the labelled ones are, so that a part's weight, its share of the labelled rows,
        is right for both.
        """
        rows, others = len(self.labelled), 0 if self.unlabelled is None else len(self.unlabelled.rows)
        count = min(count, rows)
        if count == 1:
            return [self]
        ends = [rows * number // count for number in range(count + 1)]
        return [
            MicroBatch(
                self.labelled.part(first, last),
                None
                if self.unlabelled is None
                else self.unlabelled.part(others * first // rows, others * last // rows),
            )
            for first, last in itertools.pairwise(ends)
        ]
