"""``predictions.parquet``: a row per text of the validation and test splits, written after a run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.atomic_files import replacing
from kexp.contracts.task import Chosen
from kexp.errors import KexpError, plugin_call
from kexp.evaluate.answers import Answers
from kexp.options import component_title

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from kexp.contracts import TaskOptions


TOKENS = ("tokens", "unknown_tokens")
"""Columns with the number of tokens of a text before it was cut, special tokens included, and of unknown ones after.

Files of earlier versions lack them.
"""


def table(
    split: str,
    numbers: NDArray[np.int64],
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    predicted: Mapping[str, Any],
    tokens: Mapping[str, NDArray[np.int64]] | None = None,
) -> pd.DataFrame:
    """Return the rows of a split: the text as the model read it, and what is predicted (``TaskOptions.columns``).

    ``tokens`` are the columns named in ``TOKENS``.
    """
    import pandas as pd

    columns: dict[str, Any] = {"split": split, "row": numbers, "text": texts}
    if pairs is not None:
        columns["text_pair"] = pairs
    return pd.DataFrame({**columns, **predicted, **(tokens or {})})


def write(path: Path, tables: Sequence[pd.DataFrame]) -> None:
    """Write the splits one below the other."""
    import pandas as pd

    with replacing(path) as part:
        # Without checksums a changed probability would be read as another prediction.
        pd.concat(tables, ignore_index=True).to_parquet(part, index=False, write_page_checksum=True)


def read(path: Path, split: str, names: Sequence[str], task: TaskOptions) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the targets and predictions of a split, in the order of its rows, as the task reads them.

    Raises ``KexpError`` if the file cannot be read or is not of these names.
    """
    return targets_of(path, rows_of(path, split, ["label"], []), names, task)


def targets_of(
    place: Path, rows: pd.DataFrame, names: Sequence[str], task: TaskOptions
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the targets and predictions of rows of ``predictions.parquet``; raises ``KexpError`` with the place."""
    with plugin_call(f"{component_title(task)}, read_columns()"):
        try:
            return task.read_columns(_Columns(place, rows), names)
        except ValueError as error:
            raise KexpError(f"{place}: {error}") from None


class _Columns(Mapping[str, "pd.Series[Any]"]):
    """The columns of some rows; one that is missing, or no numbers where it should be, is said with its place."""

    def __init__(self, place: Path, rows: pd.DataFrame) -> None:
        self.place, self.rows = place, rows

    def __getitem__(self, name: str) -> pd.Series[Any]:
        if name not in self.rows or self.rows[name].dtype.kind not in (LABEL if name in LABELS else NUMBER):
            raise _unlike(self.place, name)
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows.columns)


TEXT, NUMBER = "OTU", "iuf"
LABEL = TEXT + NUMBER
"""Kinds of columns in NumPy's letters; what is true and predicted may be names or numbers, as the task says."""
LABELS = ("label", "predicted")


def _unlike(path: Path, column: str) -> KexpError:
    return KexpError(f"{path}: column {column} is missing, or not as kexp writes it")


def rows_of(
    path: Path, split: str, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the rows of a split with all their columns.

    Raises ``KexpError`` if the file cannot be read, or if one of these columns of texts or of numbers is none. A file
    may lack ``optional`` columns of numbers.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path, page_checksum_verification=True)
    # pyarrow raises many kinds of errors for a damaged file.
    except Exception as error:  # noqa: BLE001
        raise KexpError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    for names, kinds in (
        (("split", *texts), TEXT),
        (("row", *numbers, *(name for name in optional if name in frame)), NUMBER),
    ):
        for name in names:
            if name not in frame or frame[name].dtype.kind not in (LABEL if name in LABELS else kinds):
                raise _unlike(path, name)
    return frame[frame["split"] == split].reset_index(drop=True)


# --- were two runs tested on the same rows? ------------------------------------------------------------------------

EXAMPLE = 60
"""Characters of a text that is shown as an example."""


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """Predictions of a run for a split, with digests that are equal where the rows are, whatever their order.

    ``names`` are the labels in the order of their ids. ``by_text`` and ``by_number`` order the rows by text and label,
    and by the number that they have in their dataset. ``chosen`` is what the model's decisions need.
    """

    path: Path
    split: str
    names: Sequence[str]
    texts: str
    numbers: str
    labels: NDArray[Any]
    probabilities: NDArray[np.float64]
    by_text: NDArray[np.int64]
    by_number: NDArray[np.int64]
    task: TaskOptions
    chosen: Chosen = field(default_factory=dict)

    def digest(self, by: str) -> str:
        """Return the digest of the rows by "text" or "number"."""
        return self.texts if by == "text" else self.numbers

    def ordered(self, by: str, names: Sequence[str]) -> Answers:
        """Return targets, predictions and decisions, rows ordered by "text" or "number" and labels as in ``names``."""
        order = self.by_text if by == "text" else self.by_number
        targets, predictions, task = self.labels[order], self.probabilities[order], self.task
        decided = task.decide(predictions, self.chosen)
        if tuple(names) != tuple(self.names):
            targets, decided = (task.encode(task.decode(of, self.names), names) for of in (targets, decided))
            predictions = predictions[:, [[*self.names].index(name) for name in names]]
        return Answers(targets, predictions, decided)


def tested(path: Path, split: str, names: Sequence[str], task: TaskOptions, chosen: Chosen) -> Tested:
    """Read the predictions of a split; ``names`` are the labels in the order of their ids."""
    frame = _rows(path, split)
    by_text = frame.sort_values(["text", "pair", "label", "row"], kind="stable").index.to_numpy()
    by_number = frame.sort_values("row", kind="stable").index.to_numpy()
    labels, probabilities = read(path, split, names, task)
    return Tested(
        path,
        split,
        tuple(names),
        _digest(frame.loc[by_text, ["text", "pair", "label"]]),
        _digest(frame.loc[by_number, ["row", "label"]]),
        labels,
        probabilities,
        by_text,
        by_number,
        task,
        chosen,
    )


def _rows(path: Path, split: str) -> pd.DataFrame:
    frame = rows_of(path, split, ["text", "label"], [])
    frame["pair"] = frame.get("text_pair", "")
    return frame[["row", "text", "pair", "label"]]


def _digest(frame: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for cells in frame.itertuples(index=False):
        digest.update("\x1f".join(map(str, cells)).encode() + b"\x1e")
    return digest.hexdigest()


def other_texts(a: Path, b: Path, split: str) -> int:
    """Return how many texts differ between two runs on rows with the same numbers."""
    texts = (_rows(path, split).sort_values("row", kind="stable")[["text", "pair"]].to_numpy() for path in (a, b))
    return int((next(texts) != next(texts)).any(axis=1).sum())


def row_differences(a: Path, b: Path, split: str, names: tuple[str, str]) -> Iterator[str]:
    """Yield sentences on how the rows of a split differ between two runs; ``names`` are the names of the runs."""
    labels = [_labels_by_text(_rows(path, split)) for path in (a, b)]
    counts = [Counter({text: len(of) for text, of in found.items()}) for found in labels]
    if counts[0].total() != counts[1].total():
        yield f"{counts[0].total():,} rows in {names[0]}, {counts[1].total():,} in {names[1]}"
    for own, other, name in ((counts[0], counts[1], names[0]), (counts[1], counts[0], names[1])):
        if alone := own - other:
            yield f"{alone.total():,} texts are only in {name}, for example {_example(next(iter(alone)))}"
    changed = [text for text in labels[0] if counts[0][text] == counts[1][text] and labels[0][text] != labels[1][text]]
    if changed:
        both = [f"{', '.join(found[changed[0]])} in {name}" for found, name in zip(labels, names, strict=True)]
        yield f"{len(changed):,} texts have different labels, for example {_example(changed[0])}: {', '.join(both)}"


def _labels_by_text(frame: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """Return the sorted labels of every text, which may occur several times."""
    found: dict[tuple[str, str], list[str]] = {}
    for text, pair, label in zip(frame["text"], frame["pair"], frame["label"], strict=True):
        found.setdefault((text, pair), []).append(label)
    return {text: sorted(of) for text, of in found.items()}


def _example(key: tuple[str, str]) -> str:
    text = " / ".join(filter(None, key))
    return f'"{text[:EXAMPLE]}…"' if len(text) > EXAMPLE else f'"{text}"'
