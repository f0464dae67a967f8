"""What lists of runs need of the files of run folders, kept from one process to the next: only changed ones are read.

A file is known by its path below the runs folder, the time of its last change, its size and its number in the file
system. The index is written whole or not at all: of processes that write it at once, the last one is kept, and what
the others had read is read again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import kexp
from kexp.atomic_files import replacing
from kexp.settings import cache_folder

INDEX = "lists"
"""Kind of cache that the files of indexes are."""

FORMAT = 1
"""Raised whenever what is kept of a file changes."""

PAUSE = 30.0
"""Seconds between two times at which a process that goes on writes what it has read."""


class FileIndex:
    """What was read of files below ``root``; safe to use from threads.

    ``kind`` names what is kept of them: values of JSON. Without a folder for it, ``file`` is None and it is in memory.
    """

    def __init__(self, root: Path, kind: str, folder: Path | None) -> None:
        """Read what processes before have kept; an index that is damaged or of another version is as good as none."""
        self.root = f"{root}/"
        self.file = None
        if folder is not None:
            name = hashlib.blake2b(str(root.resolve()).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
            self.file = folder / INDEX / f"{kind}-{name}.json"
        self._known: dict[str, list[Any]] = _read(self.file)
        self._changed = False
        self._written = -PAUSE

    @classmethod
    def stored(cls, root: Path, kind: str) -> FileIndex:
        """Return the index of a runs folder in kexp's cache folder."""
        return cls(root, kind, cache_folder())

    def get(self, path: str, stamp: str, read: Callable[[Path], Any]) -> Any:
        """Return what ``read`` returned of the file when it had this stamp; read it if that is not known.

        The ``stamp`` is from before; that of no regular file is empty. What ``read`` raises is not kept.
        """
        key = path.removeprefix(self.root)
        known = self._known.get(key)
        if known is not None and stamp and known[0] == stamp:
            return known[1]
        value = read(Path(path))
        if stamp:
            self._known[key] = [stamp, value]
            self._changed = True
        return value

    @property
    def due(self) -> bool:
        """Whether there is something to write, and it is time."""
        return self.file is not None and self._changed and time.monotonic() - self._written >= PAUSE

    def save(self, folders: Collection[str]) -> None:
        """Write what is known of run folders that are still there, by their paths, if it has changed.

        A folder that cannot be written costs time alone: files are read again.
        """
        if self.file is None or not self.due:
            return
        self._changed, self._written = False, time.monotonic()
        there = {folder.removeprefix(self.root) for folder in folders}
        known = {key: value for key, value in [*self._known.items()] if "/".join(key.split("/", 2)[:2]) in there}
        body = _dumped(known)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as part:
                # Specs of earlier versions may hold passwords.
                part.touch(0o600)
                part.write_bytes(_header(body) + b"\n" + body)
        except OSError:
            pass


def _read(file: Path | None) -> dict[str, list[Any]]:
    if file is None:
        return {}
    try:
        header, _, body = file.read_bytes().partition(b"\n")
        return json.loads(body) if header == _header(body) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _header(body: bytes) -> bytes:
    return f"kexp {kexp.__version__} {FORMAT} {hashlib.blake2b(body, digest_size=16).hexdigest()}".encode()


def _dumped(known: dict[str, list[Any]]) -> bytes:
    """Return JSON of what is known; a date in a spec has none, and that spec is read again."""
    lines = []
    for key, value in known.items():
        try:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
        except (TypeError, ValueError, RecursionError):
            continue
    return ("{" + ",\n".join(lines) + "}").encode()
