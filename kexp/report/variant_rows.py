"""What variants say to the same rows: accuracy by length of the text, and the rows on which they disagree."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.evaluate.proportions import wilson
from kexp.repeats import repeats_in
from kexp.report.error_analysis import quartiles, whole_texts
from kexp.report.predictions import rows_of
from kexp.report.stored import read_result

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

DISAGREEMENTS = 10
"""Rows on which variants disagree that are shown."""

PROBABILITY = "probability:"
IDENTITY = ("row", "text", "text_pair", "label")


@dataclass(frozen=True, slots=True, eq=False)
class VariantRows:
    """A row per text of a split: the label of the mean of the probabilities of a variant's runs, and its probability.

    ``right`` is the share of the runs that are right. ``runs`` is the number of runs with predictions.
    """

    name: str
    runs: int
    rows: pd.DataFrame

    def identity(self) -> list[str]:
        """Return the columns that make a row the same row in two variants."""
        return [name for name in IDENTITY if name in self.rows]


def variant_rows(folder: Path, summary: Mapping[str, Any], split: str) -> list[VariantRows]:
    """Read the predictions of all finished runs; raises ``KexpError`` for a damaged file.

    Variants without predictions for the split are left out, and those whose rows have no confidence.
    """
    found = []
    for name, variant in summary["variants"].items():
        runs = [
            folder / name / repeat.folder
            for repeat in repeats_in(variant)
            if variant["status"].get(repeat.key) == "done"
        ]
        files = ("result.json", "predictions.parquet")
        frames = [_read(run, split) for run in runs if all((run / file).is_file() for file in files)]
        # Without a confidence a row has not one label out of few, which is right or wrong.
        frames = [frame for frame in frames if "confidence" in frame]
        if frames := [frame for frame in frames if len(frame)]:
            found.append(VariantRows(name, len(frames), _mean(frames)))
    return found


def _read(run: Path, split: str) -> pd.DataFrame:
    result = read_result(run / "result.json")
    path, texts = run / "predictions.parquet", ["text", "label", "predicted"]
    frame = rows_of(path, split, texts, [], optional=["confidence"])
    if "confidence" in frame or "per_class" in result:
        frame = rows_of(path, split, texts, [f"{PROBABILITY}{label}" for label in result["labels"]])
    return frame


def _mean(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several runs with the mean of their probabilities; with folds every run has others."""
    import pandas as pd

    probabilities = [name for name in frames[0] if name.startswith(PROBABILITY)]
    keys = [name for name in IDENTITY if name in frames[0]]
    whole = pd.concat(frames, ignore_index=True)
    whole["right"] = (whole["label"] == whole["predicted"]).astype(float)
    # A row without a second text has a null there.
    means = whole.groupby(keys, sort=False, dropna=False)[[*probabilities, "right"]].mean().reset_index()
    values = means[probabilities].to_numpy()
    names = [name.removeprefix(PROBABILITY) for name in probabilities]
    means["predicted"] = [names[number] for number in values.argmax(1)]
    means["confidence"] = values.max(1)
    return means[[*keys, "predicted", "confidence", "right"]]


def accuracy_by_length(variants: Sequence[VariantRows]) -> Json | None:
    """Return the accuracy of every variant in quarters of the rows by characters; None without rows.

    The groups are those of the first variant's rows. Each cell is the mean over the runs of a variant, with the 95 %
    interval of one run on as many rows; None where a variant has no such row.
    """
    if not variants:
        return None
    lengths = [whole_texts(of.rows).str.len().to_numpy("float64") for of in variants]
    groups = [(lengths[0][members].min(), lengths[0][members].max()) for _, members in quartiles(lengths[0], "{:.0f}")]
    # What is shorter or longer in another variant's rows belongs to the first or the last group.
    edges = [high for _, high in groups[:-1]]
    table = []
    for number, (low, high) in enumerate(groups):
        above, upto = (edges[number - 1] if number else -1.0), (edges[number] if number < len(edges) else float("inf"))
        cells = [_cell(of, (length > above) & (length <= upto)) for of, length in zip(variants, lengths, strict=True)]
        name = f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
        table.append({"name": name, "rows": cells[0]["rows"] if cells[0] else 0, "cells": cells})
    return {"variants": [of.name for of in variants], "groups": table}


def _cell(of: VariantRows, members: Any) -> Json | None:
    rows = int(members.sum())
    if not rows:
        return None
    accuracy = float(of.rows["right"][members].mean())
    low, high = wilson(round(accuracy * rows), rows)
    return {"accuracy": accuracy, "low": low, "high": high, "rows": rows}


def disagreements(variants: Sequence[VariantRows]) -> Json | None:
    """Return the rows to which variants give different labels, those first of which two are most certain.

    None for fewer than two variants. ``rows`` are those that all variants have, ``left_out`` is how many more there
    are, ``count`` on how many they disagree. Each row that is shown has the ``answers`` of all variants, and the
    ``pair`` of variants (their numbers) that are most certain of different labels.
    """
    if len(variants) < 2:
        return None
    joined = variants[0].rows[variants[0].identity()]
    for number, of in enumerate(variants):
        columns = {"predicted": f"predicted {number}", "confidence": f"confidence {number}"}
        shared = [name for name in of.identity() if name in joined]
        joined = joined.merge(of.rows[[*shared, *columns]].rename(columns=columns), on=shared)
    predicted = joined[[f"predicted {number}" for number in range(len(variants))]]
    differ = joined[predicted.nunique(axis=1) > 1]
    shown = [_disagreement(row, [of.name for of in variants]) for row in differ.to_dict("records")]
    shown.sort(key=lambda row: (-row["certainty"], row["row"]))
    return {
        "variants": [of.name for of in variants],
        "rows": len(joined),
        "left_out": len(set(itertools.chain.from_iterable(of.rows["row"] for of in variants))) - len(joined),
        "count": len(differ),
        "shown": shown[:DISAGREEMENTS],
    }


def _disagreement(row: Mapping[str, Any], names: Sequence[str]) -> Json:
    answers = [
        {"variant": name, "predicted": row[f"predicted {number}"], "confidence": row[f"confidence {number}"]}
        for number, name in enumerate(names)
    ]
    pairs = [
        (min(a["confidence"], b["confidence"]), -one, -other)
        for (one, a), (other, b) in itertools.combinations(enumerate(answers), 2)
        if a["predicted"] != b["predicted"]
    ]
    certainty, one, other = max(pairs)
    kept = {name: row[name] for name in IDENTITY if name in row}
    return {**kept, "answers": answers, "certainty": certainty, "pair": (-one, -other)}
