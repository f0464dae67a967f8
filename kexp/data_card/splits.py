"""How many rows each split and each label has, as read and as kexp divides them; classes of unequal size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kexp.contracts import SPLITS, UNLABELLED
from kexp.data_card.finding import Finding
from kexp.data_card.rows import CardRows, examples

IMBALANCE = 5
"""How many times the rows of the smallest class the largest must have, to be a finding."""


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of one split: by label as they are read and as they are trained or measured on.

    Unlabelled rows have the label "". ``trained`` is empty where the data cannot be trained on. ``dropped`` counts what
    each step of kexp leaves out, or moves to another split.
    """

    split: str
    read: Mapping[str, int]
    trained: Mapping[str, int]
    dropped: Mapping[str, int]


def split_rows(rows: CardRows) -> tuple[SplitRows, ...]:
    """Count the rows of every split by label."""
    record = {} if rows.prepared is None else rows.prepared.record["splits"]
    found = []
    for split in (*SPLITS, UNLABELLED):
        read, trained = (
            frames[split]["label"].value_counts().sort_index().to_dict() if split in frames else {}
            for frames in (rows.read, rows.divided)
        )
        if read or trained:
            counts = record.get(split, {}).items()
            dropped = {name: count for name, count in counts if count and name not in ("read", "kept")}
            found.append(SplitRows(split, read, trained, dropped))
    return tuple(found)


def imbalance(rows: CardRows) -> Iterator[Finding]:
    """Look for a class of train that is far smaller than the largest."""
    train = rows.used["train"]
    counts = train["label"].value_counts()
    if len(counts) < 2 or counts.iloc[0] < IMBALANCE * counts.iloc[-1]:
        return
    largest, smallest = counts.index[0], counts.index[-1]
    title = (
        f'label "{largest}" has {counts.iloc[0]:,} train rows, {counts.iloc[0] / counts.iloc[-1]:.0f} times as many as '
        f'"{smallest}" with {counts.iloc[-1]:,}'
    )
    cleaning = rows.spec.cleaning
    remedy = 'sampler = "balanced", cleaning.balance = true, or objective = {use = "focal", alpha = "balanced"}'
    handled = cleaning.balance
    shown = examples(train[train["label"] == smallest])
    yield Finding("imbalance", title, int(counts.iloc[-1]), len(train), shown, remedy, handled)
