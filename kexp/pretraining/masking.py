"""Masked texts: tokens or whole eojeol are chosen at random, anew in every epoch, and replaced as in BERT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.data.batching import batches, gather
from kexp.data.encoding import Encoded, frame
from kexp.data.labelled_stream import Collator
from kexp.data.ragged import Ragged, offsets_of
from kexp.data.texts import CHUNK
from kexp.data.tokenising import plain_backend
from kexp.errors import KexpError
from kexp.host_batches import HostBatch, MicroBatch
from kexp.seeds import generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORED = -100
"""Label of tokens that are not to be predicted."""

SECOND = 2**30
"""Number of the first eojeol of the second text of a pair."""


@dataclass(frozen=True, slots=True)
class Masking:
    """Which tokens are masked together, and by what masked tokens are replaced.

    ``units`` is the number of the token or eojeol that each token of all rows belongs to, in order from 0. ``special``
    are the ids of tokens that are neither masked nor put in the place of others.
    """

    units: NDArray[np.int32]
    probability: float
    mask_id: int
    special: Sequence[int]
    vocabulary: int

    def __call__(
        self, ids: NDArray[np.int32], random: np.random.Generator
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the tokens of all rows with some replaced, and the labels: the token itself, or ``IGNORED``.

        A unit is chosen with ``probability``. Of the chosen tokens 80 % become the mask, 10 % a random token, and 10 %
        stay (Devlin et al. 2019, section 3.1).
        """
        chosen = random.random(int(self.units[-1]) + 1)[self.units] < self.probability
        chosen &= ~np.isin(ids, self.special)
        places = np.flatnonzero(chosen)
        kinds = random.random(len(places))
        ordinary = np.setdiff1d(np.arange(self.vocabulary, dtype=np.int32), self.special)
        replaced = ids.copy()
        replaced[places[kinds < 0.8]] = self.mask_id
        others = places[kinds >= 0.9]
        replaced[others] = random.choice(ordinary, len(others))
        return replaced, np.where(chosen, ids, np.int32(IGNORED))


def make_masking(
    encoded: Encoded, words: Encoded | None, tokenizer: PreTrainedTokenizerFast, probability: float
) -> Masking:
    """Return how rows are masked: whole ``words`` (see ``eojeol``), or single tokens without them."""
    if words is None:
        units = np.arange(len(encoded.tokens.values), dtype=np.int32)
    else:
        numbers = words.tokens.values
        begins = np.ones(len(numbers), bool)
        begins[1:] = numbers[1:] != numbers[:-1]
        begins[words.tokens.offsets[:-1]] = True
        units = np.cumsum(begins, dtype=np.int32) - 1
    return Masking(units, probability, mask_token_id(tokenizer), sorted(tokenizer.all_special_ids), len(tokenizer))


def mask_token_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the id of the mask; raises ``KexpError`` for a tokenizer without one."""
    number = tokenizer.mask_token_id
    if not isinstance(number, int):
        raise KexpError("pretraining: the backbone's tokenizer has no mask token; use another backbone")
    return number


def eojeol(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    truncation: str,
    joint: str,
) -> Encoded:
    """Return the number of the eojeol of each token, in the places that the tokens have in encoded rows.

    An eojeol is what stands between white space. The numbers are above all ids, so that the special tokens around the
    texts belong to none.
    """
    first = _numbers(texts, tokenizer, joint, len(tokenizer))
    second = None if pairs is None else _numbers(pairs, tokenizer, joint, SECOND)
    return frame(first, second, tokenizer, max_length=max_length, truncation=truncation)


def _numbers(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, joint: str, start: int) -> Ragged:
    rows = []
    with plain_backend(tokenizer, joint) as backend:
        for first in range(0, len(texts), CHUNK):
            chunk = list(texts[first : first + CHUNK])
            for text, row in zip(chunk, backend.encode_batch(chunk, add_special_tokens=False), strict=True):
                ends = [word.end() for word in re.finditer(r"\S+", text)]
                # A token that begins with the space before a word belongs to that word.
                begins = np.fromiter((begin for begin, _ in row.offsets), np.int64, len(row.offsets))
                rows.append(start + np.searchsorted(ends, begins, side="right"))
    lengths = np.asarray([len(row) for row in rows], np.int64)
    return Ragged(np.concatenate(rows).astype(np.int32), offsets_of(lengths))


@dataclass(frozen=True, slots=True)
class MaskedStream:
    """The rows of pre-training, batch after batch; an epoch is a pure function of the seed and its number."""

    encoded: Encoded
    masking: Masking
    collator: Collator
    seed: int
    batch_size: int

    def steps_per_epoch(self) -> int:
        """Return the number of steps of an epoch."""
        return -(-len(self.encoded) // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batch of each step of an epoch, from step ``start`` on: rows of similar length together."""
        order = generator(self.seed, "order", number).permutation(len(self.encoded))
        shuffled = generator(self.seed, "batches", number)
        lengths = self.encoded.tokens.lengths
        cut = batches(order, lengths, self.batch_size, bucketing=True, generator=shuffled)
        yield from ([MicroBatch(batch)] for batch in self.masked(cut[start:], generator(self.seed, "mask", number)))

    def masked(self, cut: Sequence[NDArray[np.int64]], random: np.random.Generator) -> Iterator[HostBatch]:
        """Yield batches of rows, masked by one draw for all rows; every token has a label."""
        offsets, boundaries = self.encoded.tokens.offsets, self.encoded.boundaries
        ids, labels = self.masking(self.encoded.tokens.values, random)
        inputs = Encoded(Ragged(ids, offsets), boundaries, 0)
        targets = Encoded(Ragged(labels, offsets), None, 0)
        for rows in cut:
            yield HostBatch(self.collator(inputs, rows), gather(targets, rows, token_types=False).ids)
