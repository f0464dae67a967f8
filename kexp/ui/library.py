"""The runs folder as the page shows it: runs with results and curves, and studies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.names import is_utf8, shown_path
from kexp.repeats import Repeat, run_files
from kexp.report.stored import read_events, read_result
from kexp.results.runs import UNREADABLE, StudyRow, list_studies, read_spec, spec_of

ALIVE = 600.0
"""Seconds without a new event after which a run without a result counts as interrupted."""

POINTS = 400
"""Points of a curve, at most, that are sent to the page."""


class UnknownRun(KexpError):
    """There is no run or study of this name."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: ``key`` is its folder below the runs folder, with slashes."""

    key: str
    experiment: str
    started: str
    variant: str
    seed: int
    status: str
    step: int
    total_steps: int
    train_seconds: float | None
    metrics: Mapping[str, Mapping[str, float]]
    monitor: str
    reason: str = ""
    """Why the run is unreadable."""
    draw: int | None = None
    fold: int | None = None

    @property
    def repeat(self) -> Repeat:
        """Which of its variant's runs it is."""
        return Repeat(self.seed, self.draw, self.fold)

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Library:
    """Everything below a runs folder. Runs are named by keys below it, never by paths of the client."""

    folder: Path

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        folders = self.folder.glob("*/[!.]*")
        paths = [path.parent for of in folders for path, _, repeat in run_files(of, "metrics.jsonl") if repeat]
        return sorted(map(self._run, paths), key=lambda run: (run.started, run.key), reverse=True)

    def studies(self) -> dict[str, StudyRow]:
        """Return all studies by key, the newest first."""
        return {shown_path(row.folder.relative_to(self.folder).as_posix()): row for row in list_studies(self.folder)}

    def path(self, key: str) -> Path:
        """Return the folder of a run or study; raises ``KexpError`` for any other key."""
        path = self.folder / key
        try:
            if _below(key) and ((path / "metrics.jsonl").is_file() or (path / "study.toml").is_file()):
                return path
        # Too long for a file name, or with a null character.
        except (OSError, ValueError):
            pass
        raise UnknownRun(f"no run or study {shown_path(key)}")

    def result(self, key: str) -> dict[str, Any]:
        """Return ``result.json`` of a run; an empty object while it trains."""
        path = self.path(key) / "result.json"
        result: dict[str, Any] = read_result(path) if path.is_file() else {}
        return result

    def curves(self, key: str) -> dict[str, Any]:
        """Return the events of a run as columns: those of steps and those of evaluations."""
        events = list(read_events(self.path(key) / "metrics.jsonl"))
        steps = _thin([event for event in events if event["event"] == "step"])
        evaluations = [event for event in events if event["event"] == "evaluation"]
        names = dict.fromkeys(name for event in evaluations for name in event["metrics"])
        return {
            "key": key,
            "steps": {name: [event[name] for event in steps] for name in ("epoch", "loss", "learning_rate")},
            "evaluations": {
                "epoch": [event["epoch"] for event in evaluations],
                "train_loss": [event["train_loss"] for event in evaluations],
                **{name: [event["metrics"].get(name) for event in evaluations] for name in names},
            },
        }

    def spec(self, key: str) -> dict[str, Any]:
        """Return the resolved spec of a run, with the changes of its variant."""
        self.path(key)
        experiment, folder, *parts = key.split("/")
        return spec_of(read_spec(self.folder / experiment / folder), parts[0] if parts else "")

    def _run(self, path: Path) -> Run:
        key = path.relative_to(self.folder).as_posix()
        experiment, folder, variant, *parts = shown_path(key).split("/")
        repeat = Repeat.parse("/".join(parts))
        assert repeat is not None
        reason = ""
        try:
            if not is_utf8(key):
                raise KexpError(f"the name of the folder {shown_path(key)} is not UTF-8; rename it")
            # The page polls every few seconds; the result of a finished run is cached.
            result = _result(path / "result.json", (path / "result.json").stat().st_mtime_ns) if _ended(path) else {}
            step, total = (0, 0) if result else _progress(path / "metrics.jsonl")
            status = result.get("status") or _living(path / "metrics.jsonl")
        # A folder may be damaged, or removed at this moment; the others are shown all the same.
        except (KexpError, OSError) as error:
            result, step, total, status, reason = {}, 0, 0, UNREADABLE, str(error)
        return Run(
            shown_path(key),
            experiment,
            folder.partition("-")[0],
            variant,
            repeat.seed,
            status,
            step,
            total,
            result.get("train_seconds"),
            result.get("metrics", {}),
            result.get("monitor", ""),
            reason,
            repeat.draw,
            repeat.fold,
        )


@lru_cache(maxsize=10_000)
def _result(path: Path, written: int) -> dict[str, Any]:
    return read_result(path)


def _ended(path: Path) -> bool:
    return (path / "result.json").is_file()


def _below(key: str) -> bool:
    """Return whether a key names something below the runs folder, without a way out of it."""
    return not any(part in ("", ".", "..") for part in key.split("/")) and "\\" not in key


def _thin(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return events[:: max(1, len(events) // POINTS)]


def _progress(path: Path) -> tuple[int, int]:
    """Return the current step and the number of steps, from the first and the last complete line."""
    events = list(read_events(path))
    total = next((event["total_steps"] for event in events if event["event"] == "started"), 0)
    return (events[-1].get("step", 0) if events else 0), total


def _living(path: Path) -> str:
    return "running" if time.time() - path.stat().st_mtime < ALIVE else "interrupted"
