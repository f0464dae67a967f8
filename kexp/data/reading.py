"""The splits as a dataset gives them: tables of texts, with labels that are spelled once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.contracts import SPLITS, UNLABELLED, DatasetContext, TaskOptions
from kexp.contracts.dataset import read_dataset
from kexp.data.cleaning import TEXTS
from kexp.errors import DataError
from kexp.files import need_columns, text_of
from kexp.files.cells import changed_labels, column_of, texts_in_arrow

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from kexp.spec.sections import Spec

UNKNOWN = ""
"""Label of rows that have none."""
MISSING_WORDS = ("nan", "null", "<na>", "#n/a", "n/a", "nat")
"""What other tools write for a missing label."""


@dataclass(frozen=True, slots=True)
class ReadData:
    """The splits as a dataset gives them, as tables with the columns of a dataset and ``number``, the row from 0.

    Labels are strings; ``names`` has those of a ``ClassLabel`` in their order, else None.
    """

    frames: Mapping[str, pd.DataFrame]
    names: Sequence[str] | None
    context: DatasetContext


def read_splits(spec: Spec) -> ReadData:
    """Read the splits of the dataset; raises ``DataError`` for rows that cannot be used at all."""
    from datasets import ClassLabel, disable_progress_bars

    task = spec.task
    context = DatasetContext(
        keep_unlabelled=spec.cleaning.unlabelled == "drop",
        label_of=task.label_of,
        names_in=task.names_in,
        several=task.several,
    )
    disable_progress_bars()
    read = read_dataset(spec.dataset, context)
    if "train" not in read:
        raise DataError(f"dataset: no train split; it has {', '.join(read)}")
    frames: dict[str, pd.DataFrame] = {}
    names: list[str] | None = None
    for split in (split for split in (*SPLITS, UNLABELLED) if split in read):
        columns = [name for name in (*TEXTS, "label", "group", "augmented") if name in read[split].column_names]
        need_columns(
            f"dataset, split {split}", read[split].column_names, ("text",) if split == UNLABELLED else ("text", "label")
        )
        rows = read[split].select_columns(columns)
        frame: pd.DataFrame = rows.to_pandas()
        if "label" not in frame:
            frame["label"] = UNKNOWN
        feature = rows.features.get("label")
        source = f"dataset, split {split}"
        for name in (name for name in (*TEXTS, "augmented") if name in frame):
            if not _is_string(rows.features[name]):
                frame[name] = column_of(rows[name][:], text_of, source, name)
        if isinstance(feature, ClassLabel):
            names = list(feature.names)
            frame["label"] = frame["label"].map(dict(enumerate(names)))
        elif isinstance(of := getattr(feature, "feature", None), ClassLabel):
            names = list(of.names)
            frame["label"] = _sets(rows["label"][:], names, source, task)
        elif feature is not None:
            frame["label"] = _labels(rows, source, task, context.read.setdefault(split, Counter()))
        missing = frame["label"].isna() | (frame["label"] == "")
        if missing.any() and split != UNLABELLED and not context.keep_unlabelled:
            count = f"{missing.sum()} row{'s' if missing.sum() > 1 else ''}"
            remedy = 'add the labels, or leave the rows out with cleaning.unlabelled = "drop"'
            raise DataError(f"dataset: {count} of the {split} split have no label; {remedy}")
        label = frame["label"].where(~missing, UNKNOWN).astype("str")
        frames[split] = frame.assign(label=label, number=range(len(frame)))
    if names is None:
        _spell_labels_once(frames, task, context)
    _warn_of_odd_groups(frames["train"], context)
    return ReadData(frames, names, context)


def _sets(cells: Sequence[Any], names: Sequence[str], source: str, task: TaskOptions) -> list[str]:
    """Return the labels of lists of numbers of names; a missing list is a missing label."""

    def label_of(cell: Any) -> str:
        return task.label_of(None if cell is None else [names[number] for number in cell])

    return column_of(cells, label_of, source, "label")


def _labels(rows: Dataset, source: str, task: TaskOptions, counts: Counter[str]) -> pd.Series[str] | list[str]:
    """Return the labels as they are spelled everywhere, and count those that are changed."""
    if not _is_string(rows.features["label"]):
        given = rows["label"][:]
        counts.update(changed_labels(given))
        return column_of(given, task.label_of, source, "label")
    import pyarrow as pa

    parts = [pa.array([], pa.large_string())]
    done = 0
    for part in rows.with_format("arrow")[:]["label"].chunks:
        counts.update(changed_labels(part))
        numbers = range(done + 1, done + 1 + len(part))
        parts.append(texts_in_arrow(part.cast(pa.large_string()), task.label_of, source, "label", numbers))
        done += len(part)
    found: pd.Series[str] = pa.chunked_array(parts).to_pandas()
    return found


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", "") in ("string", "large_string")


def _spell_labels_once(frames: dict[str, pd.DataFrame], task: TaskOptions, context: DatasetContext) -> None:
    """Give labels that mean the same one spelling, in all splits; warn of those that are probably not meant."""
    splits = [split for split in frames if split != UNLABELLED]
    labels = {label for split in splits for label in frames[split]["label"].unique()} - {UNKNOWN}
    spelled = task.spelled_once(labels)
    for split in splits if spelled else ():
        label = frames[split]["label"]
        frames[split]["label"] = label.replace(spelled)
        changed = int((frames[split]["label"] != label).sum())
        context.read.setdefault(split, Counter())["truth values as one label"] += changed
    context.warnings.extend(task.warnings_of_labels({spelled.get(label, label) for label in labels}))


def _warn_of_odd_groups(train: pd.DataFrame, context: DatasetContext) -> None:
    """Warn of a group that is probably a missing one: its rows would be in one split."""
    if "group" not in train:
        return
    for group, rows in train["group"].dropna().astype("str").value_counts().items():
        if str(group).strip().lower() in (*MISSING_WORDS, "none", "-") and rows > 1:
            remedy = "where the cell is empty, each row is a group of its own"
            context.warnings.append(f'{rows:,} rows have the group "{group}" and stay in one split; {remedy}')
