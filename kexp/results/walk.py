"""The run folders below a runs folder and the runs in them, by the names of folders alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kexp.repeats import Repeat

BELOW = {"": ("draw-", "fold-", "seed-"), "draw-": ("fold-", "seed-"), "fold-": ("seed-",)}
"""Beginnings of the names of folders that may stand below one with such a name; below a variant's at first."""


def run_folders(root: Path) -> list[os.DirEntry[str]]:
    """Return the folders that may be run folders or studies: two below the root, the newest first."""
    found = [folder for experiment in folders_in(root) for folder in folders_in(experiment.path)]
    found.sort(key=lambda entry: (entry.name, entry.path), reverse=True)
    return found


def runs_in(folder: Path | str) -> Iterator[tuple[str, str, Repeat | None]]:
    """Yield the path, the variant and the repeat of every folder of a run, by variant, draw, fold and seed.

    The repeat of a folder that is named otherwise is None.
    """
    for variant in sorted(folders_in(folder), key=lambda entry: entry.name):
        found = [(Repeat.parse(name), path) for name, path in _below(variant.path)]
        for repeat, path in sorted(found, key=_order):
            yield path, variant.name, repeat


def folders_in(path: Path | str) -> list[os.DirEntry[str]]:
    """Return the folders in a folder that are not hidden; none if it is gone."""
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    except OSError:
        return []


def state_of(path: str) -> os.stat_result | None:
    """Return what the file system says of a file; None if there is none."""
    try:
        return os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None


def stamp_of(path: str) -> str | None:
    """Return a text that changes with a file: "" of what is no regular file, None if there is none."""
    found = state_of(path)
    if found is None:
        return None
    # A file that takes the place of another has another number, whatever the resolution of times.
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}" if stat.S_ISREG(found.st_mode) else ""


def _below(path: str, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the folders of runs below that of a variant or a draw or fold: their names below it, and their paths."""
    for entry in folders_in(path):
        kind = next((kind for kind in BELOW[above] if entry.name.startswith(kind)), None)
        if kind == "seed-":
            yield entry.name, entry.path
        elif kind is not None:
            yield from ((f"{entry.name}/{name}", below) for name, below in _below(entry.path, kind))


def _order(found: tuple[Repeat | None, str]) -> tuple[int, int, int, str]:
    repeat, path = found
    return (0, 0, -1, path) if repeat is None else (repeat.draw or 0, repeat.fold or 0, repeat.seed, path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    # A link to itself.
    except OSError:
        return False
