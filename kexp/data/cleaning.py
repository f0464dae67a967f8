"""Cleaning of a split's rows. Nothing is dropped without a count."""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import TYPE_CHECKING, Any

from kexp.contracts import UNLABELLED
from kexp.errors import DataError
from kexp.files import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from kexp.spec.sections import Cleaning

Counts = dict[str, int]
TEXTS = ("text", "text_pair")
SEPARATOR = "\x1f"
"""Stands between the two texts of a pair where rows are compared."""


def normalise(frame: pd.DataFrame, trim: bool) -> pd.DataFrame:
    """Normalise the texts of a table."""
    columns = {
        name: frame[name].fillna("").map(partial(normal_text, trim=trim)).astype("str")
        for name in (*TEXTS, "augmented")
        if name in frame
    }
    return frame.assign(**columns)


def normal_text(text: Any, *, trim: bool) -> str:
    """Bring a text to NFC, since decomposed Hangul (as macOS writes it) defeats tokenizers, and trim it.

    A missing text becomes an empty one, a whole number its digits; raises ``ValueError`` for anything else.
    """
    composed = unicodedata.normalize("NFC", text_of(text))
    return composed.strip() if trim else composed


def without_text(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows have a text of white space alone."""
    if "blank" in frame:
        return frame["blank"]
    empty: pd.Series[bool] = frame["text"].str.strip() == ""
    return empty | (frame["text_pair"].str.strip() == "") if "text_pair" in frame else empty


def contradicting(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows have a text that another row has with another label."""
    key = keys(frame)
    several = key.duplicated(keep=False)
    distinct = frame.loc[several, ["label"]].assign(key=key[several]).drop_duplicates()
    return key.isin(distinct.loc[distinct.duplicated("key", keep=False), "key"])


def repetitions(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows repeat the text and the label of a row before them."""
    key = keys(frame)
    found = key.duplicated(keep=False)
    found[found] = frame.loc[found, ["label"]].assign(key=key[found]).duplicated()
    return found


def without_unlabelled(
    frames: Mapping[str, pd.DataFrame], options: Cleaning, counts: Mapping[str, Counts]
) -> dict[str, pd.DataFrame]:
    """Return the splits without the rows of labelled ones that have no label, if they are to be dropped."""
    if options.unlabelled != "drop":
        return dict(frames)
    kept = {}
    for split, frame in frames.items():
        missing = (frame["label"] == "") & (split != UNLABELLED)
        counts[split] |= {"without_label": int(missing.sum())} if split != UNLABELLED else {}
        kept[split] = frame[~missing]
    return kept


def _without(frame: pd.DataFrame, dropped: pd.Series[bool]) -> pd.DataFrame:
    """Return the other rows; where there are all of them, no copy is made."""
    return frame[~dropped] if dropped.any() else frame


def drop_empty(frame: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Drop rows with a text of white space alone."""
    empty = without_text(frame)
    counts["empty"] = int(empty.sum())
    return _without(frame, empty)


def clean(
    frame: pd.DataFrame,
    options: Cleaning,
    bounds: tuple[float, float],
    counts: Counts,
    splits: Sequence[str] = ("train",),
) -> pd.DataFrame:
    """Drop what the spec says from rows that are to be divided into ``splits``.

    ``bounds`` are the lengths that the percentiles of train gave.
    """
    contested = contradicting(frame)
    counts["contradictions"] = int(contested.sum())
    if options.contradictions == "drop":
        frame = _without(frame, contested)
    else:
        counts["contradictions_kept"] = counts.pop("contradictions")
    if options.duplicates == "drop":
        repeated = repetitions(frame)
        counts["duplicates"] = int(repeated.sum())
        frame = _without(frame, repeated)
    return drop_lengths(frame, options, bounds, counts, splits)


def clean_unlabelled(
    frame: pd.DataFrame, options: Cleaning, bounds: tuple[float, float], counts: Counts
) -> pd.DataFrame:
    """Drop what the spec says from unlabelled rows: repeated texts, and texts too short or too long."""
    if options.duplicates == "drop":
        repeated = keys(frame).duplicated()
        counts["duplicates"] = int(repeated.sum())
        frame = _without(frame, repeated)
    return drop_lengths(frame, options, bounds, counts, ("unlabelled",))


def drop_lengths(
    frame: pd.DataFrame, options: Cleaning, bounds: tuple[float, float], counts: Counts, splits: Sequence[str]
) -> pd.DataFrame:
    """Drop rows that are too short or too long for each of the splits, and add them to the counts."""
    length = lengths(frame)
    low, high = options.characters(*splits)
    short = length < max(low, bounds[0])
    long = (length > min(high, bounds[1])) & ~short
    for name, dropped in (("too_short", short), ("too_long", long)):
        counts[name] = counts.get(name, 0) + int(dropped.sum())
    return _without(frame, short | long)


def length_bounds(train: pd.DataFrame, options: Cleaning) -> tuple[float, float]:
    """Return the shortest and longest length that the percentiles of train allow, in characters."""
    length = lengths(train)
    low = length.quantile(options.min_percentile / 100) if options.min_percentile > 0 else 0.0
    high = length.quantile(options.max_percentile / 100) if options.max_percentile < 100 else float("inf")
    return float(low), float(high)


def drop_overlap(train: pd.DataFrame, others: list[pd.DataFrame], counts: Counts) -> pd.DataFrame:
    """Drop train rows whose text is in validation or test, so that a model is not tested on what it was trained on."""
    import pandas as pd

    overlap = keys(train).isin(pd.concat([keys(other) for other in others]))
    counts["overlap"] = int(overlap.sum())
    return _without(train, overlap)


def drop_in_file(train: pd.DataFrame, unlabelled: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Drop train rows whose text is among the unlabelled rows of the dataset."""
    in_file = keys(train).isin(set(keys(unlabelled)))
    counts["in_the_unlabelled_file"] = int(in_file.sum())
    return train[~in_file]


def drop_labelled(unlabelled: pd.DataFrame, train: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Drop unlabelled rows whose text is among the labelled rows of train."""
    labelled = keys(unlabelled).isin(keys(train))
    counts["labelled"] = int(labelled.sum())
    return unlabelled[~labelled]


def drop_without_view(unlabelled: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Drop unlabelled rows that have no augmented view."""
    views = unlabelled["augmented"]
    missing = ~views if views.dtype == bool else views.str.strip() == ""
    counts["without_augmented_view"] = int(missing.sum())
    if missing.all():
        raise DataError(f"dataset.augmented: none of the {len(unlabelled):,} unlabelled rows has an augmented view")
    return unlabelled[~missing]


def cap_classes(train: pd.DataFrame, options: Cleaning, seed: int, counts: Counts) -> pd.DataFrame:
    """Keep at most ``max_per_class`` rows of a class, and as many of each as of the smallest when balancing."""
    limits = [limit for limit in (options.max_per_class,) if limit is not None]
    if options.balance:
        limits.append(int(train["label"].value_counts().min()))
    if not limits:
        return train
    shuffled = train.sample(frac=1, random_state=seed)
    kept = shuffled[shuffled.groupby("label").cumcount() < min(limits)].sort_index()
    counts["over_class_limit"] = len(train) - len(kept)
    return kept


def lengths(frame: pd.DataFrame) -> pd.Series[int]:
    """Return the characters of each row, both texts of a pair together."""
    if "characters" in frame:
        return frame["characters"]
    length = frame["text"].str.len()
    return length + frame["text_pair"].str.len() if "text_pair" in frame else length


def need_rows(frame: pd.DataFrame, split: str, counts: Counts) -> None:
    """Refuse a split without rows, and say which step dropped them."""
    if frame.empty:
        gone = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
        why = gone or "it was empty"
        raise DataError(f"dataset: no row of the {split} split is left ({why}); relax [cleaning] or check the data")


def keys(frame: pd.DataFrame) -> pd.Series[str]:
    """Return by what rows are compared: the number of a text, or the text itself, or both of a pair."""
    if "id" in frame:
        return frame["id"]
    return frame["text"] + SEPARATOR + frame["text_pair"] if "text_pair" in frame else frame["text"]
