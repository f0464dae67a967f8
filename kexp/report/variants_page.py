"""The part of the report on all variants together: curves, time, accuracy by length, rows on which they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kexp.repeats import repeats_in
from kexp.report.costs import costs
from kexp.report.epochs import epochs
from kexp.report.stored import read_result
from kexp.report.summary import shown_split
from kexp.report.variant_curves import variant_curves
from kexp.report.variant_rows import accuracy_by_length, disagreements, variant_rows
from kexp.report.words import WORDS, Words, asked

Json = dict[str, Any]

SHOWN_TEXT = 200
"""Characters of a text on which variants disagree that are shown."""


def variants_page(folder: Path, summary: Mapping[str, Any]) -> Json:
    """Return the values that the template shows of all variants; raises ``KexpError`` for a file that is damaged."""
    split = shown_split(summary)
    runs: dict[str, list[Path]] = {}
    for name, variant in summary["variants"].items():
        paths = [folder / name / one.folder for one in repeats_in(variant) if variant["status"].get(one.key) == "done"]
        runs[name] = [path for path in paths if (path / "result.json").is_file()]
    results = {name: [read_result(path / "result.json") for path in paths] for name, paths in runs.items()}
    monitors = {result["monitor"] for of in results.values() for result in of if "monitor" in result}
    rows = variant_rows(folder, summary, split)
    differ = disagreements(rows)
    asked_runs = {name: next((path for path in of if (path / WORDS).is_file()), None) for name, of in runs.items()}
    words = {name: Words.of(path, split) for name, path in asked_runs.items() if path is not None}
    if differ is not None:
        differ["shown"] = [{**row, "shaded": _shaded(row, words)} for row in differ["shown"]]
    return {
        "split": split,
        # Curves of several metrics cannot share an axis.
        "curves": variant_curves(monitors.pop(), {name: [*map(epochs, paths)] for name, paths in runs.items()})
        if len(monitors) == 1
        else [],
        "costs": costs(results),
        "lengths": accuracy_by_length(rows),
        "differ": differ,
        "shaded": any(of.rows for of in words.values()),
    }


def _shaded(row: Json, words: Mapping[str, Words]) -> list[tuple[str, Any]]:
    """Return the text of a row as the two variants read it that are most certain of different labels."""
    said = asked(row).items()
    found = [(name, words[name].shaded(row, label, SHOWN_TEXT)) for name, label in said if name in words]
    return [(name, text) for name, text in found if text is not None]
