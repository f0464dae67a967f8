"""How pairs of standard and dialect forms become labelled rows; shared by the dialect datasets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from kexp.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

Scheme = Literal["two", "four", "region"]
SCHEME_DESCRIPTION = (
    "two: standard, dialect. four: standard, gyeongsang, jeju, jeolla; other regions are left out. "
    "region: dialect forms only, by region."
)

STANDARD = "standard"
DIALECT = "dialect"
# The first three in the order that derived corpora in circulation number them.
REGIONS = ("gyeongsang", "jeju", "jeolla", "chungcheong", "gangwon")
REGIONS_OF_FOUR = REGIONS[:3]


class Speaker(NamedTuple):
    """Who said an utterance, as a corpus writes it; "" where it does not say."""

    id: str = ""
    age: str = ""
    sex: str = ""
    birthplace: str = ""


NOBODY = Speaker()


class Pair(NamedTuple):
    """One utterance in both forms; ``group`` is its recording, ``region`` is "" where it is unknown."""

    standard: str
    dialect: str
    region: str
    group: str
    speaker: Speaker = NOBODY


def labels_of(scheme: Scheme) -> tuple[str, ...]:
    """Return the labels of a scheme in the order of their ids."""
    if scheme == "two":
        return (STANDARD, DIALECT)
    return (STANDARD, *REGIONS_OF_FOUR) if scheme == "four" else REGIONS


def regions_of(scheme: Scheme) -> tuple[str, ...]:
    """Return the regions whose pairs a scheme uses."""
    return REGIONS_OF_FOUR if scheme == "four" else REGIONS


def dialect_label(scheme: Scheme, region: str) -> str:
    """Return the label of a dialect form of ``region``."""
    return DIALECT if scheme == "two" else region


class Rows:
    """Labelled rows as they are collected, column by column."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.text: list[str] = []
        self.label: list[str] = []
        self.group: list[str] = []
        self.speaker: list[Speaker] = []

    def __len__(self) -> int:
        return len(self.text)

    def add(self, text: str, label: str, group: str, speaker: Speaker = NOBODY) -> None:
        """Add one row."""
        self.text.append(text)
        self.label.append(label)
        self.group.append(group)
        self.speaker.append(speaker)

    def add_standard(self, pair: Pair) -> None:
        """Add the standard form of a pair, unless the scheme has no label for it."""
        if self.scheme != "region":
            self.add(pair.standard, STANDARD, pair.group, pair.speaker)

    def add_dialect(self, pair: Pair) -> None:
        """Add the dialect form of a pair."""
        self.add(pair.dialect, dialect_label(self.scheme, pair.region), pair.group, pair.speaker)

    def dataset(self, source: Path | str) -> Dataset:
        """Return columns text, label (``ClassLabel``) and group; raises ``DataError`` if the rows lack a class.

        Where speakers are known, so are the columns speaker, age, sex and birthplace. Scheme "region" has the regions
        that occur, of which it needs two.
        """
        from kexp.files import to_dataset

        counts = Counter(self.label)
        labels = [label for label in labels_of(self.scheme) if counts[label]]
        if self.scheme == "region" and len(labels) < 2:
            raise DataError(
                f'{source}: scheme "region" separates regions, but all rows are of {", ".join(labels) or "none"}; '
                'add the corpus of another region, or use scheme = "two"'
            )
        missing = [label for label in labels_of(self.scheme) if not counts[label]]
        if self.scheme != "region" and missing:
            remedy = 'add the corpora of these regions, or use scheme = "two"' if self.scheme == "four" else "add some"
            raise DataError(f'{source}: scheme "{self.scheme}" has no row labelled {", ".join(missing)}; {remedy}')
        columns = {"text": self.text, "label": self.label, "group": self.group}
        if any(map(any, self.speaker)):
            names = ("speaker", "age", "sex", "birthplace")
            columns |= {name: list(values) for name, values in zip(names, zip(*self.speaker, strict=True), strict=True)}
        return to_dataset(columns, source, {label: label for label in labels})
