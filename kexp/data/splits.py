"""Dividing rows: validation and test out of train, the labelled few out of train, the first n of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from kexp.data.freed_memory import give_back
from kexp.data.iterative_stratification import stratified_parts, with_every_label
from kexp.errors import DataError
from kexp.files.cells import is_missing, plain_label

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from kexp.spec.sections import Labelled, Split

    Strata: TypeAlias = Callable[[Sequence[str], int], NDArray[np.integer[Any]]]
    """``TaskOptions.strata``: labels and the fewest rows of a stratum in, the stratum of each row out."""


def codes(labels: pd.Series[str], names: Sequence[str]) -> NDArray[np.int32]:
    """Return the place of every label among ``names``, -1 for others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held = pa.array(labels, pa.large_string(), from_pandas=True)
    found: NDArray[np.int32] = pc.index_in(held, value_set=pa.array(names, pa.large_string())).fill_null(-1).to_numpy()
    return found


def class_strata(labels: pd.Series[str] | Sequence[str], parts: int = 1) -> NDArray[np.int32]:
    """Return a number for every label, which sort as the labels do."""
    import pandas as pd

    return codes(labels, sorted(pd.unique(pd.Series(labels))))


def divide(
    frames: dict[str, pd.DataFrame],
    options: Split,
    seed: int,
    counts: dict[str, int],
    fold: int = 1,
    strata: Strata = class_strata,
) -> dict[str, pd.DataFrame]:
    """Take the splits that the dataset lacks out of train; shares are of the rows that are divided.

    With ``split.folds`` the test split is one of them, counted from 1. ``strata`` says in which proportions rows are
    divided with ``split.stratify``. ``frames`` itself is changed and returned: the rows before their division would
    take as much memory as those after it.
    """
    whole = len(frames["train"])
    if options.group and "group" in frames["train"]:
        frames["train"], alone = _grouped(frames["train"])
        if alone:
            counts["without_group"] = alone
    if options.folds is not None:
        if "test" in frames:
            remedy = "leave that out of the dataset, or remove split.folds"
            raise DataError(f"split.folds: the dataset has a test split, so no fold of train would be tested; {remedy}")
        frames["train"], frames["test"] = take_fold(frames["train"], options, options.folds, seed, fold, strata)
        counts["taken_for_test"] = len(frames["test"])
    for split, share in (("test", options.test), ("validation", options.validation)):
        if split not in frames and share:
            rows = round(share * whole) if share < 1 else int(share)
            frames["train"], frames[split] = _take(frames["train"], rows, split, options, seed, strata)
            counts[f"taken_for_{split}"] = len(frames[split])
    return frames


def take_fold(
    frame: pd.DataFrame, options: Split, folds: int, seed: int, fold: int, strata: Strata = class_strata
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rest and one of the folds, into which the rows are divided by the seed alone."""
    import numpy as np

    grouped = options.group and "group" in frame
    numbers = strata(frame["label"], folds) if options.stratify else None
    _check_folds(frame, numbers, folds, grouped=grouped)
    groups = frame["group"] if grouped else None
    if numbers is not None and numbers.ndim == 2:
        taken = _parts_of_label_sets(numbers, groups, [1 / folds] * folds, seed) == fold - 1
    else:
        taken = np.zeros(len(frame), bool)
        taken[_fold_by_classes(numbers, groups, len(frame), folds, seed, fold)] = True
    if not taken.any():
        raise DataError(f"split.folds: fold {fold} of {folds} has no group; use fewer folds")
    return frame[~taken], frame[taken]


def _fold_by_classes(
    numbers: NDArray[np.integer[Any]] | None, groups: pd.Series[str] | None, rows: int, folds: int, seed: int, fold: int
) -> NDArray[np.int64]:
    """Return the places of the rows of a fold, where every row is of one stratum, or none is."""
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    if groups is not None:
        # Of one stratum it balances the numbers of rows alone; GroupKFold is either balanced or shuffled.
        numbers = np.zeros(rows, np.int32) if numbers is None else numbers
        divider = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    else:
        divider = (KFold if numbers is None else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    places: NDArray[np.int64] = list(divider.split(np.empty(rows), numbers, groups))[fold - 1][1]
    return places


def _parts_of_label_sets(
    numbers: NDArray[np.integer[Any]], groups: pd.Series[str] | None, shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Return the part of every row, where a row may be of several strata; rows of one group are in one part."""
    import numpy as np
    import pandas as pd

    if groups is None:
        return stratified_parts(numbers, np.ones(len(numbers), np.int64), shares, seed)
    units, _ = pd.factorize(groups, sort=True)
    counts = pd.DataFrame(numbers).groupby(units).sum().to_numpy()
    parts: NDArray[np.int64] = stratified_parts(counts, np.bincount(units), shares, seed)[units]
    return parts


def _check_folds(frame: pd.DataFrame, numbers: NDArray[np.integer[Any]] | None, folds: int, *, grouped: bool) -> None:
    counts = frame["group"].nunique() if grouped else len(frame)
    if counts < folds:
        what = "groups" if grouped else "rows"
        raise DataError(f"split.folds: {counts} {what} cannot be divided into {folds} folds; use fewer folds")
    if numbers is not None and numbers.ndim == 2:
        _need_label_elsewhere(frame, numbers, grouped=grouped)
    elif numbers is not None:
        # A label whose groups are fewer than the folds is in some folds alone.
        strata = frame.groupby(numbers)["group"].nunique() if grouped else _counts(numbers)
        rarest, count = strata.idxmin(), int(strata.min())
        if count < folds:
            label = frame["label"].to_numpy()[(numbers == rarest).argmax()]
            found = f'label "{label}" is in {count} {"group" if grouped else "row"}{"s" if count > 1 else ""}'
            remedy = "use fewer folds, set split.stratify = false, or add data"
            raise DataError(f"split.folds: {found}, fewer than the {folds} folds; {remedy}")


def _need_label_elsewhere(frame: pd.DataFrame, numbers: NDArray[np.integer[Any]], *, grouped: bool) -> None:
    """Refuse a label that is in one row, or one group, alone: in its fold it would be tested and never learnt."""
    import pandas as pd

    units = frame["group"].to_numpy() if grouped else range(len(frame))
    found = (pd.DataFrame(numbers > 0).groupby(units).any() if grouped else pd.DataFrame(numbers > 0)).sum()
    if (found == 1).any():
        place = int((found == 1).to_numpy().argmax())
        label = frame["label"].to_numpy()[(numbers[:, place] > 0).argmax()]
        what = "group" if grouped else "row"
        remedy = "leave it out with dataset.leave_out, set split.stratify = false, or add data"
        finding = f'a label of "{label}" is in one {what} alone, which one fold would test and never learn'
        raise DataError(f"split.folds: {finding}; {remedy}")


def _counts(numbers: NDArray[np.integer[Any]]) -> pd.Series[int]:
    import numpy as np
    import pandas as pd

    return pd.Series(np.bincount(numbers))


def _take(
    frame: pd.DataFrame, rows: int, split: str, options: Split, seed: int, strata: Strata
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rest and ``rows`` taken out (about as many where groups stay whole)."""
    place = f"split.{split}"
    if not 0 < rows < len(frame):
        other = "larger" if rows == 0 else "smaller"
        raise DataError(f"{place}: {rows} rows cannot be taken out of {len(frame)}; use a {other} share, or more data")
    # So that both parts have a row of every stratum.
    fewest = max(2, -(-len(frame) // min(rows, len(frame) - rows)))
    numbers = strata(frame["label"], fewest) if options.stratify else None
    if options.group and "group" in frame:
        return _take_groups(frame, rows, place, numbers, seed)
    import numpy as np
    from sklearn.model_selection import train_test_split

    if numbers is not None and numbers.ndim == 2:
        share = rows / len(frame)
        taken = _parts_of_label_sets(numbers, None, [1 - share, share], seed) == 1
    else:
        if numbers is not None:
            _check_stratification(frame, numbers, rows, place)
        chosen = train_test_split(np.arange(len(frame)), test_size=rows, random_state=seed, stratify=numbers)[1]
        taken = np.zeros(len(frame), bool)
        taken[chosen] = True
    # scikit-learn makes a Python object a row.
    give_back()
    return _in_order(frame[~taken]), _in_order(frame[taken])


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the order of their index, those in order without a copy."""
    return frame if frame.index.is_monotonic_increasing else frame.sort_index()


def _check_stratification(frame: pd.DataFrame, numbers: NDArray[np.integer[Any]], rows: int, place: str) -> None:
    counts = _counts(numbers)
    rarest, count = int(counts.idxmin()), int(counts.min())
    remedy = "set split.stratify = false, or add data"
    if count < 2:
        label = frame["label"].to_numpy()[(numbers == rarest).argmax()]
        raise DataError(f'{place}: too small to stratify: label "{label}" has {count} row of {len(frame)}; {remedy}')
    if min(rows, len(frame) - rows) < len(counts):
        raise DataError(
            f"{place}: too small to stratify: {rows} of {len(frame)} rows cannot hold {len(counts)} labels; {remedy}"
        )


def spelled_groups(frame: pd.DataFrame) -> pd.Series[str]:
    """Return the group of every row, spelled as labels are; a missing one is empty."""
    return frame["group"].map(lambda value: "" if is_missing(value) else plain_label(str(value))).astype("str")


def _grouped(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Spell groups as labels are, and make every row without one its own; return the number of these rows too."""
    group = spelled_groups(frame)
    missing = group == ""
    group[missing] = [f"\0{number}" for number in range(int(missing.sum()))]
    return frame.assign(group=group), int(missing.sum())


def _take_groups(
    frame: pd.DataFrame, rows: int, place: str, numbers: NDArray[np.integer[Any]] | None, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take groups in a seeded order, each only if it brings the rows (of every stratum) nearer to its share."""
    import numpy as np
    import pandas as pd

    if numbers is not None and numbers.ndim == 2:
        sizes = pd.DataFrame(numbers, index=frame.index).groupby(frame["group"]).sum()
        # Rows count themselves too: those without a label would else be taken at will.
        sizes["rows"] = frame.groupby("group").size()
    else:
        labels = np.zeros(len(frame), np.int32) if numbers is None else numbers
        sizes = pd.crosstab(frame["group"], labels)
    sizes = sizes.sample(frac=1, random_state=seed)
    missing = sizes.sum().to_numpy() * rows / len(frame)
    chosen = []
    for group, size in zip(sizes.index, sizes.to_numpy(), strict=True):
        if ((missing - size) ** 2).sum() < (missing**2).sum():
            chosen.append(group)
            missing = missing - size
    taken = frame["group"].isin(chosen)
    if not chosen or taken.all():
        remedy = "use another share, or set split.group = false"
        raise DataError(f"{place}: {len(sizes)} groups cannot be divided to take {rows} of {len(frame)} rows; {remedy}")
    return frame[~taken], frame[taken]


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
    chosen = _parts_of_label_sets(numbers, None, [1 - share, share], seed) == 1
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
