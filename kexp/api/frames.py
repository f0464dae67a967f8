"""Tables of results as those of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kexp.report.export import cells, head
from kexp.report.summary import over

if TYPE_CHECKING:
    import pandas as pd

Json = Mapping[str, Any]

TEST = (
    "a", "b", "metric", "difference", "low", "high", "p_value", "p_holm", "effect_size", "n", "over", "better",
    "sentence",
)  # fmt: skip
"""Columns of the table of tests."""


def frame(rows: Iterable[Json], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table of some rows; without rows it has the columns all the same."""
    import pandas as pd

    found = pd.DataFrame(list(rows))
    return found if len(found.columns) else pd.DataFrame(columns=list(columns))


def table_frame(table: Json, split: str) -> pd.DataFrame:
    """Return the table of ``results_table`` as one of pandas, a row per variant and then per baseline.

    A metric is the mean over the runs; ``METRIC_sd`` is its standard deviation, ``METRIC_low`` and ``METRIC_high`` are
    its interval, where there is one. ``runs`` says over what the means are.
    """
    rows = []
    for row in table["rows"]:
        found: dict[str, Any] = {"model": row["name"], "baseline": bool(row["baseline_of"]), "split": split}
        found["runs"] = "" if row["baseline_of"] else next(map(over, row["cells"].values()), "")
        for metric in table["metrics"]:
            cell = row["cells"].get(metric, {})
            found[metric] = cell.get("mean")
            for part in ("sd", "low", "high"):
                if any(other["cells"].get(metric, {}).get(part) is not None for other in table["rows"]):
                    found[f"{metric}_{part}"] = cell.get(part)
        rows.append(found)
    return frame(rows, ["model", "baseline", "split", "runs", *table["metrics"]])


def shown_frame(table: Json, models: int) -> pd.DataFrame:
    """Return the table of ``results_table`` as people read it: mean ± standard deviation and what varied, as texts."""
    rows = []
    for row in table["rows"]:
        texts = [text for text, _ in cells(table, row)]
        rows.append({"model": head(row, models), **dict(zip(table["metrics"], texts, strict=True))})
    return frame(rows, ["model", *table["metrics"]])


def tests_frame(tests: Sequence[Json]) -> pd.DataFrame:
    """Return statements on pairs of models as a table, those that are made first."""
    ordered = sorted(tests, key=lambda test: not test.get("stated"))
    return frame(({name: test.get(name) for name in TEST} for test in ordered), TEST)


def epochs_frame(runs: Iterable[tuple[Json, Sequence[Json]]]) -> pd.DataFrame:
    """Return what was measured at every evaluation; ``runs`` are pairs of a run's keys and its evaluations."""
    kept = ("epoch", "step", "train_loss", "validation_loss")
    rows = [
        {
            **keys,
            **{name: row[name] for name in kept},
            **{f"train_{name}": value for name, value in row["train"].items()},
            **row["validation"],
            "best": row["best"],
        }
        for keys, rows in runs
        for row in rows
    ]
    return frame(rows, ["variant", "seed", *kept, "best"])
