"""What receives the events of a run: ``metrics.jsonl``, the spec's trackers, observers; and the log in ``log.txt``."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kexp.catalog import Observer
from kexp.contracts import RunIdentity, TrackerOptions
from kexp.errors import describe_os_error
from kexp.experiment.observers import Observers
from kexp.redaction import hiding_in_logs, without_passwords
from kexp.report.run_folder import EventLog

logger = logging.getLogger("kexp")

TRACKER_TIMEOUT = 60.0
"""Seconds that a tracker has to finish after the run; one that takes longer is abandoned."""

Warn = Callable[[str], None]


class RunListeners:
    """Passes the events of one run to ``metrics.jsonl``, to trackers (by name) and to the observers of plugins.

    A run whose ``metrics.jsonl`` cannot be written fails. A tracker or an observer that raises, or a tracker that does
    not finish in time, logs a warning and does not stop the run.
    """

    def __init__(
        self,
        run: RunIdentity,
        trackers: Sequence[tuple[str, TrackerOptions]],
        warn: Warn = logger.warning,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.run, self.trackers, self.warn = run, trackers, warn
        self.observers = Observers(observers, run, warn)
        self.log: EventLog | None = None
        self.kept = 0
        self.threads: list[TrackerThread] = []

    def start(self, resumed_at: int | None) -> None:
        """Open the file, cut where the checkpoint was written that the run resumes from; start trackers, observers."""
        self.log = EventLog(Path(self.run.folder) / "metrics.jsonl", keep=self.kept)
        if self.log.lost:
            self.warn(f"metrics.jsonl lacks {self.log.lost:,} bytes of what was written before step {resumed_at}")
        run = self.observers.run = replace(self.run, resumed_at=resumed_at)
        self.threads = [TrackerThread(name, options, run, self.warn) for name, options in self.trackers]
        self.observers.start()

    def state_dict(self) -> dict[str, Any]:
        """Return how much of the file is written, which is on the disk then, and what observers have to know."""
        assert self.log is not None
        self.log.sync()
        return {"size": self.log.size, "observers": self.observers.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it, before ``start``."""
        self.kept = state["size"]
        self.observers.load_state_dict(state["observers"])

    def event(self, event: Mapping[str, Any]) -> None:
        """Write an event and pass it on."""
        assert self.log is not None
        self.log.log(event)
        for thread in self.threads:
            thread.log(event)
        self.observers.event(event)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close everything, given the object of ``result.json``; a run that never started has nothing to close."""
        status = str(result["status"])
        self.observers.finish(result)
        if self.log is not None:
            self.log.finish(status)
        for thread in self.threads:
            thread.finish(status)
        # They finish at the same time, so that several servers that do not answer take no longer than one.
        deadline = time.monotonic() + TRACKER_TIMEOUT
        for thread in self.threads:
            thread.wait(deadline)


class SilentListeners(RunListeners):
    """Those of a process that trains with another one, which has the listeners of the run."""

    def __init__(self) -> None:
        """Listen to nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""

    def start(self, resumed_at: int | None) -> None:
        """Start nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the checkpoints are those of the other process."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Leave what the other process has to know."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Write nothing."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close nothing."""


class TrackerThread:
    """A tracker in its own thread, so that its server can neither slow nor stop training."""

    def __init__(self, name: str, options: TrackerOptions, run: RunIdentity, warn: Warn) -> None:
        self.name, self.options, self.warn = name, options, warn
        self.run = replace(run, warn=self._warn)
        self.abandoned = False
        self.events: queue.SimpleQueue[Mapping[str, Any] | str] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._track, name=f"kexp tracker {self.name}", daemon=True)
        self.thread.start()

    def log(self, event: Mapping[str, Any]) -> None:
        """Pass an event to the tracker without waiting."""
        self.events.put(event)

    def finish(self, status: str) -> None:
        """Let the tracker finish, without waiting."""
        self.events.put(status)

    def wait(self, deadline: float) -> None:
        """Wait until the tracker has finished, or abandon it at the deadline."""
        self.thread.join(max(0.0, deadline - time.monotonic()))
        if self.thread.is_alive():
            self._warn(f"did not finish within {TRACKER_TIMEOUT:g} s and is abandoned")
            self.abandoned = True

    def _track(self) -> None:
        with self._warning("failed and is left out"):
            tracker = self.options.build(self.run)
            status = None
            with self._warning("failed and is left out from here on"):
                while not isinstance(item := self.events.get(), str):
                    tracker.log(item)
                status = item
            tracker.finish(status or self._status())

    def _status(self) -> str:
        """Wait for the end of the run and drop its events."""
        while not isinstance(item := self.events.get(), str):
            pass
        return item

    @contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """Turn whatever the tracker raises into a warning."""
        try:
            yield
        # A third-party tracker must not stop training; one that raised SystemExit would end its thread silently.
        except (Exception, SystemExit) as error:
            logger.info("tracker %s", self.name, exc_info=True)
            self._warn(f"{what}: {str(error) or type(error).__name__}")

    def _warn(self, message: str) -> None:
        """Show a warning, unless the tracker was abandoned: its run is not on the screen any more."""
        if not self.abandoned:
            self.warn(without_passwords(f"tracker {self.name}: {message}"))


class LogFile(logging.FileHandler):
    """A log file that stops when it cannot be written, with one warning: training is worth more than its log."""

    def __init__(self, path: Path, warn: Warn) -> None:
        super().__init__(path, encoding="utf-8")
        self.warn = warn
        self.lost = False
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or drop it where the file could not be written before.

        The handler stays in its place: without any, Python would print the records of failures with their tracebacks.
        """
        if not self.lost:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Leave the file as it is from here on."""
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.lost = True
        # What is still buffered cannot be written either.
        with suppress(OSError):
            self.close()
        error.filename = error.filename or self.baseFilename
        self.warn(_without_log(error))


def _without_log(error: OSError) -> str:
    return f"{describe_os_error(error)}; the run goes on without its log"


@contextmanager
def log_file(path: Path, warn: Warn = logger.warning) -> Iterator[None]:
    """Send the log of kexp and of the libraries below, warnings included, to a file instead of the screen."""
    root = logging.getLogger()
    level = root.level
    handler: logging.Handler
    try:
        handler = LogFile(path, warn)
    except OSError as error:
        warn(_without_log(error))
        handler = logging.NullHandler()
    others = [(other, other.level) for other in root.handlers]
    for other, own in others:
        # What a program had set up goes on to get the records that it asked for, and no others.
        other.setLevel(max(own, level))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    captured = warnings.showwarning
    logging.captureWarnings(True)
    _quiet_transformers()
    try:
        with hiding_in_logs():
            yield
    finally:
        logging.captureWarnings(False)
        if warnings.showwarning is not captured:
            # The program had captured them before.
            logging.captureWarnings(True)
        root.setLevel(level)
        for other, own in others:
            other.setLevel(own)
        root.removeHandler(handler)
        with suppress(OSError):
            handler.close()


def _quiet_transformers() -> None:
    """Let the log file have what transformers would print with its own handlers and progress bars."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
