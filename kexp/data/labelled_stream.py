"""The labelled stream of training: for each epoch, the batches of every optimiser step, a pure function of the seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import tee
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import SamplerOptions
from kexp.data.augment_jobs import Job, Make, kept_or_changed
from kexp.data.batching import BatchSize, Cut, RowsPerBatch, gather
from kexp.data.encoding import Encoded
from kexp.data.rows import Rows
from kexp.data.texts import texts_at
from kexp.errors import KexpError
from kexp.host_batches import HostBatch, HostRows, MicroBatch
from kexp.seeds import derive, generator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Encode = Callable[[Sequence[str], Sequence[str] | None], Encoded]


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

    make: Make
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
        order, size = self.order(0), self.batch_size
        # Batches of a number of rows need no length of any.
        return len(order), size.count(order if isinstance(size, RowsPerBatch) else self.encoded.tokens.lengths[order])

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batches of each optimiser step of epoch ``number``, from step ``start`` on."""
        cut = self.batches(number)
        first = range(start * self.accumulation, len(cut), self.accumulation)
        for batches in self.visits(number, (cut[place : place + self.accumulation] for place in first)):
            yield [MicroBatch(batch) for batch in batches]

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

    def visits(self, epoch: int, steps: Iterable[Sequence[NDArray[np.int64]]]) -> Iterator[list[HostBatch]]:
        """Yield the groups of rows of each step with their labels, as an epoch has them.

        The rows of all groups of a step are augmented at once; steps may be taken earlier than they are yielded.
        """
        if self.augmentation is None:
            yield from ([self._batch(self.encoded, rows, rows) for rows in groups] for groups in steps)
            return
        own, others = tee(steps)
        visited = (np.unique(np.concatenate(groups)) for groups in others)
        for groups, (rows, encoded) in zip(own, self.augmented(epoch, visited, self.augmentation), strict=True):
            yield [self._batch(encoded, np.searchsorted(rows, few), few) for few in groups]

    def augmented(
        self, epoch: int, visited: Iterable[NDArray[np.int64]], augmentation: Augmentation
    ) -> Iterator[tuple[NDArray[np.int64], Encoded]]:
        """Yield some rows after the other as an epoch has them: a share is augmented."""
        pairs = self.rows.pairs
        jobs = (self._job(epoch, rows, augmentation.probability) for rows in visited)
        for job, made in augmentation.make(jobs):
            rows = np.asarray(job.rows)
            texts = kept_or_changed(job, made)
            yield rows, augmentation.encode(texts, None if pairs is None else texts_at(pairs, rows))

    def _job(self, epoch: int, rows: NDArray[np.int64], probability: float) -> Job:
        """Return some rows to be augmented, each from a random stream of its own."""
        seeds = [derive(self.seed, "augment", epoch, number) for number in self.rows.numbers[rows].tolist()]
        return Job(epoch, rows.tolist(), texts_at(self.rows.texts, rows), seeds, probability)

    def _batch(self, encoded: Encoded, places: NDArray[np.int64], rows: NDArray[np.int64]) -> HostBatch:
        return HostBatch(self.collator(encoded, places), self.rows.labels[rows], self.rows.numbers[rows])
