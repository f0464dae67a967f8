"""Read the data of a spec for its card: as they are published, and as kexp divides them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import is_normalized, normalize

import numpy as np

from kexp.contracts import SPLITS, UNLABELLED
from kexp.data.cleaning import TEXTS, keys, need_rows, normalise
from kexp.data.prepare import prepare_read
from kexp.data.reading import ReadData, read_splits
from kexp.data.splits import spelled_groups
from kexp.data_card.rows import CardRows
from kexp.errors import DataError
from kexp.experiment.data_warnings import row_warnings

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from kexp.data.rows import PreparedData
    from kexp.repeats import Repeat
    from kexp.spec.sections import Spec


def read_rows(spec: Spec, repeat: Repeat) -> CardRows:
    """Read the rows of a run; raises ``DataError`` for data that cannot be read."""
    read = read_splits(spec)
    need_rows(read.frames["train"], "train", {})
    frames = _numbered({split: _as_read(frame, split, spec, read) for split, frame in read.frames.items()})
    try:
        prepared = prepare_read(read, spec, repeat)
    except DataError as error:
        return CardRows(spec, frames, {}, None, (*read.context.warnings, f"kexp cannot train on these data: {error}"))
    warnings = (*read.context.warnings, *row_warnings(spec, prepared))
    return CardRows(spec, frames, _divided(spec, frames, prepared), prepared, warnings)


def _as_read(frame: pd.DataFrame, split: str, spec: Spec, read: ReadData) -> pd.DataFrame:
    texts = [name for name in TEXTS if name in frame]
    decomposed = np.zeros(len(frame), bool)
    for name in texts:
        given = frame[name].fillna("").astype("str").tolist()
        decomposed |= np.fromiter((_is_decomposed(text) for text in given), bool, len(frame))
    normal = normalise(frame, spec.cleaning.trim)
    row = np.asarray(read.context.rows.get(split, range(1, len(frame) + 1)), np.int64)
    kept = [*texts, "label", *(["augmented"] if "augmented" in frame else [])]
    found = normal[kept].assign(key=keys(normal), decomposed=decomposed, split=split, row=row)
    return found.assign(group=spelled_groups(frame)) if "group" in frame else found


def _is_decomposed(text: str) -> bool:
    # Composing also unifies ideographs that Unicode has twice, one for one.
    return not is_normalized("NFC", text) and len(normalize("NFC", text)) < len(text)


def _numbered(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Give equal keys of all splits one number, which is compared faster than texts are."""
    import pandas as pd

    numbers, _ = pd.factorize(pd.concat([frame["key"] for frame in frames.values()], ignore_index=True))
    ends = np.cumsum([len(frame) for frame in frames.values()])[:-1]
    return {
        split: frame.assign(id=own) for (split, frame), own in zip(frames.items(), np.split(numbers, ends), strict=True)
    }


def _divided(spec: Spec, read: dict[str, pd.DataFrame], prepared: PreparedData) -> dict[str, pd.DataFrame]:
    """Return the rows of every split as kexp divides them; their numbers say where they were read."""
    found = {}
    for split in (split for split in SPLITS if split in prepared.splits):
        rows = prepared.splits[split]
        taken = _rows(read, split if split in read else "train", rows.numbers)
        found[split] = taken.assign(label=spec.task.decode(rows.labels, prepared.labels)).astype({"label": "str"})
    if prepared.unlabelled is not None:
        home = "train" if spec.labelled.chosen and spec.labelled.pool_from == "all" else UNLABELLED
        found[UNLABELLED] = _rows(read, home, prepared.unlabelled.numbers).assign(label="")
    return found


def _rows(read: dict[str, pd.DataFrame], home: str, numbers: NDArray[np.int64]) -> pd.DataFrame:
    """Return the rows that were read at ``numbers`` of a split; below 0 they are those of the unlabelled file."""
    if (numbers >= 0).all():
        return read[home].iloc[numbers].reset_index(drop=True)
    import pandas as pd

    parts = [read[home].iloc[numbers[numbers >= 0]], read[UNLABELLED].iloc[-1 - numbers[numbers < 0]]]
    order = np.argsort(np.concatenate([np.flatnonzero(numbers >= 0), np.flatnonzero(numbers < 0)]))
    return pd.concat(parts).iloc[order].reset_index(drop=True)
