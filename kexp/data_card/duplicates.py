"""Rows without a text, rows that repeat or contradict another one, and rows that stand in two splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kexp.contracts import UNLABELLED
from kexp.data.cleaning import contradicting, keys, repetitions, without_text
from kexp.data_card.finding import EXAMPLES, Example, Finding
from kexp.data_card.rows import SEEN, CardRows, by_split, counted, examples

if TYPE_CHECKING:
    import pandas as pd


def empty_rows(rows: CardRows) -> Iterator[Finding]:
    """Look for rows without a text."""
    found = {split: frame[without_text(frame)] for split, frame in rows.read.items()}
    yield from _finding(
        "empty",
        "without a text",
        found,
        rows.read,
        "kexp drops them from every split",
        handled=True,
    )


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
    yield from _finding("duplicates", title, found, rows.read, remedy, handled=handled, notes=notes)


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
    yield from _finding("contradictions", title, found, rows.labelled, remedy, handled=handled)


def overlapping_rows(rows: CardRows) -> Iterator[Finding]:
    """Look for texts of validation or test that are in a split of training, or in both."""
    counts, hits, total, shown = dict[str, int](), dict[str, set[int]](), dict[str, int](), list[Example]()
    others_labels, dropped = 0, True
    for measured, frame, other, others in rows.between():
        shared = frame[frame["id"].isin(others["id"]) & ~without_text(frame)]
        counts[f"{measured} and {other}"], total[measured] = len(shared), len(frame)
        hits.setdefault(measured, set()).update(shared["row"])
        first = others.drop_duplicates("id").set_index("id")
        if other != UNLABELLED:
            others_labels += int((first["label"].reindex(shared["id"]).to_numpy() != shared["label"].to_numpy()).sum())
        few = first.loc[shared["id"].head(EXAMPLES), ["split", "row", "label"]].itertuples(index=False, name=None)
        shown += examples(shared, [f"as {split} row {row}, {label or 'no label'}" for split, row, label in few])
        dropped &= not len(shared) or other in SEEN
    if count := sum(map(len, hits.values())):
        differ = f"; {others_labels:,} of them with another label there" if others_labels else ""
        title = f"{counted(count)} with a text that another split has too ({by_split(counts)}){differ}"
        clean = rows.spec.cleaning
        handled = clean.overlap == "drop" and "train" in clean.splits and dropped
        remedy = 'cleaning.overlap = "drop"' + (" leaves them out of train and the unlabelled rows" if handled else "")
        if not dropped:
            remedy += "; rows of validation and test that are equal stay: remove them from one of the files"
        yield Finding("overlap", title, count, sum(total.values()), tuple(shown[:EXAMPLES]), remedy, handled)


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


def _finding(
    name: str,
    title: str,
    found: Mapping[str, pd.DataFrame],
    among: Mapping[str, pd.DataFrame],
    remedy: str,
    *,
    handled: bool,
    notes: Mapping[str, list[str]] | None = None,
) -> Iterator[Finding]:
    """Yield a finding about rows of several splits, if there are any; ``title`` says what they are."""
    counts = {split: len(frame) for split, frame in found.items()}
    if count := sum(counts.values()):
        shown = [one for split, frame in found.items() for one in examples(frame, (notes or {}).get(split, ()))]
        said = f"{counted(count)} {title} ({by_split(counts)})"
        yield Finding(name, said, count, sum(map(len, among.values())), tuple(shown[:EXAMPLES]), remedy, handled)
