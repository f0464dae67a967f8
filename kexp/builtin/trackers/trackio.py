"""Tracker ``trackio``: runs in Trackio's local database, or in a Hugging Face Space."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

from pydantic import Field

from kexp.builtin.trackers.common import (
    configuration,
    final_metrics,
    measured,
    result,
    title,
)
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.errors import Problem
from kexp.packages import missing
from kexp.settings import offline

logger = logging.getLogger("kexp")

BAD = ("failed", "interrupted")


class Trackio(TrackerOptions):
    """Log runs to Trackio, on this machine or in a Hugging Face Space: ``trackio show`` shows them."""

    project: str | None = Field(None, description="Project; the name of the spec when not given.")
    group: str | None = Field(None, description="Group of runs; the run folder's or the study's name when not given.")
    space_id: str | None = Field(None, description="Hugging Face Space that shows them; this machine when not given.")

    def problems(self) -> Iterable[Problem]:
        """Yield a missing package."""
        return missing("trackio", "kexp[trackio]")

    def build(self, run: RunIdentity) -> Tracker:
        """Start a run, or continue it."""
        space = self.space_id
        if space and offline():
            run.warn(f"KEXP_OFFLINE is set: the run stays on this machine and is not sent to the Space {space}")
            space = None
        return TrackioRun(self, run, space)


class TrackioRun:
    """A run of Trackio, whose current run is one per thread, so that several trackers do not interfere."""

    def __init__(self, options: Trackio, run: RunIdentity, space: str | None) -> None:
        self.run, self.step = run, 0
        with quiet_stdout():
            import trackio

            self.level = trackio.AlertLevel
            self.trackio: Any = trackio.init(
                project=options.project or run.experiment,
                # Trackio resumes by name; the group makes names unique among experiments.
                name=f"{title(run)} ({run.group})",
                group=options.group or run.group,
                space_id=space,
                config=configuration(run),
                resume="never" if run.resumed_at is None else "allow",
                embed=False,
            )

    def log(self, event: Mapping[str, Any]) -> None:
        """Log the metrics of an event, or raise an alert for a warning."""
        if numbers := measured(event):
            self.trackio.log(numbers, step=event["step"])
        self.step = event["step"]
        if event["event"] == "warning":
            self._alert(event["message"], self.level.WARN)

    def finish(self, status: str) -> None:
        """Log the metrics of the kept model and the status of the run."""
        try:
            found = result(self.run)
            self.trackio.log({**final_metrics(found), "final/status": status}, step=self.step)
            if status in BAD:
                self._alert(f"{status}: {found['reason']}", self.level.ERROR)
        finally:
            with quiet_stdout():
                self.trackio.finish()

    def _alert(self, text: str, level: Any) -> None:
        with quiet_stdout():
            self.trackio.alert(title(self.run), text=text, level=level, step=self.step)


class _Redirected:
    """Standard output, but what one thread prints goes to the log."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread:
            return self.stream.write(text)
        if text.strip():
            logger.info("trackio: %s", text.strip())
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_lock = threading.Lock()


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Keep Trackio's messages out of standard output, which is for kexp's results."""
    with _lock:
        before = sys.stdout
        sys.stdout = redirected = cast(TextIO, _Redirected(before))
        try:
            yield
        finally:
            # Another replacement since then is left in place.
            if sys.stdout is redirected:
                sys.stdout = before
