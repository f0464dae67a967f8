"""The two streams of semi-supervised training: each step has labelled rows, and two views of unlabelled ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Augmenter, Rejected
from kexp.data.batching import batches
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Encode, LabelledStream
from kexp.data.rows import Rows
from kexp.host_batches import HostUnlabelledBatch, MicroBatch
from kexp.seeds import generator, python_random

AugmentUnlabelled = Callable[[int, NDArray[np.int64]], Encoded]
"""From an epoch and numbers of unlabelled rows to the encoded augmented views of these rows."""


@dataclass(frozen=True, slots=True)
class SemiSupervisedStream:
    """A labelled stream beside unlabelled rows. Both are visited again and again, each in passes of its own.

    An epoch is a pass over the labelled rows, or over the unlabelled ones with ``unlabelled_epochs``. In an epoch,
    labelled and unlabelled batches of similar length meet, so that a fused forward pass has little padding; without
    bucketing, both are cut from their orders as they stand.
    """

    labelled: LabelledStream
    unlabelled: Rows
    encoded: Encoded
    augment: AugmentUnlabelled | None
    batch_size: int
    unlabelled_epochs: bool

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch."""
        if not self.unlabelled_epochs:
            return self.labelled.steps_per_epoch()
        return -(-len(self.unlabelled) // (self.batch_size * self.labelled.accumulation))

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batches of each optimiser step of epoch ``number``, from step ``start`` on."""
        labelled, accumulation = self.labelled, self.labelled.accumulation
        count = self.steps_per_epoch() * accumulation
        rows = cycle(labelled.order, number * count * labelled.batch_size, count * labelled.batch_size)
        unlabelled = cycle(self._unlabelled_order, number * count * self.batch_size, count * self.batch_size)
        pairs = self._matched(number, rows, labelled.encoded.tokens.lengths, unlabelled)
        for first in range(start * accumulation, count, accumulation):
            few, many = zip(*pairs[first : first + accumulation], strict=True)
            yield [
                MicroBatch(*parts) for parts in zip(labelled.visit(number, few), self._pairs(number, many), strict=True)
            ]

    def _unlabelled_order(self, turn: int) -> NDArray[np.int64]:
        return generator(self.labelled.seed, "pool order", turn).permutation(len(self.unlabelled))

    def _matched(
        self, epoch: int, rows: NDArray[np.int64], lengths: NDArray[np.int64], unlabelled: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Cut both streams into batches and let the longest meet the longest, in an order shuffled afterwards."""
        unlabelled_lengths, bucketing = self.encoded.tokens.lengths, self.labelled.buckets
        few = batches(rows, lengths, self.labelled.batch_size, bucketing=bucketing, generator=None)
        many = batches(unlabelled, unlabelled_lengths, self.batch_size, bucketing=bucketing, generator=None)
        if not bucketing:
            return list(zip(few, many, strict=True))
        few.sort(key=lambda batch: int(lengths[batch].max()))
        many.sort(key=lambda batch: int(unlabelled_lengths[batch].max()))
        shuffled = generator(self.labelled.seed, "batches", epoch).permutation(len(few))
        return [(few[number], many[number]) for number in shuffled]

    def _pairs(self, epoch: int, groups: Sequence[NDArray[np.int64]]) -> list[HostUnlabelledBatch]:
        """Return groups of rows with their views of an epoch; those of all groups are augmented at once."""
        collator, visited = self.labelled.collator, np.unique(np.concatenate(groups))
        augmented = self.augment(epoch, visited) if self.augment else None
        made = []
        for rows in groups:
            original = collator(self.encoded, rows)
            views = original.part(0, 0) if augmented is None else collator(augmented, np.searchsorted(visited, rows))
            made.append(HostUnlabelledBatch(original, views, rows, self.unlabelled.numbers[rows]))
        return made


def cycle(order: Callable[[int], NDArray[np.int64]], start: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` rows from place ``start`` of the endless ``order(0), order(1) ...``, which are equally long."""
    length = len(order(0))
    first, last = start // length, (start + count - 1) // length
    passes = np.concatenate([order(turn) for turn in range(first, last + 1)])
    return passes[start - first * length :][:count]


# --- where augmented views come from --------------------------------------------------------------------------------


def new_views(unlabelled: Rows, augmenter: Augmenter, encode: Encode, seed: int) -> AugmentUnlabelled:
    """Augment rows whenever they are visited; a rejected text stands as it was."""

    def augment(epoch: int, rows: NDArray[np.int64]) -> Encoded:
        texts = [unlabelled.texts[row] for row in rows]
        made = augmenter(texts, streams(unlabelled, rows, seed, epoch))
        views = [text if isinstance(new, Rejected) else new for text, new in zip(texts, made, strict=True)]
        return encode(views, None if unlabelled.pairs is None else [unlabelled.pairs[row] for row in rows])

    return augment


def stored_views(views: Sequence[Encoded]) -> AugmentUnlabelled:
    """Take views that were made beforehand: one after the other, epoch after epoch."""
    return lambda epoch, rows: views[epoch % len(views)].take(rows)


def streams(unlabelled: Rows, rows: NDArray[np.int64], seed: int, epoch: int) -> list[Random]:
    """Return the random stream of each row in an epoch, or for a stored view."""
    return [python_random(seed, "augment pool", epoch, int(unlabelled.numbers[row])) for row in rows]
