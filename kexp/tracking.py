"""Who follows a run: ``metrics.jsonl`` always, the spec's trackers, and ``log.txt`` for what libraries say."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kexp.contracts import RunIdentity, TrackerOptions
from kexp.report.folder import EventLog

logger = logging.getLogger("kexp")

PATIENCE = 60.0
"""Seconds in which a tracker has to close after the run; one that waits longer for its server is left behind."""

Warn = Callable[[str], None]


class Following:
    """What follows one run: the file that is its record, and trackers that mirror it.

    If ``metrics.jsonl`` cannot be written the run fails. A tracker that raises, or waits for ever, costs a warning.
    """

    def __init__(self, run: RunIdentity, trackers: Sequence[TrackerOptions], warn: Warn = logger.warning) -> None:
        self.run, self.trackers, self.warn = run, trackers, warn
        self.log: EventLog | None = None
        self.mirrors: list[Mirror] = []

    def start(self, resumed_at: int | None) -> None:
        """Open the file, without what came after the step at which the run resumes, and start the trackers."""
        self.log = EventLog(Path(self.run.folder) / "metrics.jsonl", resumed_at=resumed_at)
        run = replace(self.run, resumed=resumed_at is not None)
        self.mirrors = [Mirror(tracker, run, self.warn) for tracker in self.trackers]

    def tell(self, event: Mapping[str, Any]) -> None:
        """Write an event and pass it on."""
        assert self.log is not None
        self.log.log(event)
        for mirror in self.mirrors:
            mirror.tell(event)

    def finish(self, status: str) -> None:
        """Close everything; a run that never started has nothing to close."""
        if self.log is not None:
            self.log.finish(status)
        for mirror in self.mirrors:
            mirror.finish(status)


class Mirror:
    """A tracker in a thread of its own, so that its server can neither slow nor stop training."""

    def __init__(self, options: TrackerOptions, run: RunIdentity, warn: Warn) -> None:
        self.options, self.run, self.warn = options, run, warn
        self.name = type(options).__name__
        self.events: queue.SimpleQueue[Mapping[str, Any] | str] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._follow, name=f"kexp tracker {self.name}", daemon=True)
        self.thread.start()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Pass an event on without waiting."""
        self.events.put(event)

    def finish(self, status: str) -> None:
        """Let the tracker close, and wait for it as long as is reasonable."""
        self.events.put(status)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            self.warn(f"tracker {self.name} did not finish within {PATIENCE:g} s and is left behind")

    def _follow(self) -> None:
        try:
            tracker = self.options.build(self.run)
            while not isinstance(item := self.events.get(), str):
                tracker.log(item)
            tracker.finish(item)
        # A stranger's tracker must not stop training, whatever it raises.
        except Exception as error:
            logger.warning("tracker %s", self.name, exc_info=True)
            self.warn(f"tracker {self.name} failed and is left out from here on: {error or type(error).__name__}")


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
