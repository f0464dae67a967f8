"""Batches out of flat arrays: rows of similar length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kexp.data.encoding import Encoded
from kexp.host_batches import HostRows

Batch = TypeVar("Batch")

BUCKET_BATCHES = 100

PREDICTION_TOKENS = 4096
"""Tokens of a pass without gradient, unless it is stated otherwise."""


@dataclass(frozen=True, slots=True)
class RowsPerBatch:
    """Batches of so many rows."""

    rows: int

    def fitting(self, longest: int) -> int:
        """Return how many rows of at most ``longest`` tokens a pass takes."""
        return self.rows

    def count(self, lengths: NDArray[np.int64]) -> int:
        """Return the number of batches of an epoch whose rows have these lengths."""
        return -(-len(lengths) // self.rows)

    def cut(
        self,
        order: NDArray[np.int64],
        lengths: NDArray[np.int64],
        count: int,
        *,
        bucketing: bool,
        generator: np.random.Generator | None,
    ) -> Cut:
        """Cut an epoch's order of rows, as ``batches`` does; their number decides how many there are."""
        return batches(order, lengths, self.rows, bucketing=bucketing, generator=generator)


@dataclass(frozen=True, slots=True)
class TokensPerBatch:
    """Batches of about so many tokens."""

    tokens: int

    def fitting(self, longest: int) -> int:
        """Return how many rows of at most ``longest`` tokens a pass takes: one at least, however long it is."""
        return max(1, self.tokens // max(1, longest))

    def count(self, lengths: NDArray[np.int64]) -> int:
        """Return the number of batches of an epoch whose rows have these lengths."""
        return max(1, -(-int(lengths.sum()) // self.tokens))

    def cut(
        self,
        order: NDArray[np.int64],
        lengths: NDArray[np.int64],
        count: int,
        *,
        bucketing: bool,
        generator: np.random.Generator | None,
    ) -> Cut:
        """Cut an epoch's order of rows into ``count`` batches, as ``token_batches`` does."""
        return token_batches(order, lengths, count, bucketing=bucketing, generator=generator)


BatchSize = RowsPerBatch | TokensPerBatch


@dataclass(frozen=True, slots=True)
class Cut(Sequence[NDArray[np.int64]]):
    """An epoch's batches: batch i has the rows between two bounds, those at place ``numbers[i]``, of ``order``.

    ``numbers`` is None where the batches stand in the order of their rows. No batch is held as an array of its own.
    """

    order: NDArray[np.int32]
    bounds: NDArray[np.int64]
    numbers: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, place: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, place: slice) -> list[NDArray[np.int64]]: ...
    def __getitem__(self, place: int | slice) -> NDArray[np.int64] | list[NDArray[np.int64]]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        number = place if self.numbers is None else self.numbers[place]
        return self.order[self.bounds[number] : self.bounds[number + 1]].astype(np.int64)

    def shuffled(self, generator: np.random.Generator | None) -> Cut:
        """Return the batches in an order that a generator draws, or as they are without one."""
        return self if generator is None else replace(self, numbers=generator.permutation(len(self)))


def batches(
    order: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    *,
    bucketing: bool,
    generator: np.random.Generator | None,
) -> Cut:
    """Cut an epoch's order of rows into batches.

    With ``bucketing``, stretches of the order as long as many batches are sorted by length before they are cut, so
    that a batch holds rows of similar length; ``generator`` then shuffles the batches (None keeps their order). Every
    row of ``order`` is in exactly one batch.
    """
    ordered = order.astype(np.int32)
    bounds = np.append(np.arange(0, len(order), batch_size), len(order))
    if not bucketing:
        return Cut(ordered, bounds)
    stretch = batch_size * BUCKET_BATCHES
    for start in range(0, len(order), stretch):
        rows = ordered[start : start + stretch]
        rows[:] = rows[np.argsort(lengths[rows], kind="stable")]
    return Cut(ordered, bounds).shuffled(generator)


def token_batches(
    order: NDArray[np.int64],
    lengths: NDArray[np.int64],
    count: int,
    *,
    bucketing: bool,
    generator: np.random.Generator | None,
) -> Cut:
    """Cut an epoch's order of rows into ``count`` batches of about equal numbers of tokens, each of at least one row.

    With ``bucketing``, stretches of many batches are sorted by length before they are cut, and ``generator`` shuffles
    the batches, as in ``batches``. A batch of more than one row has at most the mean number of tokens and those of its
    longest row.
    """
    ordered = order.astype(np.int32)
    if bucketing:
        ordered = _sorted_in_stretches(ordered, lengths, count)
    tokens = lengths[ordered]
    ends, places = np.cumsum(tokens), np.arange(1, count)
    # A row belongs to the batch in which its middle lies.
    bounds = np.searchsorted(2 * ends - tokens, 2 * ends[-1] * places / count)
    bounds = np.maximum.accumulate(np.maximum(bounds - places, 0)) + places
    bounds = np.concatenate([[0], np.minimum(bounds, len(order) - count + places), [len(order)]])
    return Cut(ordered, bounds).shuffled(generator if bucketing else None)


def _sorted_in_stretches(order: NDArray[np.int32], lengths: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """Sort stretches of many batches by length, up and down in turn, so that where two meet rows are alike."""
    tokens = lengths[order]
    ends = np.cumsum(tokens)
    stretches = (ends - tokens) * count // max(1, int(ends[-1]) * BUCKET_BATCHES)
    return order[np.lexsort((np.where(stretches % 2, -tokens, tokens), stretches))]


def shuffled(cut: list[Batch], generator: np.random.Generator | None) -> list[Batch]:
    """Return batches in an order that a generator draws, or as they are without one."""
    return cut if generator is None else [cut[number] for number in generator.permutation(len(cut))]


def gather(encoded: Encoded, rows: NDArray[np.int64], *, token_types: bool) -> HostRows:
    """Return some rows in this order, with what is known of them: token types if wanted, and hidden states."""
    tokens = encoded.tokens.take(rows).whole()
    # Around each row that is read of a mapped file, the system maps sixteen pages.
    encoded.tokens.forget()
    lengths, types = tokens.lengths, None
    if token_types:
        types = np.zeros(len(tokens.values), np.int64)
        if encoded.boundaries is not None:
            seconds = np.repeat(tokens.offsets[:-1] + encoded.boundaries[rows], lengths)
            types[np.arange(len(types)) >= seconds] = 1
    return HostRows(tokens.values.astype(np.int64), lengths, types, encoded.hidden_of(rows))


def by_length(lengths: NDArray[np.int64], size: BatchSize) -> Iterator[NDArray[np.int64]]:
    """Yield all rows in batches, longest first: the most memory is needed at once, where it is noticed.

    A number of tokens is that of a batch whose rows are all as long as its longest one.
    """
    order, start = np.argsort(-lengths, kind="stable"), 0
    while start < len(order):
        count = size.fitting(int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
