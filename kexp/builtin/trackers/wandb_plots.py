"""Plots and the table of predictions that a run of W&B ends with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

if TYPE_CHECKING:
    import pandas as pd


def plots(result: Mapping[str, Any], predictions: Path, table_rows: int) -> dict[str, Any]:
    """Return the plots of the test split, or of validation, which is all that a search's trial has.

    ``predictions`` is the run's ``predictions.parquet``, which a trial lacks.
    """
    split = "test" if "test" in result["metrics"] else "validation"
    names, matrix = result["labels"], result.get("confusion_matrix", {}).get(split)
    found: dict[str, Any] = {}
    if matrix is not None:
        labels, predicted = zip(*_pairs(matrix), strict=True)
        plot = wandb.plot.confusion_matrix(y_true=labels, preds=predicted, class_names=names)
        found[f"{split}/confusion_matrix"] = plot
    if by_label := result.get("per_label", {}).get(split):
        columns = list(by_label[0])
        cells = [[row[name] for name in columns] for row in by_label]
        found[f"{split}/labels"] = wandb.Table(columns=columns, data=cells)
    if predictions.is_file():
        import pandas as pd

        frame = pd.read_parquet(predictions, filters=[("split", "==", split)])
        if matrix is not None:
            found[f"{split}/pr_curve"] = _pr_curve(frame, names)
        if table_rows:
            found[f"{split}/predictions"] = wandb.Table(dataframe=worst_first(frame).head(table_rows))
    return found


def _pairs(counts: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Yield the labels and predictions that a confusion matrix counts, which W&B counts again."""
    for label, row in enumerate(counts):
        for predicted, count in enumerate(row):
            yield from itertools.repeat((label, predicted), count)


def worst_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort predictions: the most confident mistakes first, then correct predictions, the least confident first.

    Numbers are sorted by the size of their error, sets of labels by whether they are right.
    """
    if frame["label"].dtype.kind in "iuf":
        order = (frame["predicted"] - frame["label"]).abs().sort_values(ascending=False, kind="stable").index
        return frame.loc[order].drop(columns="split").reset_index(drop=True)
    if "confidence" not in frame:
        order = (frame["label"] == frame["predicted"]).sort_values(kind="stable").index
        return frame.loc[order].drop(columns="split").reset_index(drop=True)
    correct = frame["label"] == frame["predicted"]
    rank = frame["confidence"].where(correct, -frame["confidence"])
    order = correct.to_frame("correct").assign(rank=rank).sort_values(["correct", "rank"]).index
    return frame.loc[order].drop(columns="split").reset_index(drop=True)


def _pr_curve(frame: pd.DataFrame, names: list[str]) -> Any:
    # W&B takes the columns of the probabilities for the labels that occur.
    present = [name for name in names if (frame["label"] == name).any()]
    numbers = {name: number for number, name in enumerate(present)}
    return wandb.plot.pr_curve(
        y_true=frame["label"].map(numbers).to_numpy("int64"),
        y_probas=frame[[f"probability:{name}" for name in present]].to_numpy(),
        labels=present,
    )
