"""Who follows a run: ``metrics.jsonl`` always, the spec's trackers, and ``log.txt`` for what libraries say."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kexp.catalog import Observer
from kexp.contracts import RunIdentity, TrackerOptions
from kexp.experiment.observers import Observers
from kexp.report.folder import EventLog

logger = logging.getLogger("kexp")

PATIENCE = 60.0
"""Seconds in which a tracker has to close after the run; one that waits longer for its server is left behind."""

Warn = Callable[[str], None]


class RunListeners:
    """What follows one run: the file that is its record, trackers (by name) that mirror it, plugins that observe it.

    If ``metrics.jsonl`` cannot be written the run fails. A tracker or an observer that raises costs a warning, and so
    does a tracker that waits for ever.
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
        self.mirrors: list[TrackerThread] = []

    def start(self, resumed_at: int | None) -> None:
        """Open the file, without what came after the step at which the run resumes, and start the trackers."""
        self.log = EventLog(Path(self.run.folder) / "metrics.jsonl", resumed_at=resumed_at)
        run = self.observers.run = replace(self.run, resumed_at=resumed_at)
        self.mirrors = [TrackerThread(name, options, run, self.warn) for name, options in self.trackers]
        self.observers.start()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Write an event and pass it on."""
        assert self.log is not None
        self.log.log(event)
        for mirror in self.mirrors:
            mirror.tell(event)
        self.observers.event(event)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Close everything, with the object of ``result.json``; a run that never started has nothing to close."""
        status = str(result["status"])
        self.observers.finish(result)
        if self.log is not None:
            self.log.finish(status)
        for mirror in self.mirrors:
            mirror.finish(status)
        # They close at the same time, so that several servers that do not answer cost no more than one.
        deadline = time.monotonic() + PATIENCE
        for mirror in self.mirrors:
            mirror.wait(deadline)


class TrackerThread:
    """A tracker in a thread of its own, so that its server can neither slow nor stop training."""

    def __init__(self, name: str, options: TrackerOptions, run: RunIdentity, warn: Warn) -> None:
        self.name, self.options, self.warn = name, options, warn
        self.run = replace(run, warn=self._warn)
        self.left_behind = False
        self.events: queue.SimpleQueue[Mapping[str, Any] | str] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._follow, name=f"kexp tracker {self.name}", daemon=True)
        self.thread.start()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Pass an event on without waiting."""
        self.events.put(event)

    def finish(self, status: str) -> None:
        """Let the tracker close, without waiting."""
        self.events.put(status)

    def wait(self, deadline: float) -> None:
        """Wait until the tracker has closed, or leave it behind at the deadline."""
        self.thread.join(max(0.0, deadline - time.monotonic()))
        if self.thread.is_alive():
            self._warn(f"did not finish within {PATIENCE:g} s and is left behind")
            self.left_behind = True

    def _follow(self) -> None:
        with self._told("failed and is left out"):
            tracker = self.options.build(self.run)
            status = None
            with self._told("failed and is left out from here on"):
                while not isinstance(item := self.events.get(), str):
                    tracker.log(item)
                status = item
            tracker.finish(status or self._status())

    def _status(self) -> str:
        """Wait for the end of the run without following it."""
        while not isinstance(item := self.events.get(), str):
            pass
        return item

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn whatever a tracker raises into a warning."""
        try:
            yield
        # A stranger's tracker must not stop training; one that ends its thread would do so unheard.
        except (Exception, SystemExit) as error:
            logger.info("tracker %s", self.name, exc_info=True)
            self._warn(f"{what}: {str(error) or type(error).__name__}")

    def _warn(self, message: str) -> None:
        """Tell a person; the run of a tracker that was left behind is not on the screen any more."""
        if not self.left_behind:
            self.warn(f"tracker {self.name}: {message}")


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Send the log of kexp and of the libraries below, warnings included, to a file instead of the screen."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    _quiet_transformers()
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _quiet_transformers() -> None:
    """Transformers has handlers and progress bars of its own; let the log file have what they would say."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
