"""What a report tells where a row has a set of labels: scores of each label, and which labels stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kexp.report.figures import Line, draw_by_threshold

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

SHOWN = 40
"""Labels whose pairs are shown as a table; of more, the most frequent pairs alone."""
PAIRS = 20
THRESHOLDS = [number / 50 for number in range(1, 50)]
"""Thresholds, the same for all labels, of which F1 is drawn."""


def labels_alone(result: Mapping[str, Any], split: str, rows: pd.DataFrame | None) -> Json | None:
    """Return the scores of every label of a split, the pairs that stand together, and F1 by threshold.

    ``rows`` are those of ``predictions.parquet``; without them no threshold is drawn. None where rows have no sets.
    """
    table = result.get("per_label", {}).get(split)
    if not table:
        return None
    names, counts = [row["label"] for row in table], result.get("co_occurrence", {}).get(split, [])
    whole = [len(names), *map(len, counts)] == [len(names)] * (len(names) + 1) and len(counts) == len(names)
    return {
        "table": table,
        "together": counts if whole and len(names) <= SHOWN else [],
        "pairs": _pairs(names, counts) if whole and len(names) > SHOWN else [],
        "names": names,
        "thresholds": None if rows is None else _by_threshold(rows, names),
    }


def _pairs(names: Sequence[str], counts: Sequence[Sequence[int]]) -> list[tuple[str, str, int]]:
    """Return the most frequent pairs of labels with the number of rows that have both."""
    found = [
        (names[one], names[other], counts[one][other])
        for one in range(len(names))
        for other in range(one + 1, len(names))
        if counts[one][other]
    ]
    return sorted(found, key=lambda pair: (-pair[2], pair[:2]))[:PAIRS]


def _by_threshold(rows: pd.DataFrame, names: Sequence[str]) -> Json | None:
    """Draw micro and macro F1 by a threshold that is the same for all labels; None where columns are missing."""
    import numpy as np

    columns = [f"probability:{name}" for name in names]
    if any(column not in rows for column in columns):
        return None
    from kexp.files.label_sets import names_of

    sets = [set(names_of(label)) for label in rows["label"]]
    true = np.array([[name in of for name in names] for of in sets])
    probabilities = rows[columns].to_numpy("float64")
    micro, macro = [], []
    for threshold in THRESHOLDS:
        decided = probabilities >= threshold
        both, either = (true & decided).sum(0), true.sum(0) + decided.sum(0)
        micro.append(float(2 * both.sum() / max(either.sum(), 1)))
        macro.append(float((2 * both / np.maximum(either, 1)).mean()))
    lines = [Line("micro F1", micro, 0), Line("macro F1", macro, 1)]
    return {"image": draw_by_threshold(THRESHOLDS, lines), "lines": lines}
