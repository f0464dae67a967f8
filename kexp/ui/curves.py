"""The curves of a run, read from ``metrics.jsonl`` as it grows: each event once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.report.run_folder import need_regular
from kexp.report.stored import parse_events

Json = dict[str, Any]

POINTS = 400
"""Points of a curve, at most, of those that are there at first."""

KEPT = 64
"""Bytes before the place at which reading goes on: if they have changed, the file is another one."""


@dataclass(slots=True)
class CurveReader:
    """Reads the events that were not read before. A run that is resumed cuts its file, which is then read anew."""

    path: Path
    offset: int = 0
    before: bytes = b""

    def new(self) -> Json | None:
        """Return the new events as columns, with ``reset`` where they replace the earlier ones; None if there are none.

        Raises ``KexpError`` for a damaged file, ``OSError`` where it is gone.
        """
        need_regular(self.path)
        with self.path.open("rb") as file:
            file.seek(max(0, self.offset - KEPT))
            if file.read(min(KEPT, self.offset)) != self.before:
                self.offset, self.before = 0, b""
                file.seek(0)
            content = file.read()
        first, whole = self.offset == 0, content[: content.rfind(b"\n") + 1]
        if not whole:
            return None
        events = list(parse_events(self.path, whole))
        self.offset += len(whole)
        self.before = (self.before + whole)[-KEPT:]
        return {"reset": first, **_columns(events, POINTS if first else None)}


def _columns(events: Sequence[Json], points: int | None) -> Json:
    steps = [event for event in events if event["event"] == "step"]
    if points is not None:
        steps = steps[:: max(1, len(steps) // points)]
    evaluations = [event for event in events if event["event"] == "evaluation"]
    names = dict.fromkeys(name for event in evaluations for name in event["metrics"])
    losses = [event.get("validation_loss") for event in evaluations]
    return {
        "steps": {name: [event[name] for event in steps] for name in ("epoch", "loss", "learning_rate")},
        "evaluations": {
            "epoch": [event["epoch"] for event in evaluations],
            "train_loss": [event["train_loss"] for event in evaluations],
            # The validation loss, which is measured also where it is not among the metrics.
            **({"cross_entropy": losses} if any(loss is not None for loss in losses) else {}),
            **{name: [event["metrics"].get(name) for event in evaluations] for name in names},
        },
    }


@dataclass(slots=True)
class LogReader:
    """Reads what was appended to a log; at first its end."""

    path: Path
    offset: int | None = None

    def new(self, most: int = 65_536) -> Json | None:
        """Return the new whole lines, with ``reset`` where they replace the earlier ones; None if there are none."""
        if not self.path.is_file():
            return None
        size = self.path.stat().st_size
        first = self.offset is None or size < self.offset
        start = max(0, size - most) if self.offset is None or first else self.offset
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read(max(0, size - start))
        whole = content[: content.rfind(b"\n") + 1]
        self.offset = start + len(whole)
        return {"reset": first, "text": whole.decode("utf-8", "replace")} if whole else None
