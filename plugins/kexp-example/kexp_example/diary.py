"""Observer: a diary in the folder of every run, with the time at which each thing happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kexp
from kexp.contracts import RunIdentity

DIARY = "diary.jsonl"


@kexp.hookimpl
def kexp_run_started(run: RunIdentity) -> None:
    """Write that training begins, or at which step it is resumed."""
    _write(run, "started", resumed_at=run.resumed_at)


@kexp.hookimpl
def kexp_epoch_ended(run: RunIdentity, epoch: int, metrics: Mapping[str, float]) -> None:
    """Write the last validation metrics of an epoch."""
    _write(run, "epoch", epoch=epoch, metrics=dict(metrics))


@kexp.hookimpl
def kexp_run_ended(run: RunIdentity, result: Mapping[str, Any]) -> None:
    """Write whether the run was done, interrupted or pruned."""
    _write(run, result["status"])


@kexp.hookimpl
def kexp_run_failed(run: RunIdentity, reason: str) -> None:
    """Write why the run failed."""
    _write(run, "failed", reason=reason)


def _write(run: RunIdentity, what: str, **more: object) -> None:
    entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "what": what, **more}
    # Opened anew each time: what was written stays, whatever becomes of the run.
    with (Path(run.folder) / DIARY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
