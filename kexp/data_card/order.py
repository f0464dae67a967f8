"""The order of the train rows: sorted by label, or with long runs of one label."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from kexp.data_card.finding import EXAMPLES, Finding
from kexp.data_card.rows import CardRows, counted, examples
from kexp.experiment.data_warnings import FEW_CHANGES, label_changes

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANCE = 0.001
"""Probability below which a run of one label in a random order is too long to be chance."""


def order(rows: CardRows) -> Iterator[Finding]:
    """Look at the labels of train from row to row, as they are published."""
    train = rows.read["train"]
    labels = np.unique(train["label"].to_numpy(str), return_inverse=True)[1]
    if not len(labels):
        return
    changes, expected = label_changes(labels)
    starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
    lengths = np.diff([*starts, len(labels)])
    long = lengths > _longest_by_chance(labels)[labels[starts]]
    if changes >= FEW_CHANGES * expected and not long.any():
        return
    kept = rows.spec.sampler.keeps_order
    remedy = 'sampler = "random"' if kept else "the sampler of the spec visits them in an order of its own"
    longest = [place for place in np.argsort(-lengths, kind="stable")[:EXAMPLES] if long[place]]
    notes = [f"{lengths[place]:,} rows from here on have this label" for place in longest]
    shown = examples(train.iloc[starts[longest]], notes)
    if changes < FEW_CHANGES * expected:
        often = f"{counted(changes, 'time')} in {len(labels):,} rows, about {expected:,.0f} in a random order"
        yield Finding(
            "sorted-by-label",
            f"train is sorted by label: the label changes {often}",
            len(labels),
            len(labels),
            shown,
            remedy,
            not kept,
        )
    else:
        count = int(lengths[long].sum())
        runs = counted(int(long.sum()), "run")
        title = f"{counted(count, 'train row')} in {runs} of one label, too long to be chance"
        yield Finding("runs-of-one-label", title, count, len(labels), shown, remedy, not kept)


def _longest_by_chance(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each label the length that its runs exceed in a random order with a probability of at most CHANCE.

    Of n rows with a share p, about n (1 - p) p**r runs are of r rows or more.
    """
    count = len(labels)
    shares = np.bincount(labels) / count
    longest = [
        math.log(max(count * (1 - share), 1) / CHANCE) / -math.log(share) if 0 < share < 1 else math.inf
        for share in shares
    ]
    return np.asarray(longest)
