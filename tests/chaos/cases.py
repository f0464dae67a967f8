"""The experiments that faults are done to, and what has to be equal whatever was done to one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import tiny_spec

OFTEN = {"checkpoint_every_steps": 3, "log_every": 2}
FEW = "[evaluation]\nbaselines = ['majority']\n"
UDA = """
[labelled]
per_class = 12
[objective]
use = "uda"
confidence = 0.4
[augmentation.unlabelled]
use = "random-deletion"
p = 0.3
"""
SPECS = {
    "supervised": tiny_spec(tables=FEW, epochs=4, **OFTEN),
    "uda": tiny_spec(tables=FEW + UDA, epochs=None, steps=40, evaluate_every=10, unlabelled_ratio=2, **OFTEN),
    "gradual": tiny_spec(tables=FEW + '[freezing]\nuse = "gradual"\n', layers=2, epochs=4, keep=2, **OFTEN),
    "variants": tiny_spec(
        "seeds = [1, 2]",
        FEW + '[variants.plain]\n[variants.focal]\nobjective.use = "focal"\n',
        epochs=2,
        evaluate_every=5,
        **OFTEN,
    ),
    "stored": tiny_spec(
        tables=FEW + UDA + '[variants.labels]\nobjective = "cross-entropy"\n[variants.uda]\n',
        epochs=None,
        steps=20,
        evaluate_every=6,
        **OFTEN,
    ),
    "study": tiny_spec("seeds = [1]", FEW, epochs=2, **OFTEN)
    + """
[search]
trials = 5
pruner = {{use = "median", startup_trials = 2}}
sampler = {{use = "tpe", startup_trials = 2}}
[search.space]
"training.learning_rate" = {{low = 1e-4, high = 2e-2, log = true}}
"training.batch_size" = {{choices = [8, 16, 32]}}
""",
}

TIMES = {
    "seconds", "train_seconds", "examples_per_second", "tokens_per_second", "data_share", "time_shares",
    "peak_memory_mib", "folder", "started", "checksum", "rows_known",
}  # fmt: skip
"""Keys of what may differ between equal runs."""

ABOUT_RESUMING = ("training goes on from step", "is taken over from", "metrics.jsonl lacks")


def without_times(value: Any) -> Any:
    """Return JSON without times and speeds."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def results_of(folder: Path) -> dict[str, Any]:
    """Return everything by file of an experiment that has to be equal: bytes, and JSON without times.

    Remarks of runs are left out, since those of a resumed run say from what it went on.
    """
    summary = _json(folder / "summary.json")
    for variant in summary["variants"].values():
        variant["remarks"] = []
    found: dict[str, Any] = {"summary.json": summary}
    for path in sorted(folder.glob("*/seed-*")):
        name = path.relative_to(folder).as_posix()
        for file in sorted(path.glob("model*/*")):
            found[f"{name}/{file.relative_to(path).as_posix()}"] = file.read_bytes()
        found[f"{name}/predictions.parquet"] = (path / "predictions.parquet").read_bytes()
        found[f"{name}/result.json"] = {**_json(path / "result.json"), "remarks": []}
        found[f"{name}/metrics.jsonl"] = list(_events(path / "metrics.jsonl"))
    return found


def study_results(folder: Path) -> dict[str, Any]:
    """Return what has to be equal of a study: its trials in their order with their values, and the best spec."""
    import pandas as pd

    trials = pd.read_csv(folder / "trials.csv", keep_default_na=False, dtype=str)
    same = [name for name in trials.columns if name not in ("train_seconds", "folder", "attempts")]
    final = Path(_json(folder / "study.json", whole=True)["final"])
    return {
        "trials.csv": trials[same].to_dict("records"),
        "best.toml": (folder / "best.toml").read_bytes(),
        **results_of(final),
    }


def different(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return the names of what is not equal."""
    return [name for name in {**expected, **found} if expected.get(name) != found.get(name)]


def _json(path: Path, *, whole: bool = False) -> Any:
    found = json.loads(path.read_text("utf-8"))
    return found if whole else without_times(found)


def _events(path: Path) -> Iterator[Any]:
    for line in path.read_text("utf-8").splitlines():
        event = without_times(json.loads(line))
        # Where a process began, and what it said of the one before.
        if event["event"] != "started" and not any(text in str(event.get("message")) for text in ABOUT_RESUMING):
            yield event
