"""Which processes work on a study, and which of them are gone: each keeps raising a counter of its own."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.background import repeating

if TYPE_CHECKING:
    import psutil
    from optuna.study import Study

logger = logging.getLogger("kexp")

BEAT = 10.0
"""Seconds between two counts."""

GRACE = 60.0
"""Seconds without a count after which a process of another machine is given up."""

LEFT = "left"
"""Stands in place of the counter of a process that does not work on the study any more."""


@dataclass(slots=True)
class Heartbeats:
    """The counters of a study's processes as one of them sees them.

    Clocks of different machines need not agree: only this process's own clock measures how long a counter stood still.
    """

    study: Study
    own: str = field(default_factory=lambda: _identity(os.getpid()))
    seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Raise the counter every ``BEAT`` seconds in a thread of its own, whatever this process is busy with."""
        counts = itertools.count(1)
        self._show(0)
        try:
            with repeating(lambda: self._show(next(counts)), BEAT, "kexp heartbeat"):
                yield
        finally:
            self._show(LEFT)

    def _show(self, count: int | str) -> None:
        try:
            self.study.set_user_attr(f"worker {self.own}", count)
        # A storage that cannot be reached for a moment is no reason to end; the next trial will show.
        except Exception as error:  # noqa: BLE001
            logger.warning("the study's storage cannot be told that this process is alive: %s", error)

    def others_alive(self) -> bool:
        """Return whether another process works on the study, or one of another machine did a minute ago."""
        attributes = self.study.user_attrs
        workers = [name.removeprefix("worker ") for name in attributes if name.startswith("worker ")]
        return any(worker != self.own and not self.dead(worker, attributes) for worker in workers)

    def dead(self, worker: str, attributes: Mapping[str, object]) -> bool:
        """Return whether a process is gone: known at once on this machine, after ``GRACE`` seconds for others.

        One that has left the study is gone too, even if it is still alive, such as a notebook.
        """
        count = attributes.get(f"worker {worker}")
        if count == LEFT:
            return True
        place, _, process = worker.rpartition("/")
        if process and place == _place():
            return _identity(int(process.partition("@")[0])) != worker
        known, since = self.seen.get(worker, (None, 0.0))
        if worker not in self.seen or count != known:
            self.seen[worker] = (count, time.monotonic())
            return False
        return time.monotonic() - since > GRACE


def _identity(process: int) -> str:
    """Return a name that no other process ever has: numbers are reused, so the time of its start belongs to it."""
    import psutil

    try:
        found = psutil.Process(process)
        started = "gone" if found.status() == psutil.STATUS_ZOMBIE else _started(found)
    except psutil.Error:
        started = "gone"
    return f"{_place()}/{process}@{started}"


def _started(process: psutil.Process) -> str:
    """Return when a process was started, as every other process sees it, whatever becomes of the clock meanwhile."""
    stat = Path(f"/proc/{process.pid}/stat")
    try:
        # In ticks since the machine was started: the date of that moves with the clock. A name may have parentheses.
        return stat.read_text("utf-8", "replace").rpartition(")")[2].split()[19]
    except OSError:
        return f"{process.create_time():.2f}"


def _place() -> str:
    """Return a name of what process numbers belong to: a machine, or a container on it."""
    namespace = Path("/proc/self/ns/pid")
    container = str(namespace.readlink()) if namespace.is_symlink() else ""
    return f"{socket.gethostname()}-{uuid.getnode():x}{container}"
