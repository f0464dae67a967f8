"""What a run's confidence is worth: reliability without and with a temperature, and accuracy by coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kexp.evaluate.calibration import calibrated, expected_calibration_error, reliability
from kexp.evaluate.proportions import wilson
from kexp.evaluate.selective import curve
from kexp.report.figures import draw_coverage, draw_reliability

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

BINS = 10
"""Bins of the reliability diagram."""

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

Json = dict[str, Any]


def reliability_figures(rows: pd.DataFrame, result: Mapping[str, Any]) -> list[Json]:
    """Return the reliability diagram of a split; of a calibrated run also the one without its temperature, first.

    ``rows`` are those of ``predictions.parquet``, whose probabilities are calibrated.
    """
    confidence, correct = rows["confidence"].to_numpy("float64"), _correct(rows)
    temperature = result.get("calibration", {}).get("temperature", 1)
    if temperature == 1:
        return [_reliability("Reliability", confidence, correct)]
    columns = [f"probability:{name}" for name in result["labels"]]
    before = calibrated(rows[columns].to_numpy("float64"), 1 / temperature).max(1)
    return [
        _reliability("Reliability before calibration", before, correct),
        _reliability("Reliability after calibration", confidence, correct),
    ]


def _reliability(title: str, confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Json:
    return {
        "title": title,
        "bins": BINS,
        "error": expected_calibration_error(confidence, correct, BINS),
        "image": draw_reliability(reliability(confidence, correct, BINS)),
    }


def calibration_table(result: Mapping[str, Any]) -> list[Json]:
    """Return a row per split with calibration error and cross entropy without and with the temperature."""
    found = result.get("calibration")
    if found is None:
        return []
    return [
        {
            "split": split,
            **{
                f"{name} {when}": found[when].get(split, {}).get(name) for name in SHOWN for when in ("before", "after")
            },
        }
        for split in found["before"]
    ]


SHOWN = ("ece", "cross_entropy")
"""Metrics in ``calibration`` of ``result.json``."""


def coverage(rows: pd.DataFrame, labels: Sequence[str]) -> Json:
    """Return accuracy by coverage of a model that abstains where its confidence is low: a figure, and some thresholds.

    Thresholds that every confidence reaches, 1/K for K labels, are left out.
    """
    confidence, correct = rows["confidence"].to_numpy("float64"), _correct(rows)
    found = curve(confidence, correct)
    table = []
    for threshold in (value for value in THRESHOLDS if value > 1 / max(len(labels), 1)):
        answered = confidence >= threshold
        count, right = int(answered.sum()), int((answered & correct).sum())
        low, high = wilson(right, count) if count else (None, None)
        share = right / count if count else None
        table.append({
            "threshold": threshold, "answered": count, "coverage": count / len(rows), "accuracy": share, "low": low,
            "high": high,
        })  # fmt: skip
    return {"image": draw_coverage(found.coverage.tolist(), found.accuracy.tolist()), "table": table}


def _correct(rows: pd.DataFrame) -> NDArray[np.bool_]:
    correct: NDArray[np.bool_] = (rows["label"] == rows["predicted"]).to_numpy()
    return correct
