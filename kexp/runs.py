"""The run folders that exist, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.report.folder import read_json


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run folder. ``test`` maps variants to mean test metrics; the status is "unfinished" without a summary."""

    folder: Path
    experiment: str
    started: str
    status: str
    test: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {
            "folder": str(self.folder),
            "experiment": self.experiment,
            "started": self.started,
            "status": self.status,
            "test": self.test,
        }


def list_runs(runs_dir: Path) -> list[RunRow]:
    """Return every run folder below ``runs_dir``, newest first."""
    if not runs_dir.is_dir():
        return []
    return sorted(_rows(runs_dir), key=lambda row: row.folder.name, reverse=True)


def _rows(runs_dir: Path) -> Iterator[RunRow]:
    for spec in runs_dir.glob("*/*/spec.toml"):
        folder = spec.parent
        try:
            summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else {}
        except KexpError:
            summary = {"status": "unreadable"}
        yield RunRow(
            folder,
            folder.parent.name,
            folder.name.partition("-")[0],
            summary.get("status", "unfinished"),
            {name: _means(variant) for name, variant in summary.get("variants", {}).items()},
        )


def _means(variant: dict[str, Any]) -> dict[str, float]:
    return {metric: found["mean"] for metric, found in variant.get("metrics", {}).get("test", {}).items()}
