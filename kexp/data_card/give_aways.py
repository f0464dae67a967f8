"""Labels that one simple trait of a text gives away: a marker, punctuation, its length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kexp.data.cleaning import without_text
from kexp.data_card.finding import Finding
from kexp.data_card.folds import sample
from kexp.data_card.rows import CardRows, examples
from kexp.data_card.traits import Length, Trait, completed, lengths, shortened, traits
from kexp.evaluate.baselines import PAIR_SEPARATOR
from kexp.seeds import derive

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from scipy.sparse import csc_array, csr_array

NAME = "give-away"

SAMPLE = 20_000
"""Train rows in which traits are looked for; those that are found are counted in all rows."""

TEXT = 2_000_000
"""Characters of these rows, at most."""

FEWEST = 10
"""Rows that a trait needs at least."""

PRECISION = 0.9
"""Share of the rows with a trait that have its label, from which the trait gives the label away.

Not 1, since labels are wrong here and there.
"""

LIFT = 0.8
"""Share of the other labels that the trait must rule out: 0.9 says nothing about a label of 0.9 of all rows."""

MARKER, WORD = 0.05, 0.5
"""Share of the rows of a label that a trait must be in: a marker, and a word, a punctuation mark or a length.

Words that a label is about are no fault, but none of them is in half of its texts; no text needs a "[광고]".
"""

ERRORS = 0.5
"""Share of the errors of the most frequent label that a trait saves, from which it gives labels away without PRECISION.
"""

CHANCE = 0.01
"""Probability of a finding by chance, over all traits that were looked at (Bonferroni)."""

OVERLAP = 0.8
"""Share of the rows of the rarer of two traits that both have, from which they are one."""

SHOWN = 5

AT_ONCE = 4096
"""Traits that are counted by label at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Rows that meet conditions, by label (conditions, labels) and in all (conditions,), and all rows alike."""

    by_label: NDArray[np.int64]
    rows: NDArray[np.int64]
    totals: NDArray[np.int64]
    everything: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trait or a length, the id of the label that it gives away, and the share of errors that it saves.

    ``column`` is its place among the traits, or among the lengths.
    """

    trait: Trait | Length
    column: int
    label: int
    saved: float


def give_aways(rows: CardRows) -> Iterator[Finding]:
    """Yield a finding for every trait of train texts that alone gives away their label, ``SHOWN`` at most.

    Looked at are the length, what a text contains, begins and ends with, and every eojeol and one to three characters
    in a row, in ``SAMPLE`` rows. A trait is found if ``PRECISION`` of its rows have one label, and it stands in
    ``MARKER`` or ``WORD`` of the rows of that label; or if, by itself, it saves ``ERRORS`` of the errors that the most
    frequent label makes. Rows of one text and label count once; labels of fewer than ``FEWEST`` texts are
    not looked at.
    """
    frame = rows.read["train"]
    frame = frame[(frame["label"] != "") & ~without_text(frame)].drop_duplicates(["id", "label"])
    counts = frame["label"].value_counts()
    names = sorted(counts.index[counts >= FEWEST])
    few = sample(frame, SAMPLE, TEXT, derive(rows.spec.split.seed, "rows of give-aways") % 2**32)
    found = find(_texts(few), _ids(few, names), len(names)) if len(names) > 1 else []
    if found:
        texts, labels = _texts(frame), _ids(frame, names)
        for candidate in found:
            trait = candidate.trait
            has = trait.of(texts if isinstance(trait, Length) else shortened(texts))
            yield _finding(candidate, frame, has, labels, names)


def _texts(frame: pd.DataFrame) -> list[str]:
    texts = frame["text"] + PAIR_SEPARATOR + frame["text_pair"] if "text_pair" in frame else frame["text"]
    return list(texts)


def _ids(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of every row's label, -1 for one that is not among the names."""
    numbers = frame["label"].map({name: number for number, name in enumerate(names)})
    ids: NDArray[np.int64] = numbers.fillna(-1).to_numpy("int64")
    return ids


def _finding(
    candidate: Candidate, frame: pd.DataFrame, has: NDArray[np.bool_], labels: NDArray[np.int64], names: Sequence[str]
) -> Finding:
    """Return the finding of a trait, with its counts in all rows."""
    trait, of_label, count = candidate.trait, labels == candidate.label, int(has.sum())
    right = int((has & of_label).sum())
    if isinstance(trait, Length):
        remedy = (
            "a model can learn the length instead of the text: take texts of like length for every label, or bound it "
            "with cleaning.min_characters and cleaning.max_characters"
        )
    else:
        remedy = (
            f"a model can learn this instead of the text: take {trait} out of the texts in the file, or these rows out "
            "of the data, unless the texts to predict will have it too"
        )
    return Finding(
        NAME,
        f"{count:,} of {len(frame):,} train texts have {trait}, {right / max(count, 1):.0%} of them with the label "
        f'"{names[candidate.label]}", which {of_label.mean():.0%} of all texts have; {right / of_label.sum():.0%} of '
        "the texts of that label have it",
        count,
        len(frame),
        examples(frame[has]),
        remedy,
    )


def find(texts: Sequence[str], labels: NDArray[np.int64], n_labels: int) -> list[Candidate]:
    """Return up to ``SHOWN`` traits and lengths that give a label away, the one that says most first.

    ``labels`` are ids below ``n_labels``; rows with -1 have a label that is not looked at.
    """
    import numpy as np

    ends, of_length = shortened(texts), lengths(texts)
    by_label = _one_hot(labels, n_labels)
    totals, (present, known) = by_label.sum(0), _trait_table(ends)
    bounds = [
        Length(unit, at_most, int(bound))
        for unit, values in of_length.items()
        for bound in np.unique(np.quantile(values, np.linspace(0.02, 0.98, 49), method="inverted_cdf"))
        for at_most in (True, False)
    ]
    within = np.array([bound.among(of_length) for bound in bounds])
    looked_at, found = len(known) + len(bounds), list[Candidate]()
    for start in range(0, len(known), AT_ONCE):
        part, traits_of = present[:, start : start + AT_ONCE], known[start : start + AT_ONCE]
        coverage = np.array([MARKER if trait.is_marker else WORD for trait in traits_of])
        counts = Counts((part.T @ by_label).toarray(), np.asarray(part.sum(0)).ravel(), totals, len(texts))
        found += [
            Candidate(traits_of[number], start + number, label, saved)
            for number, label, saved in _telling(counts, coverage, looked_at)
        ]
    counts = Counts((by_label.T @ within.T.astype(np.int64)).T, within.sum(1), totals, len(texts))
    found += [
        Candidate(bounds[number], number, label, saved)
        for number, label, saved in _telling(counts, np.full(len(bounds), WORD), looked_at)
    ]

    def has(candidate: Candidate) -> NDArray[np.bool_]:
        if isinstance(candidate.trait, Length):
            return np.asarray(within[candidate.column])
        column: NDArray[np.bool_] = present[:, [candidate.column]].toarray()[:, 0] > 0
        return column

    return [
        candidate
        if isinstance(candidate.trait, Length)
        else replace(candidate, trait=completed(candidate.trait, [ends[row] for row in np.flatnonzero(rows)]))
        for candidate, rows in _distinct(sorted(found, key=_rank), has)
    ]


def _one_hot(labels: NDArray[np.int64], n_labels: int) -> csr_array:
    """Return which row has which label, of shape (rows, labels)."""
    import numpy as np
    from scipy.sparse import csr_array

    rows = np.flatnonzero(labels >= 0)
    return csr_array((np.ones(len(rows), np.int64), (rows, labels[rows])), shape=(len(labels), n_labels))


def _rank(candidate: Candidate) -> tuple[float, int, int]:
    """Order by what a trait says; of those that say the same the whole eojeol, then the longest characters."""
    kinds = ("eojeol", "characters", "first eojeol", "last eojeol", "property")
    trait = candidate.trait
    kind, length = (len(kinds), 0) if isinstance(trait, Length) else (kinds.index(trait.kind), -len(trait.value))
    return -round(candidate.saved, 2), kind, length


def _trait_table(texts: Sequence[str]) -> tuple[csc_array, list[Trait]]:
    """Return which text (row) has which trait (column), of those that ``FEWEST`` texts have."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    vectoriser = CountVectorizer(analyzer=traits, binary=True, dtype=np.int64)
    table = vectoriser.fit_transform(texts).tocsc()
    often = np.flatnonzero(np.diff(table.indptr) >= FEWEST)
    names = {number: name for name, number in vectoriser.vocabulary_.items()}
    return table[:, often], [Trait(*names[number]) for number in often.tolist()]


def _telling(counts: Counts, coverage: NDArray[np.float64], looked_at: int) -> Iterator[tuple[int, int, float]]:
    """Yield the conditions that give a label away: number, label id, share of the errors that they save.

    ``coverage`` is the share of the label's rows that each condition must be in.
    """
    import numpy as np
    from scipy.stats import binom

    if not len(counts.rows):
        return
    rows, totals, shares = counts.rows, counts.totals, counts.totals / counts.everything
    # What a condition says most about, not what is most frequent anyway.
    label = (counts.by_label / np.maximum(totals, 1)).argmax(1)
    of = counts.by_label[np.arange(len(rows)), label]
    precision, covered = of / np.maximum(rows, 1), of / np.maximum(totals, 1)[label]
    telling = (precision >= PRECISION) & (1 - precision <= (1 - LIFT) * (1 - shares[label])) & (covered >= coverage)
    right = counts.by_label.max(1) + (totals - counts.by_label).max(1)
    saved = (right - totals.max()) / max(counts.everything - totals.max(), 1)
    chance = binom.sf(of - 1, rows, shares[label])
    chosen = (telling | (saved >= ERRORS)) & (rows >= FEWEST) & (chance * looked_at < CHANCE)
    for number in np.flatnonzero(chosen).tolist():
        yield number, int(label[number]), float(saved[number])


def _distinct(
    candidates: Sequence[Candidate], has: Callable[[Candidate], NDArray[np.bool_]]
) -> list[tuple[Candidate, NDArray[np.bool_]]]:
    """Return up to ``SHOWN`` candidates with their rows, none in the rows of a better one.

    Lengths and other traits are told apart: a marker makes its texts longer, and is another fault than their length.
    """
    chosen: list[tuple[Candidate, NDArray[np.bool_]]] = []
    for candidate in candidates:
        if len(chosen) == SHOWN:
            break
        own, kind = has(candidate), isinstance(candidate.trait, Length)
        others = [rows for one, rows in chosen if isinstance(one.trait, Length) == kind]
        within = any((rows & own).sum() >= OVERLAP * min(rows.sum(), own.sum()) for rows in others)
        # That short texts have one label, and long ones the other, is one finding.
        opposite = kind and any((~rows & own).sum() >= (~rows | own).sum() / 2 for rows in others)
        if not (within or opposite):
            chosen.append((candidate, own))
    return chosen
