"""Batches out of flat arrays: rows of similar length together, padded to the longest of the batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kexp.data.encoding import Encoded, ranges

BUCKET_BATCHES = 100


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
    if generator is not None:
        cut = [cut[number] for number in generator.permutation(len(cut))]
    return cut


def collate(
    encoded: Encoded, rows: NDArray[np.int64], *, pad_id: int, token_types: bool
) -> dict[str, NDArray[np.int64]]:
    """Return model inputs of shape (rows, longest row): ids, mask and, where the model takes them, token types.

    The mask comes from the lengths: a padding id may be a real token of the vocabulary.
    """
    tokens = encoded.tokens
    starts, lengths = tokens.offsets[rows], tokens.offsets[rows + 1] - tokens.offsets[rows]
    columns = np.arange(int(lengths.max()))
    mask = columns < lengths[:, None]
    ids = np.full(mask.shape, pad_id, np.int64)
    ids[mask] = tokens.values[ranges(starts, lengths)]
    inputs = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    if token_types:
        inputs["token_type_ids"] = np.zeros_like(ids)
        if encoded.boundaries is not None:
            inputs["token_type_ids"][(columns >= encoded.boundaries[rows][:, None]) & mask] = 1
    return inputs


def by_length(lengths: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield all rows in batches, longest first: the most memory is needed at once, where it is noticed."""
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
