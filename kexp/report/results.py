"""The table of results: a row per variant, then per baseline, with the best of every column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kexp.report.summary import shared

Json = dict[str, Any]

OUT_OF_FOLD = ", all folds as one"
"""What is added to the name of a variant where its metrics are those over the test rows of all folds."""

CONSTANT = "majority"
"""The baseline that gives every row the same probabilities, the frequencies of the labels in train."""

CALIBRATION = ("ece",)
"""Metrics of calibration alone, in which a constant is nearly perfect: it is right as often as it says, and useless."""


def results_table(summary: Mapping[str, Any], split: str) -> Json:
    """Return the metric names of a split, a row per variant and then per baseline, and the best mean of every column.

    A variant with folds has a second row on test: the metrics over the rows of all folds, which are no mean of theirs
    and stand beside it, so that they are not held against the other rows. A constant is no rival in calibration.
    A baseline that scores the same for several variants, since they share their data, has one row.
    """
    variants = summary["variants"].items()
    rows: list[Json] = []
    for name, variant in variants:
        row = {"name": name, "baseline_of": [], "pooled": False, "remarks": variant.get("remarks", [])}
        if scores := variant["metrics"].get(split):
            rows.append({**row, "cells": scores})
        if split == "test" and "out_of_fold" in variant:
            rows.append(
                {**row, "name": f"{name}{OUT_OF_FOLD}", "pooled": True, "cells": variant["out_of_fold"]["metrics"]}
            )
    for baseline in dict.fromkeys(baseline for _, variant in variants for baseline in variant["baselines"]):
        scored = {name: variant["baselines"].get(baseline, {}).get(split) for name, variant in variants}
        for names, scores in shared(scored):
            # Where the rows are divided several times, a baseline's score is a mean over the divisions.
            count = summary["variants"][names[0]]["data"].get("divisions", 1)
            cells = {metric: {"mean": value, "n": count} for metric, value in scores.items()}
            rows.append({"name": baseline, "baseline_of": names, "pooled": False, "cells": cells, "remarks": []})
    metrics = list(dict.fromkeys(metric for row in rows for metric in row["cells"]))
    best = {metric: _best(rows, metric, metric in summary["lower_is_better"]) for metric in metrics}
    return {"metrics": metrics, "rows": rows, "best": best, "lower": summary["lower_is_better"]}


def is_best(table: Mapping[str, Any], row: Mapping[str, Any], metric: str) -> bool:
    """Return whether the mean of a row is the best of those that can be held against each other in its column."""
    cell = row["cells"].get(metric)
    best = table["best"][metric]
    return bool(cell) and best is not None and _competes(row, metric, table["rows"]) and cell["mean"] == best


def _competes(row: Mapping[str, Any], metric: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a row is held against others; in calibration that needs more than what a constant can do."""
    if row["pooled"]:
        return False
    if metric not in CALIBRATION:
        return True
    constants = [one for one in rows if one["baseline_of"] and one["name"] == CONSTANT]
    own = [one for one in constants if one is row or {row["name"], *row["baseline_of"]} & {*one["baseline_of"]}]
    accuracies = [(_accuracy(row), _accuracy(one)) for one in own]
    return row not in own and all(None in pair or pair[0] > pair[1] for pair in accuracies)  # type: ignore[operator]


def _accuracy(row: Mapping[str, Any]) -> float | None:
    found: float | None = row["cells"].get("accuracy", {}).get("mean")
    return found


def _best(rows: Sequence[Json], metric: str, lower: bool) -> float | None:
    """Return the best mean of a column; None if there are fewer than two that compete."""
    cells = [row["cells"][metric] for row in rows if metric in row["cells"] and _competes(row, metric, rows)]
    means = [cell["mean"] for cell in cells if cell["mean"] is not None]
    if len(means) < 2:
        return None
    best: float = min(means) if lower else max(means)
    return best
