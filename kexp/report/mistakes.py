"""The wrong predictions of a run of which its model was most certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MISTAKES = 15
"""Mistakes that are shown of a run."""


def worst_mistakes(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the wrong ones of some rows of ``predictions.parquet``, the most confident first."""
    wrong = rows[rows["label"] != rows["predicted"]]
    worst = wrong.sort_values(["confidence", "row"], ascending=[False, True]).head(MISTAKES)
    found: list[dict[str, Any]] = worst.to_dict("records")
    return found


def mistakes(rows: pd.DataFrame | None) -> dict[str, Any]:
    """Return the worst mistakes of a split, and how many rows and mistakes there are."""
    if rows is None:
        return {"rows": 0, "count": 0, "worst": []}
    return {"rows": len(rows), "count": int((rows["label"] != rows["predicted"]).sum()), "worst": worst_mistakes(rows)}
