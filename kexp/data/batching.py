"""Batches out of flat arrays: rows of similar length together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kexp.data.encoding import Encoded, ranges
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
    ) -> list[NDArray[np.int64]]:
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
    ) -> list[NDArray[np.int64]]:
        """Cut an epoch's order of rows into ``count`` batches, as ``token_batches`` does."""
        return token_batches(order, lengths, count, bucketing=bucketing, generator=generator)


BatchSize = RowsPerBatch | TokensPerBatch


def batches(
    order: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int,
    *,
    bucketing: bool,
    generator: np.random.Generator | None,
) -> list[NDArray[np.int64]]:
    """Cut an epoch's order of rows into batches.

    With ``bucketing``, stretches of the order as long as many batches are sorted by length before they are cut, so
    that a batch holds rows of similar length; ``generator`` then shuffles the batches (None keeps their order). Every
    row of ``order`` is in exactly one batch.
    """
    if not bucketing:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    cut = []
    stretch = batch_size * BUCKET_BATCHES
    for start in range(0, len(order), stretch):
        rows = order[start : start + stretch]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        cut += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    return shuffled(cut, generator)


def token_batches(
    order: NDArray[np.int64],
    lengths: NDArray[np.int64],
    count: int,
    *,
    bucketing: bool,
    generator: np.random.Generator | None,
) -> list[NDArray[np.int64]]:
    """Cut an epoch's order of rows into ``count`` batches of about equal numbers of tokens, each of at least one row.

    With ``bucketing``, stretches of many batches are sorted by length before they are cut, and ``generator`` shuffles
    the batches, as in ``batches``. A batch of more than one row has at most the mean number of tokens and those of its
    longest row.
    """
    if bucketing:
        order = _sorted_in_stretches(order, lengths, count)
    tokens = lengths[order]
    ends, places = np.cumsum(tokens), np.arange(1, count)
    # A row belongs to the batch in which its middle lies.
    bounds = np.searchsorted(2 * ends - tokens, 2 * ends[-1] * places / count)
    bounds = np.maximum.accumulate(np.maximum(bounds - places, 0)) + places
    cut = np.split(order, np.minimum(bounds, len(order) - count + places))
    return shuffled(cut, generator) if bucketing else cut


def _sorted_in_stretches(order: NDArray[np.int64], lengths: NDArray[np.int64], count: int) -> NDArray[np.int64]:
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
    tokens = encoded.tokens
    starts, lengths = tokens.offsets[rows], tokens.offsets[rows + 1] - tokens.offsets[rows]
    places = ranges(starts, lengths)
    types = None
    if token_types:
        types = np.zeros(len(places), np.int64)
        if encoded.boundaries is not None:
            types[places >= np.repeat(starts + encoded.boundaries[rows], lengths)] = 1
    return HostRows(tokens.values[places].astype(np.int64), lengths, types, encoded.hidden_of(rows))


def by_length(lengths: NDArray[np.int64], size: BatchSize) -> Iterator[NDArray[np.int64]]:
    """Yield all rows in batches, longest first: the most memory is needed at once, where it is noticed.

    A number of tokens is that of a batch whose rows are all as long as its longest one.
    """
    order, start = np.argsort(-lengths, kind="stable"), 0
    while start < len(order):
        count = size.fitting(int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
