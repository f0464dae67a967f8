"""From a dataset component to prepared data: read, clean, divide, choose the labelled rows, number the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kexp.contracts import SPLITS, DatasetOptions
from kexp.data.cleaning import (
    Counts,
    cap_classes,
    clean,
    drop_empty,
    drop_overlap,
    length_bounds,
    lengths,
    need_rows,
    normalise,
)
from kexp.data.rows import PreparedData, Rows
from kexp.data.splits import choose_labelled, divide, limit_rows
from kexp.errors import DataError
from kexp.seeds import derive

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from kexp.spec import Spec


def prepare(spec: Spec, run_seed: int) -> PreparedData:
    """Prepare the data of a run; depends on ``run_seed`` only where the spec says ``split.resplit``.

    Raises ``DataError`` for data that cannot be used, with the split, the label and the remedy.
    """
    seed = derive(run_seed if spec.split.resplit else spec.split.seed, "split") % 2**32
    notes: dict[str, int] = {}
    frames, names = _read(spec.dataset, notes)
    counts: dict[str, Counts] = {split: {"read": len(frame)} for split, frame in frames.items()}
    frames = _clean(frames, spec, counts)
    frames = divide(frames, spec.split, seed, counts["train"])
    counts = {split: counts.get(split, {}) for split in SPLITS}
    if spec.cleaning.overlap == "drop":
        others = [frames["validation"], frames["test"]]
        frames["train"] = drop_overlap(frames["train"], others, counts["train"])
    need_rows(frames["train"], "train", counts["train"])
    frames["train"] = cap_classes(frames["train"], spec.cleaning, seed, counts["train"])
    for split in SPLITS:
        before = len(frames[split])
        frames[split] = limit_rows(frames[split], _limit(spec.dataset, split), seed)
        counts[split]["over_limit"] = before - len(frames[split])
    pool = None
    if spec.labelled.chosen:
        frames["train"], pool = choose_labelled(frames["train"], spec.labelled, seed)
    labels = _label_names(frames, names)
    splits = {split: _rows(frames[split], labels) for split in SPLITS}
    unlabelled = None if pool is None else _rows(pool, labels)
    source = {"source": {"read": notes}} if notes else {}
    return PreparedData(labels, splits, unlabelled, source | _record(frames, pool, counts))


def _read(dataset: DatasetOptions, notes: dict[str, int]) -> tuple[dict[str, pd.DataFrame], list[str] | None]:
    """Read the splits as tables with string labels; the names of a ``ClassLabel`` keep their order."""
    from datasets import ClassLabel, disable_progress_bars

    disable_progress_bars()
    read: Mapping[str, Dataset] = dataset.build(notes)
    if "train" not in read:
        raise DataError(f"dataset: no train split; it has {', '.join(read)}")
    frames, names = {}, None
    for split in (split for split in SPLITS if split in read):
        frame: pd.DataFrame = read[split].to_pandas()
        feature = read[split].features["label"]
        if isinstance(feature, ClassLabel):
            names = list(feature.names)
            frame["label"] = frame["label"].map(dict(enumerate(names)))
        frames[split] = frame.assign(label=frame["label"].astype("str"), number=range(len(frame)))
    return frames, names


def _clean(frames: dict[str, pd.DataFrame], spec: Spec, counts: dict[str, Counts]) -> dict[str, pd.DataFrame]:
    cleaned = {
        split: drop_empty(normalise(frame, spec.cleaning.trim), counts[split]) for split, frame in frames.items()
    }
    need_rows(cleaned["train"], "train", counts["train"])
    bounds = length_bounds(cleaned["train"], spec.cleaning)
    for split, frame in cleaned.items():
        if split in spec.cleaning.splits:
            cleaned[split] = clean(frame, spec.cleaning, bounds, counts[split])
        need_rows(cleaned[split], split, counts[split])
    _distinct_labels(cleaned["train"])
    return cleaned


def _limit(dataset: DatasetOptions, split: str) -> int | None:
    if isinstance(dataset.limit, Mapping):
        limits: Mapping[str, int] = dataset.limit  # type: ignore[assignment]
        return limits.get(split)
    return dataset.limit


def _label_names(frames: Mapping[str, pd.DataFrame], names: list[str] | None) -> tuple[str, ...]:
    """Number the labels of train: as the dataset orders them, else numbers by value and words by alphabet."""
    present = _distinct_labels(frames["train"])
    for split in ("validation", "test"):
        unknown = frames[split].loc[~frames[split]["label"].isin(present), "label"]
        if len(unknown):
            rows = f"{len(unknown)} row{'s' if len(unknown) > 1 else ''}"
            found = ", ".join(f'"{label}"' for label in sorted(set(unknown))[:5])
            where = f"stands in {rows} of the {split} split and nowhere in train"
            raise DataError(f"dataset: label {found} {where}; add train rows, or remove these")
    if names is not None:
        return tuple(name for name in names if name in present)
    numeric = all(label.removeprefix("-").isdecimal() for label in present)
    return tuple(sorted(present, key=int if numeric else str))


def _distinct_labels(train: pd.DataFrame) -> set[str]:
    present = set(train["label"])
    if len(present) < 2:
        only = f'every train row has the label "{next(iter(present))}"'
        raise DataError(f"dataset: {only}; a classifier needs two labels at least")
    return present


def _rows(frame: pd.DataFrame, labels: tuple[str, ...]) -> Rows:
    ids = frame["label"].map({label: number for number, label in enumerate(labels)})
    pairs = frame["text_pair"].tolist() if "text_pair" in frame else None
    return Rows(frame["text"].tolist(), pairs, ids.to_numpy("int64"), frame["number"].to_numpy("int64"))


def _record(frames: Mapping[str, pd.DataFrame], pool: pd.DataFrame | None, counts: dict[str, Counts]) -> dict[str, Any]:
    for split in SPLITS:
        counts[split]["kept"] = len(frames[split])
    if pool is not None:
        counts["train"]["unlabelled"] = len(pool)
    return {
        "splits": counts,
        "labels": {split: frames[split]["label"].value_counts().sort_index().to_dict() for split in SPLITS},
        "characters": {split: lengths(frames[split]).describe().round(1).to_dict() for split in SPLITS},
    }
