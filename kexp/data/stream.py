"""The labelled stream of training: for each epoch, the batches of every optimiser step, a pure function of the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Augmenter, HostBatch, SamplerOptions
from kexp.data.batching import batches, collate
from kexp.data.encoding import Encoded
from kexp.data.rows import Rows
from kexp.seeds import generator, python_random


@dataclass(frozen=True, slots=True)
class Augmented:
    """Texts that change every epoch: the augmenter, the share of rows it changes, and how to encode the result."""

    augmenter: Augmenter
    probability: float
    encode: Callable[[Sequence[str], Sequence[str] | None], Encoded]


@dataclass(frozen=True, slots=True)
class LabelledStream:
    """Labelled rows, batch after batch. Nothing is remembered between epochs, so any place can be returned to."""

    rows: Rows
    encoded: Encoded
    sampler: SamplerOptions
    seed: int
    batch_size: int
    accumulation: int
    bucketing: bool
    keep_order: bool
    pad_id: int
    token_types: bool
    augmented: Augmented | None = None

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch."""
        rows = len(self.sampler.order(self.rows.labels, generator(self.seed, "order", 0)))
        return -(-rows // (self.batch_size * self.accumulation))

    def epoch(self, number: int, start: int = 0) -> Iterator[list[HostBatch]]:
        """Yield the batches of each optimiser step of epoch ``number``, from step ``start`` on."""
        encoded = self.encoded if self.augmented is None else self._augment(self.augmented, number)
        order = self.sampler.order(self.rows.labels, generator(self.seed, "order", number))
        shuffler = None if self.keep_order else generator(self.seed, "batches", number)
        cut = batches(order, encoded.tokens.lengths, self.batch_size, bucketing=self.bucketing, generator=shuffler)
        for first in range(start * self.accumulation, len(cut), self.accumulation):
            yield [self._batch(encoded, rows) for rows in cut[first : first + self.accumulation]]

    def _batch(self, encoded: Encoded, rows: NDArray[np.int64]) -> HostBatch:
        inputs = collate(encoded, rows, pad_id=self.pad_id, token_types=self.token_types)
        return HostBatch(inputs, self.rows.labels[rows], int(encoded.tokens.lengths[rows].sum()))

    def _augment(self, augmented: Augmented, epoch: int) -> Encoded:
        """Augment every row from a stream of its own, so that neither order nor batches matter."""
        streams = [python_random(self.seed, "augment", epoch, int(number)) for number in self.rows.numbers]
        chosen = [row for row, stream in enumerate(streams) if stream.random() < augmented.probability]
        texts = list(self.rows.texts)
        changed = augmented.augmenter([texts[row] for row in chosen], [streams[row] for row in chosen])
        for row, text in zip(chosen, changed, strict=True):
            texts[row] = text
        return augmented.encode(texts, self.rows.pairs)
