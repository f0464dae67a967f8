"""The table of a run by epoch: a row per evaluation, from the events of its ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kexp.report.formatting import duration, score
from kexp.report.stored import read_events

Json = Mapping[str, Any]


def epochs(folder: Path) -> list[dict[str, Any]]:
    """Return what every evaluation of a run found, from its folder; values that it did not measure are missing."""
    found = (event for event in read_events(folder / "metrics.jsonl") if event["event"] == "evaluation")
    return [
        {
            "epoch": event["epoch"],
            "step": event["step"],
            "train_loss": event["train_loss"],
            "validation_loss": event.get("validation_loss"),
            "train": event.get("train_metrics", {}),
            "validation": event["metrics"],
            "train_seconds": event.get("train_seconds"),
            "validation_seconds": event["seconds"],
            "best": event["best"],
        }
        for event in found
    ]


def spare_columns(rows: Sequence[Json], monitor: str) -> list[str]:
    """Return the columns of the table that a narrow terminal can do without, the first to be left out first."""
    metrics = dict.fromkeys(name for row in rows for name in row["validation"] if name != monitor)
    train = dict.fromkeys(f"train {name}" for row in rows for name in row["train"])
    return ["validation time", "train time", *reversed([*metrics, *train])]


def epoch_table(rows: Sequence[Json]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table as text; the evaluations that were the best so far are marked."""
    train = list(dict.fromkeys(name for row in rows for name in row["train"]))
    # Cross entropy is the column of the validation loss already.
    metrics = list(dict.fromkeys(name for row in rows for name in row["validation"]))
    metrics = [name for name in metrics if name != "cross_entropy" or rows[0]["validation_loss"] is None]
    header = ["epoch", "train loss", "validation loss", *metrics, *(f"train {name}" for name in train)]
    header += ["train time", "validation time", "best"]
    return header, [
        [
            f"{row['epoch']:g}",
            score(row["train_loss"]),
            score(row["validation_loss"]),
            *(score(row["validation"].get(name)) for name in metrics),
            *(score(row["train"].get(name)) for name in train),
            duration(row["train_seconds"]),
            duration(row["validation_seconds"]),
            "*" if row["best"] else "",
        ]
        for row in rows
    ]
