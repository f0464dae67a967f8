"""What trackers share: names of what is measured, the spec as their configuration, and what a run left."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kexp.contracts import RunIdentity
from kexp.errors import Problem
from kexp.redaction import without_passwords
from kexp.report.folder import read_json, write_text

Json = Mapping[str, Any]

STEP = ("loss", "learning_rate", "gradient_norm", "examples_per_second", "tokens_per_second", "epoch")
NOT_THE_RUNS = ("trackers", "search")
"""Sections that say who watches and what a search tries; neither describes the run."""


def missing(package: str, install: str) -> Iterator[Problem]:
    """Yield a package that is not installed, without importing it."""
    found = importlib.util.find_spec(package)
    # A folder of that name in the working folder is no package: W&B and MLflow leave such folders.
    if found is None or found.origin is None:
        yield Problem("", f"needs the package {package}", f"pip install '{install}'")


def title(run: RunIdentity) -> str:
    """Name the run among those of its group."""
    return f"{run.variant} seed {run.seed}"


def measured(event: Json) -> dict[str, float]:
    """Return the numbers of an event by name; most events have none."""
    match event["event"]:
        case "epoch":
            return {"train/trainable_parameters": event["trainable_parameters"]}
        case "step":
            logs = {f"train/{name}": value for name, value in event["logs"].items()}
            return {**logs, **{f"train/{name}": event[name] for name in STEP}}
        case "evaluation":
            return {
                "epoch": event["epoch"],
                "train/mean_loss": event["train_loss"],
                "validation/seconds": event["seconds"],
                "validation/best": float(event["best"]),
                **{f"validation/{name}": value for name, value in event["metrics"].items()},
                **{f"pool/{name}": value for name, value in event["pool"].items()},
            }
    return {}


def configuration(run: RunIdentity) -> dict[str, Any]:
    """Return what the run is: the spec, its variant and seed; no password of an address leaves the machine."""
    spec = {name: value for name, value in run.spec.items() if name not in NOT_THE_RUNS}
    found: dict[str, Any] = _masked({**spec, "group": run.group, "variant": run.variant, "seed": run.seed})
    return found


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return without_passwords(value) if isinstance(value, str) else value


# --- what a run left ------------------------------------------------------------------------------------------------


def result(run: RunIdentity) -> dict[str, Any]:
    """Return the object of ``result.json``, which stands there when a tracker is to finish."""
    found: dict[str, Any] = read_json(Path(run.folder) / "result.json")
    return found


def final_metrics(found: Json) -> dict[str, float]:
    """Return the metrics of the model that was kept, as ``split/metric``; none of a run that is not done."""
    splits = found.get("metrics", {})
    return {
        f"{split}/{name}": value
        for split, metrics in splits.items()
        for name, value in metrics.items()
        # What is not finite is null in files.
        if value is not None
    }


def remember(run: RunIdentity, tracker: str, name: str) -> None:
    """Keep the name that a server gave the run, for when the run is resumed."""
    write_text(Path(run.folder) / f"{tracker}-id", f"{name}\n")


def remembered(run: RunIdentity, tracker: str) -> str | None:
    """Return the server's name of a run that is resumed; a run that starts over is a new one there too."""
    path = Path(run.folder) / f"{tracker}-id"
    return path.read_text("utf-8").strip() if run.resumed_at is not None and path.is_file() else None
