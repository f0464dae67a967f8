"""The rows that a data card looks at: as they are published, and as kexp divides them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from kexp.contracts import SPLITS, UNLABELLED
from kexp.data_card.finding import EXAMPLES, Example, Finding

if TYPE_CHECKING:
    import pandas as pd

    from kexp.data.rows import PreparedData
    from kexp.spec.sections import Spec

SEEN = ("train", UNLABELLED)
"""Splits that a model is trained on."""


@dataclass(frozen=True, slots=True)
class CardRows:
    """What the analyses of a card look at.

    ``read`` has the splits as the dataset gives them, before rows are dropped: train, and maybe validation, test and
    unlabelled. Columns are ``text`` and maybe ``text_pair`` (str, composed and trimmed as the spec says), ``key`` (str:
    by what cleaning compares rows), ``id`` (int: equal for equal keys, in all splits), ``decomposed`` (bool: whether a
    text was not composed), ``label`` (str, "" where there is none), ``split`` (the split that the row is read from),
    ``row`` (its number in its file, from 1), and maybe ``group`` (str, "" where there is none) and ``augmented``.

    ``divided`` has the same columns and the rows that kexp trains and measures on, after cleaning and division; labels
    of unlabelled rows are "". It is empty, ``prepared`` is None, and a remark says why, where the data cannot be
    trained on.
    """

    spec: Spec
    read: Mapping[str, pd.DataFrame]
    divided: Mapping[str, pd.DataFrame]
    prepared: PreparedData | None
    remarks: tuple[str, ...] = field(default=())

    @property
    def labelled(self) -> Mapping[str, pd.DataFrame]:
        """The splits as read, without the unlabelled one."""
        return {split: frame for split, frame in self.read.items() if split != UNLABELLED}

    @property
    def used(self) -> Mapping[str, pd.DataFrame]:
        """The splits as kexp divides them, or as read where the data cannot be trained on."""
        return self.divided or self.read

    def between(self) -> Iterator[tuple[str, pd.DataFrame, str, pd.DataFrame]]:
        """Yield every two splits that should share no row: the one that is measured on, then the other one.

        Two published splits are as published; where kexp divides one from the other, both are as kexp divides them.
        """
        for number, measured in enumerate(SPLITS[1:], 1):
            for other in (*SEEN, *SPLITS[1:number]):
                frames = self.read if self.published(measured, other) else self.divided
                if measured in frames and other in frames:
                    yield measured, frames[measured], other, frames[other]

    def published(self, *splits: str) -> bool:
        """Return whether the dataset brings these splits."""
        return all(split in self.read for split in splits)


def examples(rows: pd.DataFrame, notes: Iterable[str] = ()) -> tuple[Example, ...]:
    """Return the first rows of a table as examples, with a note for each if there are notes."""
    first = rows.head(EXAMPLES)
    columns = (first["split"], first["row"], shown_texts(first), first["label"])
    return tuple(
        Example(str(split), int(row), str(text), str(label), note)
        for split, row, text, label, note in zip(*columns, chain(notes, [""] * len(first)), strict=False)
    )


def shown_texts(rows: pd.DataFrame) -> pd.Series[str]:
    """Return the text of every row, or both of a pair."""
    return rows["text"] + " / " + rows["text_pair"] if "text_pair" in rows else rows["text"]


def counted(count: int, what: str = "row") -> str:
    """Return a number with what it counts, such as "1 row" or "2 rows"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def by_split(counts: Mapping[str, int]) -> str:
    """Return counts of splits in words, such as "train 12, test 3"."""
    return ", ".join(f"{split} {count:,}" for split, count in counts.items() if count)


def finding_of_splits(
    name: str,
    title: str,
    found: Mapping[str, pd.DataFrame],
    total: int,
    remedy: str,
    *,
    handled: bool = False,
    notes: Mapping[str, Iterable[str]] | None = None,
) -> Iterator[Finding]:
    """Yield a finding about rows of several splits, if there are any among ``total``; ``title`` says what they are."""
    counts = {split: len(frame) for split, frame in found.items()}
    if count := sum(counts.values()):
        shown = [one for split, frame in found.items() for one in examples(frame, (notes or {}).get(split, ()))]
        said = f"{counted(count)} {title} ({by_split(counts)})"
        yield Finding(name, said, count, total, tuple(shown[:EXAMPLES]), remedy, handled)


@dataclass(slots=True)
class SharedRows:
    """Counts rows of the splits that are measured on which other splits have too, each row once."""

    counts: dict[str, int] = field(default_factory=dict)
    hits: dict[str, set[int]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)

    def add(self, measured: str, frame: pd.DataFrame, other: str, shared: pd.DataFrame) -> None:
        """Add the rows of ``frame`` that are shared with another split."""
        self.counts[f"{measured} and {other}"], self.totals[measured] = len(shared), len(frame)
        self.hits.setdefault(measured, set()).update(shared["row"])

    @property
    def count(self) -> int:
        """Rows that at least one other split has."""
        return sum(map(len, self.hits.values()))

    @property
    def total(self) -> int:
        """Rows of the splits that are measured on."""
        return sum(self.totals.values())

    def __str__(self) -> str:
        return by_split(self.counts)
