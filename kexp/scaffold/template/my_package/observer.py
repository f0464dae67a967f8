"""An observer: functions that are called when something happens to a run. Other hooks are kexp_run_started, kexp_epoch_ended, kexp_run_failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kexp
from kexp.contracts import RunIdentity

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""

HISTORY = "history.jsonl"


@kexp.hookimpl
def kexp_run_ended(run: RunIdentity, result: Mapping[str, Any]) -> None:
    """Add a line to a file in the working folder for every run that ended, with what it measured."""
    line = {
        "experiment": run.experiment,
        "variant": run.variant,
        "seed": run.seed,
        "status": result["status"],
        # A run that was interrupted, and a trial of a search, has no test metrics.
        "test": result.get("metrics", {}).get("test", {}),
    }
    with Path(HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
