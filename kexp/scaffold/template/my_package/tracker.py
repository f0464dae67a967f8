"""A tracker: it logs the events of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kexp
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from pydantic import Field

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""

COLUMNS = ("step", "loss", "learning_rate")


class MyTracker(TrackerOptions):
    """Write the losses of a run to a CSV file in its folder, for spreadsheets."""

    filename: str = Field("losses.csv", pattern=r"^[\w.-]+$", description="Name of the file.")

    def build(self, run: RunIdentity) -> Tracker:
        """Open the file; a resumed run keeps the rows up to its step."""
        return LossTable(Path(run.folder) / self.filename, run.resumed_at)


@kexp.hookimpl
def kexp_trackers() -> Mapping[str, type[TrackerOptions]]:
    """Name the trackers of this package."""
    return {"my-name": MyTracker}


class LossTable:
    """An open CSV file. kexp calls it from one thread, which may wait without slowing training."""

    def __init__(self, path: Path, resumed_at: int | None) -> None:
        kept = list(_read(path, resumed_at)) if resumed_at is not None and path.is_file() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("w", encoding="utf-8", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerows([COLUMNS, *kept])

    def log(self, event: Mapping[str, Any]) -> None:
        """Take an event, an object of ``metrics.jsonl``: here those of training steps."""
        if event["event"] == "step":
            self.rows.writerow([event[column] for column in COLUMNS])
            self.file.flush()

    def finish(self, status: str) -> None:
        """Close the file, whatever end the run took."""
        self.file.close()


def _read(path: Path, last: int) -> Iterator[list[str]]:
    """Yield the rows up to a step: later ones are of steps that a killed process did and a resumed one does again."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from (row for row in list(csv.reader(file))[1:] if int(row[0]) <= last)
