"""Which rows are used: the labelled few of train, the first n of a split, a sample for a baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kexp.data.iterative_stratification import with_every_label
from kexp.data.strata import class_strata, parts_of_label_sets
from kexp.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from kexp.data.strata import Strata
    from kexp.spec.sections import Labelled


def choose_labelled(
    train: pd.DataFrame, options: Labelled, seed: int, strata: Strata = class_strata
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that stay labelled, and all others."""
    import pandas as pd

    count = options.n or 0
    # No more strata than rows, where there is a choice.
    numbers = strata(train["label"], -(-len(train) // count) if count else 1)
    if numbers.ndim == 2:
        return _choose_label_sets(train, numbers, count, seed)
    shuffled = train.sample(frac=1, random_state=seed)
    stratum = pd.Series(numbers, index=train.index).loc[shuffled.index]
    rank, counts = stratum.groupby(stratum).cumcount(), pd.Series(numbers).value_counts()
    if options.per_class is not None:
        if counts.min() < options.per_class:
            label = train["label"].to_numpy()[(numbers == counts.idxmin()).argmax()]
            rarest = f'label "{label}" has {counts.min()} train rows'
            raise DataError(f"labelled.per_class: {rarest}, fewer than {options.per_class}; use fewer")
        chosen = rank < options.per_class
    else:
        if not len(counts) <= count < len(train):
            remedy = f"use {len(counts)} to {len(train) - 1}"
            raise DataError(f"labelled.n: {count} of {len(train)} train rows with {len(counts)} labels; {remedy}")
        chosen = rank < stratum.map(_shares(counts, count))
    return shuffled[chosen].sort_index(), shuffled[~chosen].sort_index()


def _choose_label_sets(
    train: pd.DataFrame, numbers: NDArray[np.integer[Any]], count: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ``count`` rows with their share of every label, and all others."""
    if not 0 < count < len(train):
        raise DataError(f"labelled.n: {count} of {len(train)} train rows; use 1 to {len(train) - 1}")
    share = count / len(train)
    chosen = parts_of_label_sets(numbers, None, [1 - share, share], seed) == 1
    if not with_every_label(chosen, numbers, seed):
        finding = f"{count} of {len(train)} train rows cannot hold {numbers.shape[1]} labels"
        raise DataError(f"labelled.n: {finding}; use more")
    return train[chosen].sort_index(), train[~chosen].sort_index()


def stratified_rows(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``most`` rows in order, drawn in the proportions of the labels, one of every label at least."""
    import numpy as np
    import pandas as pd

    if len(labels) <= most:
        return np.arange(len(labels))
    shuffled = pd.Series(labels).sample(frac=1, random_state=seed)
    shares = _shares(shuffled.value_counts().sort_index(), most)
    chosen = shuffled.groupby(shuffled).cumcount() < shuffled.map(shares)
    return np.sort(shuffled.index[chosen].to_numpy())


def _shares(counts: pd.Series[int], total: int) -> pd.Series[int]:
    """Divide ``total`` rows in the classes' proportions by largest remainders; every class gets one at least."""
    exact = counts / counts.sum() * total
    shares = exact.astype(int).clip(lower=1)
    by_remainder = (exact - shares).sort_values(ascending=False, kind="stable").index
    while shares.sum() < total:
        for label in by_remainder[: total - shares.sum()]:
            shares[label] += 1
    while shares.sum() > total:
        shares[shares.idxmax()] -= 1
    return shares


def limit_rows(frame: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """Keep ``limit`` rows of a seeded shuffle, in the order of the data."""
    if limit is None or len(frame) <= limit:
        return frame
    return frame.sample(n=limit, random_state=seed).sort_index()


def limit_pool(frame: pd.DataFrame, limit: int | None, seed: int, first: pd.DataFrame) -> pd.DataFrame:
    """Keep ``limit`` unlabelled rows, of every draw as many of the same ones as possible.

    They are those that ``limit_rows`` keeps of the first draw; for one that is labelled here comes the next one of the
    shuffle.
    """
    if limit is None or len(frame) <= limit:
        return frame
    import pandas as pd

    order = first.sample(frac=1, random_state=seed)["number"]
    places = pd.Series(range(len(order)), index=order)
    rank = frame["number"].map(places).fillna(len(order)).sort_values(kind="stable")
    return frame.loc[rank.index[:limit]].sort_index()


def limit_label_sets(frame: pd.DataFrame, split: str, limit: int | None, seed: int, strata: Strata) -> pd.DataFrame:
    """Keep ``limit`` rows of a seeded shuffle, of train with a row of every label at least, in the order of the data.

    Raises ``DataError`` where a limit of train has no place for all labels.
    """
    kept = limit_rows(frame, limit, seed)
    if len(kept) == len(frame) or split != "train":
        return kept
    numbers = strata(frame["label"], 1)
    chosen = frame.index.isin(kept.index)
    if not with_every_label(chosen, numbers, seed):
        raise DataError(f"dataset.limit: {limit} train rows cannot hold {numbers.shape[1]} labels; use more")
    return frame[chosen]


def limit_labelled_rows(frame: pd.DataFrame, split: str, limit: int | None, seed: int) -> pd.DataFrame:
    """Keep ``limit`` rows of a seeded shuffle, with a row of every label at least, in the order of the data.

    Raises ``DataError`` where a limit of train has no place for all labels.
    """
    kept = limit_rows(frame, limit, seed)
    lost = set(frame["label"].unique()) - set(kept["label"].unique())
    labels = frame["label"].nunique()
    if not lost or limit is None:
        return kept
    if limit < labels:
        if split == "train":
            raise DataError(f"dataset.limit: {limit} train rows cannot hold {labels} labels; use {labels} or more")
        return kept
    shuffled = frame.sample(frac=1, random_state=seed)
    found = shuffled[shuffled["label"].isin(lost)].drop_duplicates("label")
    # The places come from the labels with the most rows; the last ones of the shuffle go.
    rows = kept.loc[[number for number in shuffled.index if number in kept.index]]
    rank = rows.groupby("label").cumcount().sort_values(ascending=False, kind="stable")
    return frame.loc[rank.index[len(found) :].union(found.index)].sort_index()
