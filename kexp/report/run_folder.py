"""The run folder and its files, which are written whole or not at all."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kexp.atomic_files import write_text
from kexp.errors import KexpError
from kexp.redaction import hidden
from kexp.repeats import Repeat


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``runs/<experiment>/<UTC timestamp>-<hash>/``."""

    path: Path

    @classmethod
    def create(cls, runs_dir: Path, name: str, digest: str, write: Callable[[Path], None]) -> RunFolder:
        """Make a new folder with the files that ``write`` puts into the folder that it is given.

        They are written before the folder gets its name: no folder of this name is ever without them. Raises
        ``KexpError`` where that is impossible, and leaves nothing then.
        """
        parent, stamp = runs_dir / name, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        part = parent / f".{stamp}-{digest}.{uuid.uuid4().hex}.part"
        remedy = "choose another place with --runs-dir or KEXP_RUNS_DIR"
        try:
            part.mkdir(parents=True)
            write(part)
            return cls(_named(part, parent, f"{stamp}-{digest}"))
        except FileExistsError:
            raise KexpError(f"{runs_dir} is not a folder, or {parent} is none; {remedy}") from None
        except OSError as error:
            raise KexpError(f"{parent} cannot be made: {error.strerror}; {remedy}") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
            # Only if nothing else is in it.
            with suppress(OSError):
                parent.rmdir()

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return an existing run folder; raises ``KexpError`` for any other folder."""
        if not (path / "spec.toml").is_file():
            raise KexpError(f"{path} is not a run folder: it has no spec.toml")
        return cls(path)

    def run(self, variant: str, repeat: Repeat) -> Path:
        """Return the folder of one run."""
        return self.path / variant / repeat.folder


def _named(part: Path, parent: Path, name: str) -> Path:
    """Give a folder a name that no other has, and return its path."""
    for number in itertools.count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            return part.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
    raise AssertionError


def write_json(path: Path, value: Any) -> None:
    """Write JSON in UTF-8, with null for numbers that are not finite, and secrets hidden."""
    write_text(path, json.dumps(finite(hidden(value)), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """Return the value with NumPy numbers as Python numbers, and None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read JSON; raises ``KexpError`` naming the file."""
    need_regular(path)
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise KexpError(f"{path}: cannot be read: {error}") from None


def need_regular(path: Path) -> None:
    """Raise ``KexpError`` for a pipe, a device or a folder: reading a pipe waits for ever, a device never ends."""
    if path.exists() and not path.is_file():
        raise KexpError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; expected a file of kexp")


class EventLog:
    """``metrics.jsonl``: one object per event, flushed after each.

    ``size`` is the size of the file in bytes; ``lost`` is how many of the bytes that should be kept were not there.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        """Open the file and keep its first bytes, those of the events up to the checkpoint of a run that resumes."""
        need_regular(path)
        self._file = path.open("ab")
        found = self._file.tell()
        # What follows the last whole line was being written when a process was killed.
        self.size = keep if found >= keep else path.read_bytes().rfind(b"\n") + 1
        self.lost = keep - self.size
        self._file.truncate(self.size)

    def log(self, event: Mapping[str, Any]) -> None:
        """Append an event."""
        line = json.dumps(finite(hidden(event)), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self.size += self._file.write(line.encode("utf-8", "backslashreplace"))
            self._file.flush()
        except OSError as error:
            error.filename = self._file.name
            raise

    def sync(self) -> None:
        """Make sure that the file is on the disk."""
        os.fsync(self._file.fileno())

    def finish(self, status: str) -> None:
        """Close the file."""
        # Every event was flushed; one that could not be written has been told.
        with suppress(OSError):
            self._file.close()
