"""Which processes work on a study, and which of them are gone: each keeps raising a counter of its own."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.study import Study

logger = logging.getLogger("kexp")

BEAT = 10.0
"""Seconds between two counts."""

GRACE = 60.0
"""Seconds without a count after which a process of another machine is given up."""


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
        """Count every ``BEAT`` seconds, in a thread of its own, whatever this process is busy with."""
        over = threading.Event()

        def beat() -> None:
            for count in itertools.count():
                try:
                    self.study.set_user_attr(f"worker {self.own}", count)
                # A storage that cannot be reached for a moment is no reason to die; the next trial will tell.
                except Exception:
                    logger.warning("the study's storage could not be told that this process lives", exc_info=True)
                if over.wait(BEAT):
                    return

        thread = threading.Thread(target=beat, name="kexp heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def dead(self, worker: str, attributes: Mapping[str, object]) -> bool:
        """Tell whether a process is gone: at once for one of this machine, after a while for others."""
        place, _, process = worker.rpartition("/")
        if process and place == _place():
            return _identity(int(process.partition("@")[0])) != worker
        count = attributes.get(f"worker {worker}")
        known, since = self.seen.get(worker, (None, 0.0))
        if worker not in self.seen or count != known:
            self.seen[worker] = (count, time.monotonic())
            return False
        return time.monotonic() - since > GRACE


def _identity(process: int) -> str:
    """Name a process for good: numbers are used again, so the moment of its start belongs to the name."""
    import psutil

    try:
        found = psutil.Process(process)
        started = "gone" if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.2f}"
    except psutil.Error:
        started = "gone"
    return f"{_place()}/{process}@{started}"


def _place() -> str:
    """Name what process numbers belong to: a machine, or one container of it."""
    namespace = Path("/proc/self/ns/pid")
    container = str(namespace.readlink()) if namespace.is_symlink() else ""
    return f"{socket.gethostname()}-{uuid.getnode():x}{container}"
