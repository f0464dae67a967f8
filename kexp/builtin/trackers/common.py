"""What trackers share: names of metrics, the spec as configuration, the results of a run, its id on a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kexp.atomic_files import write_text
from kexp.contracts import RunIdentity
from kexp.redaction import hidden
from kexp.report.run_folder import read_json

Json = Mapping[str, Any]

STEP = ("loss", "learning_rate", "gradient_norm", "examples_per_second", "tokens_per_second", "data_share", "epoch")
LEFT_OUT = ("trackers", "search", "execution")
"""Sections that do not describe the run itself."""


def title(run: RunIdentity) -> str:
    """Name the run among those of its group."""
    return f"{run.variant} {run.repeat.name}"


def measured(event: Json) -> dict[str, float]:
    """Return the metrics of an event by name; most events have none."""
    match event["event"]:
        case "epoch":
            return {"train/trainable_parameters": event["trainable_parameters"]}
        case "step":
            logs = {f"train/{name}": value for name, value in event["logs"].items()}
            # Files of runs that began under an earlier version lack what was added since.
            return {**logs, **{f"train/{name}": event[name] for name in STEP if name in event}}
        case "evaluation":
            return {
                "epoch": event["epoch"],
                "train/mean_loss": event["train_loss"],
                **(_validated(event) if event["metrics"] else {}),
                **{f"pool/{name}": value for name, value in event["pool"].items()},
                **{f"train/{name}": value for name, value in event.get("train_metrics", {}).items()},
                **({"validation/loss": loss} if (loss := event.get("validation_loss")) is not None else {}),
            }
    return {}


def _validated(event: Json) -> dict[str, float]:
    """Return what an evaluation found on validation."""
    found = {"validation/seconds": event["seconds"], "validation/best": float(event["best"])}
    return found | {f"validation/{name}": value for name, value in event["metrics"].items()}


def configuration(run: RunIdentity) -> dict[str, Any]:
    """Return the spec of the run with its variant and repeat; passwords in addresses are masked."""
    spec = {name: value for name, value in run.spec.items() if name not in LEFT_OUT}
    found: dict[str, Any] = hidden({**spec, "group": run.group, "variant": run.variant, **run.repeat.keys()})
    return found


# --- results of a run -----------------------------------------------------------------------------------------------


def result(run: RunIdentity) -> dict[str, Any]:
    """Return the object of ``result.json``, which is written before trackers finish."""
    found: dict[str, Any] = read_json(Path(run.folder) / "result.json")
    return found


def final_metrics(found: Json) -> dict[str, float]:
    """Return the metrics of the kept model as ``final/split/metric``; a run that is not done has none.

    No event has a name that begins with ``final/``, so that nothing logged before or after takes their place.
    """
    splits = found.get("metrics", {})
    return {
        f"final/{split}/{name}": value
        for split, metrics in splits.items()
        for name, value in metrics.items()
        # Numbers that are not finite are null in the file.
        if value is not None
    }


def remember(run: RunIdentity, tracker: str, name: str) -> None:
    """Keep the id that the tracker's server gave the run, in case the run is resumed."""
    write_text(Path(run.folder) / f"{tracker}-id", f"{name}\n")


def remembered(run: RunIdentity, tracker: str) -> str | None:
    """Return the id of a resumed run on the tracker's server; None for a run that starts anew."""
    path = Path(run.folder) / f"{tracker}-id"
    return path.read_text("utf-8").strip() if run.resumed_at is not None and path.is_file() else None
