"""Removing run folders, but nothing reached through a link and no run that may be in progress."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kexp.errors import KexpError
from kexp.repeats import run_files
from kexp.report.run_lock import user_of
from kexp.results.runs import STAMP, UNREADABLE, RunRow, chosen, list_runs, list_studies, read_row, read_spec

OWN = ("spec.toml", "environment.json")
"""Files that every run folder has from its start; they are removed last."""

BUSY = 6 * 3600
"""Seconds after its last write in which a run folder without a newer summary counts as a run in progress."""

UNITS = {"h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


@dataclass(frozen=True, slots=True)
class PruneFilter:
    """Selects folders with a status and older than some seconds, without the newest ``keep`` of every experiment."""

    status: str | None = None
    keep: int | None = None
    older_than: float | None = None

    def __bool__(self) -> bool:
        return self != PruneFilter()


@dataclass(frozen=True, slots=True)
class Removal:
    """A run folder that would be removed, with its size in bytes."""

    row: RunRow
    size: int


def seconds_of_age(text: str) -> int:
    """Return the seconds of an age such as 30d, 12h or 4w; raises ``KexpError`` for anything else."""
    found = re.fullmatch(r"(\d+)([hdw])", text)
    if not found or not int(found[1]):
        raise KexpError(f"--older-than {text}: expected an age such as 30d, 12h or 4w")
    return int(found[1]) * UNITS[found[2]]


def plan(runs_dir: Path, named: Sequence[Path], selection: PruneFilter) -> tuple[list[Removal], list[str]]:
    """Return what to remove, oldest last, and sentences on selected folders that are kept.

    With ``named`` folders only these are considered, recent ones too. Raises ``KexpError`` for one that is not a run
    folder or that a process is using, and if nothing is selected.
    """
    if not named and not selection:
        raise KexpError("kexp runs prune: select what to remove: --status, --older-than, --keep or folders")
    rows = _named(named) if named else list_runs(runs_dir)
    rows = _selected(rows, selection)
    kept = {} if named else {row.folder: why for row, why in _kept(rows, runs_dir)}
    removals = [Removal(row, size_of(row.folder)) for row in rows if row.folder not in kept]
    return removals, [f"{folder} is kept: {why}" for folder, why in kept.items()]


def remove(folder: Path) -> None:
    """Remove a run folder; links in it are removed, not followed.

    The files that make it a run folder are removed last, so that an interrupted removal can be repeated.
    """
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in OWN:
            entry.unlink()
    shutil.rmtree(folder)


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; a link counts as itself."""
    return sum(path.lstat().st_size for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _named(folders: Sequence[Path]) -> list[RunRow]:
    rows = {}
    for folder in folders:
        if folder.is_symlink():
            raise KexpError(f"{folder} is a link; name the folder itself")
        read_spec(folder)
        if not _is_own(folder):
            raise KexpError(f"{folder} is not a run folder: it has no environment.json")
        if user := user_of(folder):
            raise KexpError(f"{folder} is in use by {user}; wait until it is done, or stop it")
        rows[folder.resolve()] = read_row(folder.resolve())
    return list(rows.values())


def _is_own(folder: Path) -> bool:
    """Return whether kexp made a folder; a spec.toml alone may come from elsewhere."""
    return all((folder / name).is_file() and not (folder / name).is_symlink() for name in OWN)


def _selected(rows: Sequence[RunRow], selection: PruneFilter) -> list[RunRow]:
    """Return the selected rows, without the newest ``keep`` of each experiment."""
    now = time.time()
    rows = chosen(rows, status=selection.status)
    if selection.older_than is not None:
        rows = [row for row in rows if now - _made(row) > selection.older_than]
    found, seen = [], dict.fromkeys((row.experiment for row in rows), 0)
    for row in sorted(rows, key=_made, reverse=True):
        seen[row.experiment] += 1
        if seen[row.experiment] > (selection.keep or 0):
            found.append(row)
    return found


def _made(row: RunRow) -> float:
    """Return when a folder was made: the time in its name, or else when its spec was written."""
    try:
        return datetime.strptime(row.started, STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return (row.folder / "spec.toml").stat().st_mtime


def _kept(rows: Sequence[RunRow], runs_dir: Path) -> Iterator[tuple[RunRow, str]]:
    # Compared by their last parts, since a study's path may be relative to another working folder.
    studies = list_studies(runs_dir)
    finals = {Path(study.final).parts[-2:]: study for study in studies if study.final}
    unreadable = {study.experiment: study.folder.name for study in studies if study.status == UNREADABLE}
    root = runs_dir.resolve()
    for row in rows:
        folder = row.folder.resolve()
        if row.folder.is_symlink() or not folder.is_relative_to(root):
            yield row, "it is reached through a link"
        elif not _is_own(row.folder):
            yield row, "it has no environment.json, so it may not be a run folder"
        elif user := user_of(row.folder):
            yield row, f"it is in use by {user}"
        elif study := finals.get(folder.parts[-2:]):
            yield row, f"study {study.folder.name} tested its best spec there; name it to remove it"
        elif row.experiment in unreadable:
            of = unreadable[row.experiment]
            yield row, f"study {of} cannot be read, and may have tested its best spec there; name it to remove it"
        elif _in_progress(row.folder):
            yield row, "it was written to within the last 6 hours, so its runs may be in progress; name it to remove it"


def _in_progress(folder: Path) -> bool:
    """Return whether a run wrote a file recently and no summary followed; exports are not files of a run."""
    runs = (path for name in ("metrics.jsonl", "log.txt", "result.json") for path, *_ in run_files(folder, name))
    written = [path.lstat().st_mtime for path in (*runs, *folder.glob("*.json"))]
    summary = folder / "summary.json"
    if summary.is_file() and max(written, default=0.0) <= summary.stat().st_mtime:
        return False
    return time.time() - max(written, default=0.0) < BUSY
