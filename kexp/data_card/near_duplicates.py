"""Texts that differ little from another one: within a split, and between the splits that should share no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.rows import CardRows, by_split, counted, examples, shown_texts
from kexp.data_card.similar_texts import Similar, plain, signatures, similar_between, similar_within

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

GROUP = 'give near duplicates one value in a column and name it, dataset.group = "COLUMN": a group stays in one split'
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
    counts, total, contradicting, shown = dict[str, int](), 0, 0, Shown()
    for split, frame in rows.read.items():
        first, own, signed = texts.of(frame)
        found = similar_within(own, signed)
        places = np.flatnonzero(found.places >= 0)
        counts[split], total = len(places), total + len(first)
        labels = first["label"].to_numpy()
        contradicting += int((labels[places] != labels[found.places[places]]).sum())
        # A pair is found from both its texts, and shown once.
        back = found.places[found.places[places]] == places
        shown.add(first, places[~back | (found.places[places] < places)], first, found)
    if count := sum(counts.values()):
        other = f"; {contradicting:,} of them have another label than the text they resemble" if contradicting else ""
        title = f"{count:,} of {total:,} different texts are similar to another one ({by_split(counts)}){other}"
        yield Finding("near-duplicates", title, count, total, shown.examples(), GROUP)


def _between(rows: CardRows, texts: Texts) -> Iterator[Finding]:
    counts, hits, total, shown = dict[str, int](), dict[str, set[int]](), dict[str, int](), Shown()
    divided = False
    for measured, frame, other, others in rows.between():
        # Equal texts are another finding.
        first, own, signed = texts.of(frame[~frame["id"].isin(others["id"])])
        second, theirs, of_theirs = texts.of(others)
        found = similar_between(own, signed, theirs, of_theirs)
        places = np.flatnonzero(found.places >= 0)
        similar = frame.loc[frame["id"].isin(first["id"].iloc[places]), "row"]
        counts[f"{measured} and {other}"], total[measured] = len(similar), len(frame)
        hits.setdefault(measured, set()).update(similar)
        divided |= bool(len(places)) and not rows.published(measured, other)
        shown.add(first, places, second, found)
    if count := sum(map(len, hits.values())):
        title = f"{counted(count)} similar to a row of another split ({by_split(counts)})"
        remedy = GROUP if divided else "remove these rows from one of the files, or measure on other rows"
        yield Finding("near-duplicates-between", title, count, sum(total.values()), shown.examples(), remedy)


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
