"""Dividing rows: validation and test out of train, or a fold of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kexp.data.freed_memory import give_back
from kexp.data.strata import class_strata, parts_of_label_sets
from kexp.errors import DataError
from kexp.files.cells import is_missing, plain_label

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from kexp.data.strata import Strata
    from kexp.spec.sections import Split


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
        taken = parts_of_label_sets(numbers, groups, [1 / folds] * folds, seed) == fold - 1
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
        taken = parts_of_label_sets(numbers, None, [1 - share, share], seed) == 1
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
