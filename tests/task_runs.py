"""Small runs of every task on texts whose words say their labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from support import kexp, tiny_spec

WORDS = {"연기": ["배우", "연기"], "음악": ["노래", "음악"], "화면": ["영상", "화면"]}
SCORES = {"최악": 1.0, "별로": 2.0, "무난": 3.0, "좋다": 4.0, "최고": 5.0}


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A finished experiment: its run folder, the table that it was made of, and another one to predict."""

    folder: Path
    table: pd.DataFrame
    other: pd.DataFrame

    @property
    def run(self) -> Path:
        """The folder of the first run."""
        return self.folder / "default" / "seed-1"


SPECS = {
    "multi-label": 'task = {{ use = "multi-label", thresholds = "best-f1" }}',
    "fixed thresholds": 'task = {{ use = "multi-label", threshold = 0.4 }}',
    "regression": 'task = "regression"',
    "bounded regression": 'task = {{ use = "regression", low = 0.5, high = 5.5 }}',
    "ordinal": 'task = {{ use = "ordinal", form = "conditional" }}',
    "cumulative": 'task = {{ use = "ordinal", form = "cumulative" }}',
}
"""By what they are called in tests."""


def train(name: str, folder: Path, *, seeds: int = 1) -> TaskRun:
    """Train a small model of a task below ``folder``."""
    table, other = (_table(name, rows, seed) for rows, seed in ((240, 0), (60, 1)))
    table.to_csv(folder / "rows.csv", index=False)
    text = tiny_spec(f"seeds = {[*range(1, seeds + 1)]}\n{SPECS[name]}", epochs=4, max_length=24, learning_rate=1e-2)
    (folder / "spec.toml").write_text(text.format(data=folder / "rows.csv"), encoding="utf-8")
    result = kexp("run", folder / "spec.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    found = [*(folder / "runs").glob("*/*/default/*/result.json")]
    states = [json.loads(path.read_text("utf-8")) for path in found]
    assert [one["status"] for one in states] == ["done"] * seeds, result.output
    return TaskRun(found[0].parents[2], table, other)


def _table(name: str, rows: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    make = _set_row if name in ("multi-label", "fixed thresholds") else _score_row
    return pd.DataFrame([make(draw, number, "ordinal" in name or name == "cumulative") for number in range(rows)])


def _set_row(draw: np.random.Generator, number: int, whole: bool) -> Mapping[str, str]:
    names = [name for name in WORDS if draw.random() < 0.45]
    words = [WORDS[name][int(draw.integers(2))] for name in names]
    # A few rows say otherwise, so that no model is right in all of them.
    if draw.random() < 0.1:
        names = [name for name in WORDS if name not in names]
    return {"text": f"{number}번째 영화 {' '.join(words)} 정말", "label": "|".join(sorted(names)) or "(none)"}


def _score_row(draw: np.random.Generator, number: int, whole: bool) -> Mapping[str, str]:
    word = list(SCORES)[int(draw.integers(5))]
    score = SCORES[word] + (int(draw.integers(-1, 2)) if draw.random() < 0.2 else 0)
    score = min(max(score, 1), 5) if whole else score + round(float(draw.normal(0, 0.1)), 2)
    return {
        "text": f"{number}번째 영화 {word} 정말",
        "label": f"{score:g}" if whole else repr(min(max(score, 0.6), 5.4)),
    }
