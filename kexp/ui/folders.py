"""The run folders below a runs folder: lists of them, and their runs, of which only changed files are read again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.names import is_utf8, shown_path
from kexp.repeats import Repeat
from kexp.report.run_folder import need_regular
from kexp.report.run_lock import HOLDER, SILENCE
from kexp.report.stored import read_spec
from kexp.results.file_index import FileIndex
from kexp.results.runs import LISTED, UNREADABLE, result_in_short
from kexp.results.walk import folders_in, run_folders, runs_in, stamp_of, state_of
from kexp.settings import cache_folder

SPECS = "specs"
"""Name of the index of the specs of run folders."""

ALIVE = 600.0
"""Seconds without a new event after which a run without a result counts as interrupted."""

TAIL = 65_536
"""Bytes at the end of ``metrics.jsonl`` in which the last event is looked for."""


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
    """Why the run is unreadable, or has failed."""
    draw: int | None = None
    fold: int | None = None
    has_model: bool = False

    @property
    def repeat(self) -> Repeat:
        """Which of its variant's runs it is."""
        return Repeat(self.seed, self.draw, self.fold)

    def as_dict(self) -> dict[str, Any]:
        """Return the run as plain data."""
        return asdict(self)


class Folders:
    """The run folders below ``root``; safe to use from threads. A file is read again when its stamp has changed.

    ``stored`` keeps what was read for the next process.
    """

    def __init__(self, root: Path, *, stored: bool = False) -> None:
        """Read nothing yet but what processes before have kept."""
        self.root = root
        folder = cache_folder() if stored else None
        self._runs: dict[str, tuple[object, Run]] = {}
        self._results, self._specs = (FileIndex(root, kind, folder) for kind in (LISTED, SPECS))

    def newest_first(self) -> list[Path]:
        """Return the folders that may be run folders: two below the root, the newest first."""
        return [Path(entry.path) for entry in run_folders(self.root)]

    def save(self) -> None:
        """Keep what was read, from time to time."""
        if self._results.due or self._specs.due:
            folders = [entry.path for entry in run_folders(self.root)]
            self._results.save(folders)
            self._specs.save(folders)

    def variants(self, folder: Path) -> list[str]:
        """Return the names of the folders in a run folder, which are those of its variants."""
        return [shown_path(entry.name) for entry in folders_in(folder)]

    def runs(self, folder: Path) -> list[Run]:
        """Return the runs of a run folder, by variant, draw, fold and seed; none if it is no run folder, or gone."""
        # A process that has died leaves its name behind.
        holder = state_of(f"{folder}/{HOLDER}")
        dead = holder is not None and time.time() - holder.st_mtime > SILENCE
        return [
            run
            for path, variant, repeat in runs_in(folder)
            if repeat is not None and (run := self._run(folder, path, variant, repeat, dead=dead)) is not None
        ]

    def spec(self, folder: Path) -> dict[str, Any]:
        """Return ``spec.toml`` of a run folder; raises ``KexpError`` if it cannot be read."""
        path = f"{folder}/spec.toml"
        found: dict[str, Any] = self._specs.get(path, stamp_of(path) or "", _spec)
        return found

    def _run(self, folder: Path, path: str, variant: str, repeat: Repeat, *, dead: bool) -> Run | None:
        """Return a run from the files that have changed; None where it is gone."""
        events, result = state_of(f"{path}/metrics.jsonl"), stamp_of(f"{path}/result.json")
        if events is None:
            return None
        alive = result is None and not dead and time.time() - events.st_mtime < ALIVE
        has_model = os.path.isdir(f"{path}/model")  # noqa: PTH112
        stamp = (result, (events.st_mtime_ns, events.st_size) if result is None else None, alive, has_model)
        known = self._runs.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, self._read(folder, path, variant, repeat, alive=alive, has_model=has_model))
            self._runs[path] = known
        return known[1]

    def _read(self, folder: Path, path: str, variant: str, repeat: Repeat, *, alive: bool, has_model: bool) -> Run:
        key = Path(path).relative_to(self.root).as_posix()
        result, progress, reason = dict[str, Any](), (0, 0), ""
        try:
            if not is_utf8(key):
                raise KexpError(f"the name of the folder {shown_path(key)} is not UTF-8; rename it")
            if (stamp := stamp_of(f"{path}/result.json")) is not None:
                result = self._results.get(f"{path}/result.json", stamp, result_in_short)
            else:
                progress = _progress(Path(path, "metrics.jsonl"))
            status = result.get("status") or ("running" if alive else "interrupted")
            reason = result.get("reason") or ""
        # A folder may be damaged, or removed at this moment; the others are shown all the same.
        except (KexpError, OSError) as error:
            result, status, reason = {}, UNREADABLE, str(error)
        return Run(
            shown_path(key),
            shown_path(folder.parent.name),
            shown_path(folder.name.partition("-")[0]),
            shown_path(variant),
            repeat.seed,
            status,
            *progress,
            result.get("train_seconds"),
            result.get("metrics", {}),
            result.get("monitor", ""),
            reason,
            repeat.draw,
            repeat.fold,
            has_model,
        )


def _spec(path: Path) -> dict[str, Any]:
    need_regular(path)
    return read_spec(path)


def _progress(path: Path) -> tuple[int, int]:
    """Return the current step and the number of steps, from the beginning and the end of ``metrics.jsonl``."""
    need_regular(path)
    with path.open("rb") as file:
        first = file.readline(TAIL)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        lines = file.read(TAIL).split(b"\n")
    # What follows the last line's end is being written.
    last = lines[-2] if len(lines) > 1 else b"{}"
    try:
        total, step = json.loads(first if first.endswith(b"\n") else b"{}"), json.loads(last)
        return int(step.get("step", 0)), int(total.get("total_steps", 0))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise KexpError(f"{path}: cannot be read: {error}") from None
