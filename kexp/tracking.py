"""Who follows a run: ``metrics.jsonl`` always, the spec's trackers, and ``log.txt`` for what libraries say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.errors import RunInterrupted, RunPruned
from kexp.report.folder import EventLog

logger = logging.getLogger("kexp")

Tell = Callable[[Mapping[str, Any]], None]


@contextmanager
def following(run: RunIdentity, trackers: Sequence[TrackerOptions], resumed_at: int | None) -> Iterator[Tell]:
    """Open ``metrics.jsonl`` and the trackers, yield the function that tells them an event, and close them all.

    ``metrics.jsonl`` is the record: if it cannot be written the run fails. A tracker is a mirror: one that raises is
    named in a warning and left alone from then on.
    """
    log = EventLog(Path(run.folder) / "metrics.jsonl", resumed_at=resumed_at)
    mirrors = Mirrors.start(run, trackers)
    status = "failed"
    try:

        def tell(event: Mapping[str, Any]) -> None:
            log.log(event)
            mirrors.log(event)

        yield tell
        status = "done"
    except (RunInterrupted, KeyboardInterrupt):
        status = "interrupted"
        raise
    except RunPruned:
        status = "pruned"
        raise
    finally:
        log.finish(status)
        mirrors.finish(status)


class Mirrors:
    """The trackers of a run that still work, by the name of their class."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self.trackers = dict(trackers)

    @classmethod
    def start(cls, run: RunIdentity, options: Sequence[TrackerOptions]) -> Mirrors:
        """Start every tracker; raises what a tracker raises, since a run that cannot be tracked was not meant."""
        return cls({type(tracker).__name__: tracker.build(run) for tracker in options})

    def log(self, event: Mapping[str, Any]) -> None:
        """Tell every tracker."""
        self._each(lambda tracker: tracker.log(event))

    def finish(self, status: str) -> None:
        """Close every tracker."""
        self._each(lambda tracker: tracker.finish(status))

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                action(tracker)
            # A stranger's tracker must not stop training, whatever it raises.
            except Exception:
                logger.warning("tracker %s failed and is left out from here on", name, exc_info=True)
                del self.trackers[name]


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
