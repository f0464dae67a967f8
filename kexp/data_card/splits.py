"""How many rows each split and each label has, as read and as kexp divides them; classes of unequal size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.builtin.samplers import BalancedSampler
from kexp.contracts import SPLITS, UNLABELLED
from kexp.data_card.finding import Finding
from kexp.data_card.labels import counted_labels
from kexp.data_card.rows import CardRows, examples

if TYPE_CHECKING:
    from kexp.spec.sections import Spec

IMBALANCE = 5
"""How many times the rows of the smallest class the largest must have, to be a finding."""


@dataclass(frozen=True, slots=True)
class SplitRows:
    """The rows of one split: by label as they are read and as they are trained or measured on.

    Unlabelled rows have the label "". ``trained`` is empty where the data cannot be trained on. ``dropped`` counts what
    each step of kexp leaves out, or moves to another split. ``rows`` are those read and used where a row may have
    several labels, so that they are not the sums of those by label.
    """

    split: str
    read: Mapping[str, int]
    trained: Mapping[str, int]
    dropped: Mapping[str, int]
    rows: tuple[int, int] | None = None

    @property
    def all_read(self) -> int:
        """The rows as they are read."""
        return sum(self.read.values()) if self.rows is None else self.rows[0]

    @property
    def all_used(self) -> int:
        """The rows as they are trained or measured on."""
        return sum(self.trained.values()) if self.rows is None else self.rows[1]


def split_rows(rows: CardRows) -> tuple[SplitRows, ...]:
    """Count the rows of every split by label."""
    record = {} if rows.prepared is None else rows.prepared.record["splits"]
    found, counts_read, counts_used = [], *(counted_labels(rows, frames) for frames in (rows.read, rows.divided))
    for split in (*SPLITS, UNLABELLED):
        read, trained = counts_read.get(split, {}), counts_used.get(split, {})
        if read or trained:
            counts = record.get(split, {}).items()
            dropped = {name: count for name, count in counts if count and name not in ("read", "kept")}
            totals = len(rows.read.get(split, ())), len(rows.divided.get(split, ()))
            found.append(SplitRows(split, read, trained, dropped, totals if rows.spec.task.several else None))
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
    remedy = 'sampler = "balanced", cleaning.balance = true, or objective = {use = "focal", alpha = "balanced"}'
    chosen = _balance(rows.spec)
    shown = examples(train[train["label"] == smallest])
    said = f"the spec has {chosen}" if chosen else remedy
    yield Finding("imbalance", title, int(counts.iloc[-1]), len(train), shown, said, handled=bool(chosen))


def _balance(spec: Spec) -> str:
    """Return the option by which a spec makes rare labels weigh more than their rows do; "" without one."""
    if isinstance(spec.sampler, BalancedSampler):
        return 'sampler = "balanced"'
    for name in ("alpha", "class_weights"):
        weights = getattr(spec.objective, name, "none")
        # R-Drop has an alpha, a number, that concerns no class.
        if weights != "none" and not isinstance(weights, float):
            return f"objective.{name}"
    return ""
