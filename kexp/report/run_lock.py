"""One process at a time works on a run folder. A lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from filelock import FileLock, Timeout

from kexp.background import repeating
from kexp.errors import KexpError, RunInterrupted
from kexp.report.run_folder import read_json, write_json

LOCK, HOLDER = ".lock", "process.json"

BEAT = 30.0
"""Seconds between two signs of life of the process that holds a lock."""

POLL = 1.0
"""Seconds between two looks at a folder that another process uses."""

SILENCE = 4 * BEAT
"""Seconds without one after which a process of another host counts as dead, where its lock cannot be seen."""


@contextmanager
def locked(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a run folder, and warn where a process that has died is taken over from.

    Raises ``KexpError`` that names process and host if another process holds it. Some network file systems show locks
    to one host only; there a process of another host holds it as long as it gives signs of life.
    """
    with _acquire(folder):
        _take_over(folder, warn)
        write_json(folder / HOLDER, {"process": os.getpid(), "host": socket.gethostname(), "since": _now()})
        try:
            with repeating(lambda: _touch(folder / HOLDER), BEAT, "kexp lock"):
                yield
        finally:
            # The folder may be gone, or its disk.
            with suppress(OSError):
                (folder / HOLDER).unlink(missing_ok=True)


@contextmanager
def waiting_lock(folder: Path, tell: Callable[[str], None], should_stop: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock of a folder as ``locked`` does, as soon as no other process holds it.

    Raises ``RunInterrupted`` where ``should_stop`` returns True while it waits.
    """
    with ExitStack() as held:
        waited = False
        while True:
            try:
                held.enter_context(locked(folder, tell))
                break
            except KexpError as error:
                if should_stop():
                    raise RunInterrupted(f"stopped while it waited: {error}") from None
                if not waited:
                    tell(f"{folder} is in use by {user_of(folder) or 'another process'}, which is waited for")
                waited = True
                time.sleep(POLL)
        yield


def await_free(folder: Path, tell: Callable[[str], None]) -> None:
    """Wait until no process uses a folder."""
    waited = False
    while user := user_of(folder):
        if not waited:
            tell(f"{folder} is in use by {user}, which is waited for")
        waited = True
        time.sleep(POLL)


def _take_over(folder: Path, warn: Callable[[str], None]) -> None:
    """Warn of a process that has left its name; raises ``KexpError`` if it may be alive on another host."""
    before = _holder(folder)
    if before is None:
        return
    silence = _silence(folder)
    if before["host"] != socket.gethostname() and silence < SILENCE:
        raise KexpError(
            f"{folder} is in use by {_name(before)}, which was alive {silence:.0f} s ago; wait until it is done, or "
            f"stop it. If it was killed, try again in {SILENCE - silence:.0f} s"
        )
    warn(f"{folder} is taken over from {_name(before)}, which has ended")


def user_of(folder: Path) -> str | None:
    """Return the process that uses a run folder as text; None if no process does."""
    if not (folder / LOCK).is_file():
        return None
    try:
        with _acquire(folder):
            pass
    except KexpError:
        return _name(_holder(folder) or {})
    except OSError:
        pass
    other = _holder(folder)
    alive = other is not None and other["host"] != socket.gethostname() and _silence(folder) < SILENCE
    return _name(other) if other is not None and alive else None


def _acquire(folder: Path) -> AbstractContextManager[object]:
    """Acquire the lock of a folder, and return what releases it at its end."""
    try:
        return FileLock(folder / LOCK, thread_local=False).acquire(blocking=False)
    except Timeout:
        user = _name(_holder(folder) or {})
        raise KexpError(f"{folder} is in use by {user}; wait until it is done, or stop it") from None


def _holder(folder: Path) -> dict[str, Any] | None:
    """Return who wrote that it holds the lock; None if nobody did."""
    try:
        found = read_json(folder / HOLDER)
        return {"process": int(found["process"]), "host": str(found["host"]), "since": str(found["since"])}
    except (KexpError, ValueError, TypeError, LookupError):
        return None


def _name(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    return f"process {holder['process']} on {holder['host']} (since {holder['since']})"


def _silence(folder: Path) -> float:
    """Return the seconds since the last sign of life, by the clock of the file system."""
    try:
        with NamedTemporaryFile(prefix=".clock.", dir=folder) as probe:
            return max(0.0, Path(probe.name).stat().st_mtime - (folder / HOLDER).stat().st_mtime)
    except OSError:
        return 0.0


def _touch(path: Path) -> None:
    # A file system that is away for a while costs a sign of life, not the run.
    with suppress(OSError):
        os.utime(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
