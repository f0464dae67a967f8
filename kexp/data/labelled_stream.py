"""The labelled stream of training: for each epoch, the batches of every optimiser step, a pure function of the seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Augmenter, Rejected, SamplerOptions
from kexp.data.batching import BatchSize, Cut, gather
from kexp.data.encoding import Encoded
from kexp.data.rows import Rows
from kexp.errors import KexpError
from kexp.host_batches import HostBatch, HostRows, MicroBatch
from kexp.seeds import generator, python_random

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Encode = Callable[[Sequence[str], Sequence[str] | None], Encoded]

Views = Callable[[int, Sequence[int], Sequence[Random]], Sequence[str | Rejected]]
"""From an epoch and some rows, with a generator each, to the augmented texts of these rows."""


@dataclass(frozen=True, slots=True)
class Collator:
    """How rows become inputs of a model: the padding id, and whether the model takes token types."""

    pad_id: int
    token_types: bool

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> Collator:
        """Return what makes a tokenizer's rows the inputs of a model."""
        padding = tokenizer.pad_token_id
        if not isinstance(padding, int):
            raise KexpError("the backbone's tokenizer has no padding token")
        # Some models take the argument, but know one type only.
        known = getattr(model.config, "type_vocab_size", 0) > 1
        return cls(padding, known and "token_type_ids" in inspect.signature(model.forward).parameters)

    def __call__(self, encoded: Encoded, rows: NDArray[np.int64]) -> HostRows:
        """Return some rows as the model takes them."""
        return gather(encoded, rows, token_types=self.token_types)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Texts that change every epoch: where they come from, the share of rows that change, and how they are encoded."""

    views: Views
    probability: float
    encode: Encode


@dataclass(frozen=True)
class LabelledStream:
    """Labelled rows, batch after batch. Nothing is remembered between epochs, so any place can be returned to."""

    rows: Rows
    encoded: Encoded
    sampler: SamplerOptions
    collator: Collator
    seed: int
    batch_size: BatchSize
    accumulation: int = 1
    bucketing: bool = True
    augmentation: Augmentation | None = None

    @property
    def buckets(self) -> bool:
        """Whether batches hold rows of similar length, which a sampler that keeps its order rules out."""
        return self.bucketing and not self.sampler.keeps_order

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch."""
        return -(-self.batches_per_epoch() // self.accumulation)

    def batches_per_epoch(self) -> int:
        """Return the number of batches of an epoch, which is that of the first one."""
        return self._of_an_epoch[1]

    def rows_per_epoch(self) -> int:
        """Return the number of rows that an epoch visits, which is that of the first one."""
        return self._of_an_epoch[0]

    @cached_property
    def _of_an_epoch(self) -> tuple[int, int]:
        """The number of rows and of batches."""
        order = self.order(0)
        return len(order), self.batch_size.count(self.encoded.tokens.lengths[order])

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batches of each optimiser step of epoch ``number``, from step ``start`` on."""
        cut = self.batches(number)
        for first in range(start * self.accumulation, len(cut), self.accumulation):
            yield [MicroBatch(batch) for batch in self.visit(number, cut[first : first + self.accumulation])]

    def batches(self, epoch: int) -> Cut:
        """Return the rows of each batch of an epoch."""
        return self.batch_size.cut(
            self.order(epoch),
            self.encoded.tokens.lengths,
            self.batches_per_epoch(),
            bucketing=self.buckets,
            generator=generator(self.seed, "batches", epoch),
        )

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows that the sampler visits in an epoch."""
        return self.sampler.order(self.rows.labels, generator(self.seed, "order", epoch))

    def visit(self, epoch: int, groups: Sequence[NDArray[np.int64]]) -> list[HostBatch]:
        """Return groups of rows with their labels, as an epoch has them; those of all groups are augmented at once."""
        encoded, places = self.encoded, groups
        if self.augmentation is not None:
            visited = np.unique(np.concatenate(groups))
            encoded = self.augmented(epoch, visited, self.augmentation)
            places = [np.searchsorted(visited, rows) for rows in groups]
        return [
            HostBatch(self.collator(encoded, place), self.rows.labels[rows], self.rows.numbers[rows])
            for rows, place in zip(groups, places, strict=True)
        ]

    def augmented(self, epoch: int, rows: NDArray[np.int64], augmentation: Augmentation) -> Encoded:
        """Return some rows as an epoch has them: a share is augmented, each from a random stream of its own."""
        numbers = self.rows.numbers
        streams = {row: python_random(self.seed, "augment", epoch, int(numbers[row])) for row in rows.tolist()}
        chosen = [row for row, stream in streams.items() if stream.random() < augmentation.probability]
        texts = {row: self.rows.texts[row] for row in streams}
        changed = augmentation.views(epoch, chosen, [streams[row] for row in chosen]) if chosen else ()
        texts |= {row: text for row, text in zip(chosen, changed, strict=True) if not isinstance(text, Rejected)}
        pairs = self.rows.pairs
        return augmentation.encode(list(texts.values()), None if pairs is None else [pairs[row] for row in texts])


def new_texts(rows: Rows, augmenter: Augmenter) -> Views:
    """Augment texts whenever they are visited."""
    return lambda epoch, chosen, generators: augmenter([rows.texts[row] for row in chosen], generators)
