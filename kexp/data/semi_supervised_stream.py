"""The two streams of semi-supervised training: each step has labelled rows, and two views of unlabelled ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat, tee
from random import Random

import numpy as np
from numpy.typing import NDArray

from kexp.data.augment_jobs import Job, Make, kept_or_changed
from kexp.data.batching import RowsPerBatch, batches, shuffled
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Encode, LabelledStream
from kexp.data.rows import Rows
from kexp.data.texts import texts_at
from kexp.host_batches import HostUnlabelledBatch, MicroBatch
from kexp.seeds import derive, generator

AugmentUnlabelled = Callable[[int, Iterable[NDArray[np.int64]]], Iterator[Encoded]]
"""From an epoch and the unlabelled rows of its steps to the encoded augmented views of those of each step."""


Pair = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The labelled and the unlabelled rows of a batch."""


@dataclass(frozen=True, slots=True)
class SemiSupervisedStream:
    """A labelled stream beside unlabelled rows. Both are visited again and again, each in passes of its own.

    A batch has ``ratio`` times as many unlabelled rows as labelled ones. An epoch is a pass over the labelled rows, or
    over the unlabelled ones with ``unlabelled_epochs``. In an epoch, labelled and unlabelled batches of similar length
    meet, so that a fused forward pass has little padding; without bucketing, both are cut from their orders as they
    stand.
    """

    labelled: LabelledStream
    unlabelled: Rows
    encoded: Encoded
    augment: AugmentUnlabelled | None
    ratio: int
    unlabelled_epochs: bool

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch."""
        count = self.batches_per_pass() if self.unlabelled_epochs else self.labelled.batches_per_epoch()
        return -(-count // self.labelled.accumulation)

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batches of each optimiser step of epoch ``number``, from step ``start`` on."""
        accumulation = self.labelled.accumulation
        count = self.steps_per_epoch() * accumulation
        pairs = self.pairs(number, number * count, count)[start * accumulation :]
        steps = [pairs[first : first + accumulation] for first in range(0, len(pairs), accumulation)]
        labelled = self.labelled.visits(number, ([few for few, _ in step] for step in steps))
        unlabelled = self._pairs(number, [[many for _, many in step] for step in steps])
        for step in zip(labelled, unlabelled, strict=True):
            yield [MicroBatch(*parts) for parts in zip(*step, strict=True)]

    # --- where batches are of a number of rows ---------------------------------------------------------------------

    def batches_per_pass(self) -> int:
        """Return how many batches go through all unlabelled rows."""
        return -(-len(self.unlabelled) // (self.ratio * self._rows))

    def rows_before(self, batch: int) -> int:
        """Return how many labelled rows the batches before this one have, counted from the start of training."""
        return batch * self._rows

    def pairs(self, epoch: int, first: int, count: int) -> list[Pair]:
        """Return the rows of ``count`` batches from the ``first`` of training on, which are those of an epoch.

        The longest batches meet, in an order that is shuffled afterwards.
        """
        lengths, unlabelled_lengths = self.labelled.encoded.tokens.lengths, self.encoded.tokens.lengths
        rows = cycle(self.labelled.order, first * self._rows, count * self._rows)
        unlabelled = self._visited(first * self._rows, count * self._rows)
        bucketing = self.labelled.buckets
        few = batches(rows, lengths, self._rows, bucketing=bucketing, generator=None)
        many = batches(unlabelled, unlabelled_lengths, self.ratio * self._rows, bucketing=bucketing, generator=None)
        pairs = zip(few, many, strict=True)
        if bucketing:
            pairs = zip(by_longest(few, lengths), by_longest(many, unlabelled_lengths), strict=True)
        return self._shuffled(epoch, list(pairs))

    @property
    def _rows(self) -> int:
        assert isinstance(self.labelled.batch_size, RowsPerBatch)
        return self.labelled.batch_size.rows

    # --- what is the same for all batches --------------------------------------------------------------------------

    def _visited(self, before: int, count: int) -> NDArray[np.int64]:
        """Return the unlabelled rows that belong to ``count`` labelled rows, ``before`` of which others are."""
        return cycle(self._unlabelled_order, self.ratio * before, self.ratio * count)

    def _unlabelled_order(self, turn: int) -> NDArray[np.int64]:
        return generator(self.labelled.seed, "pool order", turn).permutation(len(self.unlabelled))

    def _shuffled(self, epoch: int, pairs: list[Pair]) -> list[Pair]:
        return shuffled(pairs, generator(self.labelled.seed, "batches", epoch) if self.labelled.buckets else None)

    def _pairs(self, epoch: int, steps: Sequence[Sequence[NDArray[np.int64]]]) -> Iterator[list[HostUnlabelledBatch]]:
        """Yield groups of rows with their views of an epoch; those of all groups of a step are augmented at once."""
        own, others = tee(np.unique(np.concatenate(groups)) for groups in steps)
        made = self.augment(epoch, others) if self.augment else repeat(None, len(steps))
        for groups, visited, augmented in zip(steps, own, made, strict=True):
            yield [self._pair(rows, augmented, np.searchsorted(visited, rows)) for rows in groups]

    def _pair(
        self, rows: NDArray[np.int64], augmented: Encoded | None, places: NDArray[np.int64]
    ) -> HostUnlabelledBatch:
        """Return some rows with their views, which stand at ``places`` of the augmented ones."""
        collator = self.labelled.collator
        original = collator(self.encoded, rows)
        views = original.part(0, 0) if augmented is None else collator(augmented, places)
        return HostUnlabelledBatch(original, views, rows, self.unlabelled.numbers[rows])


class SemiSupervisedTokenStream(SemiSupervisedStream):
    """The same where labelled batches have a number of tokens, and so different numbers of rows.

    The batches of a pass over the labelled rows are those of an epoch of supervised training.
    """

    __slots__ = ()

    def batches_per_pass(self) -> int:
        """Return how many batches go through all unlabelled rows, taken from their mean number of rows."""
        rows = self.ratio * self.labelled.rows_per_epoch()
        return -(-len(self.unlabelled) * self.labelled.batches_per_epoch() // rows)

    def rows_before(self, batch: int) -> int:
        """Return how many labelled rows the batches before this one have, counted from the start of training."""
        turn, rest = divmod(batch, self.labelled.batches_per_epoch())
        return turn * self.labelled.rows_per_epoch() + sum(map(len, self.labelled.batches(turn)[:rest]))

    def pairs(self, epoch: int, first: int, count: int) -> list[Pair]:
        """Return the rows of ``count`` batches from the ``first`` of training on, which are those of an epoch.

        The longest batches get the longest unlabelled rows, in an order that is shuffled afterwards.
        """
        lengths, each = self.labelled.encoded.tokens.lengths, self.labelled.batches_per_epoch()
        turns = range(first // each, (first + count - 1) // each + 1)
        few = [batch for turn in turns for batch in self.labelled.batches(turn)][first % each :][:count]
        unlabelled = self._visited(self.rows_before(first), sum(map(len, few)))
        if self.labelled.buckets:
            few = by_longest(few, lengths)
            unlabelled = unlabelled[np.argsort(self.encoded.tokens.lengths[unlabelled], kind="stable")]
        many = np.split(unlabelled, self.ratio * np.cumsum([len(batch) for batch in few])[:-1])
        return self._shuffled(epoch, list(zip(few, many, strict=True)))


def cycle(order: Callable[[int], NDArray[np.int64]], start: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` rows from place ``start`` of the endless ``order(0), order(1) ...``, which are equally long."""
    length = len(order(0))
    first, last = start // length, (start + count - 1) // length
    passes = np.concatenate([order(turn) for turn in range(first, last + 1)])
    return passes[start - first * length :][:count]


def by_longest(cut: Sequence[NDArray[np.int64]], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return batches by the length of their longest row, the shortest first."""
    return sorted(cut, key=lambda batch: int(lengths[batch].max()))


# --- where augmented views come from --------------------------------------------------------------------------------


def new_views(unlabelled: Rows, make: Make, encode: Encode, seed: int) -> AugmentUnlabelled:
    """Augment rows whenever they are visited; a rejected text stands as it was."""

    def augment(epoch: int, visited: Iterable[NDArray[np.int64]]) -> Iterator[Encoded]:
        jobs = (
            Job(epoch, rows.tolist(), texts_at(unlabelled.texts, rows), pool_seeds(unlabelled, rows, seed, epoch))
            for rows in visited
        )
        for job, made in make(jobs):
            pairs = None if unlabelled.pairs is None else texts_at(unlabelled.pairs, np.asarray(job.rows))
            yield encode(kept_or_changed(job, made), pairs)

    return augment


def stored_views(views: Sequence[Encoded]) -> AugmentUnlabelled:
    """Take views that were made beforehand: one after the other, epoch after epoch."""
    return lambda epoch, visited: (views[epoch % len(views)].take(rows) for rows in visited)


def pool_seeds(unlabelled: Rows, rows: NDArray[np.int64], seed: int, epoch: int) -> list[int]:
    """Return the seed of the random stream of each row in an epoch, or for a stored view."""
    return [derive(seed, "augment pool", epoch, number) for number in unlabelled.numbers[rows].tolist()]


def streams(unlabelled: Rows, rows: NDArray[np.int64], seed: int, epoch: int) -> list[Random]:
    """Return the random stream of each row in an epoch, or for a stored view."""
    return [Random(number) for number in pool_seeds(unlabelled, rows, seed, epoch)]
