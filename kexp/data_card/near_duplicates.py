"""Texts that differ little from another one: within a split, and between the splits that should share no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kexp.builtin.column_options import ColumnOptions
from kexp.contracts import SPLITS
from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.rows import CardRows, SharedRows, by_split, counted, examples, shown_texts
from kexp.data_card.similar_texts import Similar, plain, signatures, similar_between, similar_within

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

GROUP = 'give near duplicates one value in a column and name it, dataset.group = "COLUMN": a group stays in one split'
REMOVE = "leave one text of each pair in the files, whose kind of dataset has no column of groups that can be named"
SHOWN = 80
"""Characters of the other text that are shown."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Every different text by its id: plain, and the place of its signature (-1 for an empty one)."""

    plain: Sequence[str]
    places: NDArray[np.int64]
    signatures: NDArray[np.uint32]

    def of(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], NDArray[np.uint32]]:
        """Return the first row of every different text that is not empty, with the texts and their signatures."""
        first = frame.drop_duplicates("id")
        first = first[self.places[first["id"].to_numpy()] >= 0]
        ids = first["id"].to_numpy()
        return first, [self.plain[number] for number in ids.tolist()], self.signatures[self.places[ids]]


def near_duplicates(rows: CardRows) -> Iterator[Finding]:
    """Look for texts that are similar to another one, but not equal to it."""
    texts = _texts(rows.read)
    yield from _within(rows, texts)
    yield from _between(rows, texts)


def _texts(frames: Mapping[str, pd.DataFrame]) -> Texts:
    import pandas as pd

    distinct = pd.concat([frame[["id", "key"]] for frame in frames.values()]).drop_duplicates("id")
    found = [plain(key) for key in distinct.sort_values("id")["key"].tolist()]
    filled = np.fromiter(map(bool, found), bool, len(found))
    places = np.where(filled, np.cumsum(filled) - 1, -1)
    return Texts(found, places, signatures([text for text in found if text]))


def _within(rows: CardRows, texts: Texts) -> Iterator[Finding]:
    counts, total, contradicting, together, shown = dict[str, int](), 0, 0, 0, Shown()
    for split, frame in rows.read.items():
        first, own, signed = texts.of(frame)
        found = similar_within(own, signed)
        places = np.flatnonzero(found.places >= 0)
        counts[split], total = len(places), total + len(first)
        labels = first["label"].to_numpy()
        contradicting += int((labels[places] != labels[found.places[places]]).sum())
        if "group" in first:
            groups = first["group"].to_numpy()
            together += int(((groups[places] == groups[found.places[places]]) & (groups[places] != "")).sum())
        # A pair is found from both its texts, and shown once.
        back = found.places[found.places[places]] == places
        shown.add(first, places[~back | (found.places[places] < places)], first, found)
    if count := sum(counts.values()):
        other = f"; {contradicting:,} of them have another label than the text they resemble" if contradicting else ""
        if together:
            other += f"; {together:,} of them are in the group of that text"
        title = f"{count:,} of {total:,} different texts are similar to another one ({by_split(counts)}){other}"
        remedy, handled = _of_one_split(rows, all_together=together == count)
        yield Finding("near-duplicates", title, count, total, shown.examples(), remedy, handled)


def _of_one_split(rows: CardRows, *, all_together: bool) -> tuple[str, bool]:
    """Return what to do about near duplicates of one split, and whether the spec needs no change."""
    if rows.prepared is not None and all(rows.published(split) for split in rows.divided if split in SPLITS):
        return "no split is taken from another one, so they stay in theirs", True
    if all_together:
        return "split.group = true" + (" keeps each group in one split" if rows.spec.split.group else ""), (
            rows.spec.split.group
        )
    return _group(rows), False


def _group(rows: CardRows) -> str:
    """Return how near duplicates are kept in one split, with this kind of dataset."""
    return GROUP if isinstance(rows.spec.dataset, ColumnOptions) else REMOVE


def _between(rows: CardRows, texts: Texts) -> Iterator[Finding]:
    between, shown = SharedRows(), Shown()
    divided = False
    for measured, frame, other, others in rows.between():
        # Equal texts are another finding.
        first, own, signed = texts.of(frame[~frame["id"].isin(others["id"])])
        second, theirs, of_theirs = texts.of(others)
        found = similar_between(own, signed, theirs, of_theirs)
        places = np.flatnonzero(found.places >= 0)
        between.add(measured, frame, other, frame[frame["id"].isin(first["id"].iloc[places])])
        divided |= bool(len(places)) and not rows.published(measured, other)
        shown.add(first, places, second, found)
    if count := between.count:
        title = f"{counted(count)} similar to a row of another split ({between})"
        remedy = _group(rows) if divided else "remove these rows from one of the files, or measure on other rows"
        yield Finding("near-duplicates-between", title, count, between.total, shown.examples(), remedy)


class Shown:
    """The most similar rows of all splits, with what is said of each."""

    def __init__(self) -> None:
        self.found: list[tuple[float, Example]] = []

    def add(self, first: pd.DataFrame, places: NDArray[np.int64], others: pd.DataFrame, similar: Similar) -> None:
        """Add the most similar of the rows at ``places``, each with the row that it resembles."""
        best = places[np.argsort(-similar.similarities[places], kind="stable")][:EXAMPLES]
        likes = others.iloc[similar.places[best]]
        columns = (
            likes["split"],
            likes["row"],
            likes["label"],
            shown_texts(likes),
            similar.similarities[best].tolist(),
        )
        notes = [
            f"{value:.2f} like {split} row {row}, {label or 'no label'}: {text[:SHOWN]}"
            for split, row, label, text, value in zip(*columns, strict=True)
        ]
        self.found += zip(similar.similarities[best].tolist(), examples(first.iloc[best], notes), strict=True)

    def examples(self) -> tuple[Example, ...]:
        """Return the most similar ones."""
        return tuple(example for _, example in sorted(self.found, key=lambda pair: -pair[0])[:EXAMPLES])
