"""What a report tells where a row has a number: predictions beside labels, and how far off they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kexp.report.figures import draw_errors, draw_scatter

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

WORST = 15
"""Rows with the largest errors that are shown."""


def numbers(result: Mapping[str, Any], split: str, rows: pd.DataFrame | None) -> Json | None:
    """Return the figures of a split's numbers, what ``scores`` of the result says, and the rows with large errors.

    ``rows`` are those of ``predictions.parquet``. None where rows have no numbers.
    """
    scores = result.get("scores", {}).get(split)
    if not scores or rows is None or any(rows[name].dtype.kind not in "iuf" for name in ("label", "predicted")):
        return None
    true, predicted = (rows[name].to_numpy("float64") for name in ("label", "predicted"))
    errors = predicted - true
    worst = rows.assign(error=errors, size=abs(errors)).sort_values(["size", "row"], ascending=[False, True])
    return {
        "scatter": draw_scatter(true.tolist(), predicted.tolist()),
        "residuals": draw_errors(errors.tolist()),
        "facts": {name: value for name, value in scores.items() if not isinstance(value, dict)},
        "tables": {name: value for name, value in scores.items() if isinstance(value, dict)},
        "worst": worst.head(WORST).to_dict("records"),
    }
