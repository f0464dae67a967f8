"""Rows without a text, rows that repeat or contradict another one, and rows that stand in two splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kexp.contracts import UNLABELLED
from kexp.data.cleaning import contradicting, keys, repetitions, without_text
from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.rows import SEEN, CardRows, SharedRows, counted, examples, finding_of_splits

if TYPE_CHECKING:
    import pandas as pd


def empty_rows(rows: CardRows) -> Iterator[Finding]:
    """Look for rows without a text."""
    found = {split: frame[without_text(frame)] for split, frame in rows.read.items()}
    remedy = "kexp drops them from every split"
    yield from finding_of_splits("empty", "without a text", found, _total(rows.read), remedy, handled=True)


def repeated_rows(rows: CardRows) -> Iterator[Finding]:
    """Look for rows that repeat the text and the label of a row of their split before them."""
    found, notes = {}, {}
    for split, frame in _with_text(rows.read).items():
        found[split] = frame[repetitions(frame) if split != UNLABELLED else keys(frame).duplicated()]
        first = found[split].head(EXAMPLES)
        names = ["id"] if split == UNLABELLED else ["id", "label"]
        notes[split] = [f"as row {_first_row(frame, row)}" for _, row in first[names].iterrows()]
    handled, remedy = _option(rows, "duplicates", tuple(split for split, frame in found.items() if len(frame)))
    title = "with the text and the label of a row before them in their split"
    total = _total(rows.read)
    yield from finding_of_splits("duplicates", title, found, total, remedy, handled=handled, notes=notes)


def _first_row(frame: pd.DataFrame, values: pd.Series[Any]) -> int:
    """Return the number of the first row with these values."""
    return int(frame.loc[(frame[[*values.index]] == values).all(axis=1), "row"].iloc[0])


def contradicting_rows(rows: CardRows) -> Iterator[Finding]:
    """Look for equal texts of a split that carry different labels."""
    found = {}
    for split, frame in _with_text(rows.labelled).items():
        contested = frame[contradicting(frame)]
        # Rows of one text stand together, in the order of their first row.
        found[split] = contested.assign(first=contested.groupby("id")["row"].transform("min")).sort_values(
            ["first", "row"]
        )
    handled, remedy = _option(rows, "contradictions", tuple(split for split, frame in found.items() if len(frame)))
    texts = sum(frame["id"].nunique() for frame in found.values())
    title = f"of {counted(texts, 'text')} with different labels"
    yield from finding_of_splits("contradictions", title, found, _total(rows.labelled), remedy, handled=handled)


def overlapping_rows(rows: CardRows) -> Iterator[Finding]:
    """Look for texts of validation or test that are in a split of training, or in both."""
    between, shown = SharedRows(), list[Example]()
    others_labels, dropped = 0, True
    for measured, frame, other, others in rows.between():
        shared = frame[frame["id"].isin(others["id"]) & ~without_text(frame)]
        between.add(measured, frame, other, shared)
        first = others.drop_duplicates("id").set_index("id")
        if other != UNLABELLED:
            others_labels += int((first["label"].reindex(shared["id"]).to_numpy() != shared["label"].to_numpy()).sum())
        few = first.loc[shared["id"].head(EXAMPLES), ["split", "row", "label"]].itertuples(index=False, name=None)
        shown += examples(shared, [f"as {split} row {row}, {label or 'no label'}" for split, row, label in few])
        dropped &= not len(shared) or other in SEEN
    if count := between.count:
        differ = f"; {others_labels:,} of them with another label there" if others_labels else ""
        title = f"{counted(count)} with a text that another split has too ({between}){differ}"
        clean = rows.spec.cleaning
        handled = clean.overlap == "drop" and "train" in clean.splits and dropped
        remedy = 'cleaning.overlap = "drop"' + (" leaves them out of train and the unlabelled rows" if handled else "")
        if not dropped:
            remedy += "; rows of validation and test that are equal stay: remove them from one of the files"
        yield Finding("overlap", title, count, between.total, tuple(shown[:EXAMPLES]), remedy, handled)


def _total(frames: Mapping[str, pd.DataFrame]) -> int:
    return sum(map(len, frames.values()))


def _with_text(frames: Mapping[str, pd.DataFrame]) -> Mapping[str, pd.DataFrame]:
    return {split: frame[~without_text(frame)] for split, frame in frames.items()}


def _option(rows: CardRows, name: str, splits: tuple[str, ...]) -> tuple[bool, str]:
    """Return whether cleaning drops such rows from all these splits, and the line of the spec that says so."""
    cleaning = rows.spec.cleaning
    line = f'cleaning.{name} = "drop"'
    if getattr(cleaning, name) != "drop":
        return False, line
    kept = [split for split in splits if split != UNLABELLED and split not in cleaning.splits]
    if kept:
        return False, f"{line} drops them, but not from {', '.join(kept)}, which cleaning.splits leaves as they are"
    return True, f"dropped by {line}"
