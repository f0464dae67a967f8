"""The run folders below a runs folder: lists of them, and their runs, of which only changed files are read again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kexp.errors import KexpError
from kexp.names import is_utf8, shown_path
from kexp.repeats import NAMES, Repeat
from kexp.report.run_folder import need_regular
from kexp.report.run_lock import HOLDER, SILENCE
from kexp.report.stored import read_result, read_spec
from kexp.results.runs import UNREADABLE

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
    """The run folders below ``root``; safe to use from threads. A file is read again when its stamp has changed."""

    def __init__(self, root: Path) -> None:
        """Read nothing yet."""
        self.root = root
        self._runs: dict[str, tuple[object, Run]] = {}
        self._specs: dict[Path, tuple[object, dict[str, Any]]] = {}

    def newest_first(self) -> list[Path]:
        """Return the folders that may be run folders: two below the root, the newest first."""
        found = [folder for experiment in _folders(self.root) for folder in _folders(experiment.path)]
        found.sort(key=lambda entry: (entry.name, entry.path), reverse=True)
        return [Path(entry.path) for entry in found]

    def variants(self, folder: Path) -> list[str]:
        """Return the names of the folders in a run folder, which are those of its variants."""
        return [shown_path(entry.name) for entry in _folders(folder)]

    def runs(self, folder: Path) -> list[Run]:
        """Return the runs of a run folder, by variant, draw, fold and seed; none if it is no run folder, or gone."""
        # A process that has died leaves its name behind.
        holder = _stamp(folder / HOLDER)
        dead = holder is not None and time.time() - holder[0] / 1e9 > SILENCE
        return [run for place in places(folder) if (run := self._run(folder, *place, dead=dead)) is not None]

    def spec(self, folder: Path) -> dict[str, Any]:
        """Return ``spec.toml`` of a run folder; raises ``KexpError`` if it cannot be read."""
        path = folder / "spec.toml"
        stamp = _stamp(path)
        known = self._specs.get(path)
        if known is None or stamp is None or known[0] != stamp:
            need_regular(path)
            known = (stamp, read_spec(path))
            self._specs[path] = known
        return known[1]

    def _run(self, folder: Path, path: str, variant: str, repeat: Repeat, *, dead: bool) -> Run | None:
        """Return a run from the files that have changed; None where it is gone."""
        events, result = _stamp(f"{path}/metrics.jsonl"), _stamp(f"{path}/result.json")
        if events is None:
            return None
        alive = result is None and not dead and time.time() - events[0] / 1e9 < ALIVE
        has_model = Path(path, "model").is_dir()
        stamp = (result, events if result is None else None, alive, has_model)
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
            if _stamp(f"{path}/result.json"):
                result = read_result(Path(path, "result.json"))
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


def places(folder: Path) -> Iterator[tuple[str, str, Repeat]]:
    """Yield the path, the variant and the repeat of every folder of a run in a run folder, in their order."""
    for variant in sorted(_folders(folder), key=lambda entry: entry.name):
        found = [(repeat, path) for name, path in _below(variant.path) if (repeat := Repeat.parse(name)) is not None]
        for repeat, path in sorted(found, key=lambda one: (one[0].draw or 0, one[0].fold or 0, one[0].seed)):
            yield path, variant.name, repeat


def _below(path: str, levels: int = len(NAMES)) -> Iterator[tuple[str, str]]:
    """Yield the folders of runs below that of a variant or a draw or fold: their names below it, and their paths."""
    for entry in _folders(path) if levels else ():
        if entry.name.startswith("seed-"):
            yield entry.name, entry.path
        elif entry.name.startswith(("draw-", "fold-")):
            yield from ((f"{entry.name}/{name}", path) for name, path in _below(entry.path, levels - 1))


def _folders(path: Path | str) -> list[os.DirEntry[str]]:
    """Return the folders in a folder that are not hidden; none if it is gone."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    # A link to itself.
    except OSError:
        return False


def _stamp(path: Path | str) -> tuple[int, int] | None:
    """Return what changes with a file: the time of its last change and its size; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


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
