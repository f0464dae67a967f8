"""What every tracker has to get right."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from kexp.contracts import TrackerOptions
from kexp.options import Options
from kexp.testing.options import OptionsContract
from kexp.testing.tracked_runs import TrackedRun, events, tried
from kexp.train.events import StepsDone

STATUSES = ("done", "failed", "interrupted", "pruned")


class TrackerContract(OptionsContract):
    """Promises of trackers: they track a run until it ends, leave nothing running, and print nothing.

    They are used as kexp does it, each run in a thread of its own, off the network (``KEXP_OFFLINE``) and in an empty
    working folder. What else a library needs to stay there, such as a folder of its own, is for the class's fixtures.
    ``patience`` is how many seconds a closed tracker's threads may take to end.
    """

    base: ClassVar[type[Options]] = TrackerOptions
    patience: ClassVar[float] = 20.0

    @pytest.fixture(autouse=True)
    def _offline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEXP_OFFLINE", "1")
        (tmp_path / "working").mkdir()
        monkeypatch.chdir(tmp_path / "working")

    @pytest.fixture
    def start(self, options: TrackerOptions, tmp_path: Path) -> Iterator[Callable[..., TrackedRun]]:
        """Return a function that begins a run with the tracker; those that were not ended are ended."""
        begun: list[TrackedRun] = []

        def start(name: str = "default", resumed_at: int | None = None) -> TrackedRun:
            begun.append(TrackedRun.begin(options, tmp_path / "runs" / name / "seed-1", resumed_at))
            return begun[-1]

        yield start
        for run in begun:
            run.stop()

    @pytest.mark.parametrize("status", STATUSES)
    def test_tracks_a_run_to_its_end(self, start: Callable[..., TrackedRun], status: str) -> None:
        """It takes every event and every status, and the run's files when it is over."""
        run = start()
        run.log(events(8))
        run.finish(status)

    def test_finishes_a_run_that_never_started(self, start: Callable[..., TrackedRun]) -> None:
        """A run may fail before its first event."""
        start().finish("failed")

    def test_finishes_after_a_failed_log(self, start: Callable[..., TrackedRun]) -> None:
        """``finish`` is called even where ``log`` has raised, and closes all the same."""
        run = start()
        run.log(events(2))
        run.do(lambda: tried(run.tracker.log, {"event": "step", "step": 3}))
        run.finish("failed")

    def test_finishes_without_files(self, start: Callable[..., TrackedRun]) -> None:
        """Whether it complains of a run's missing files or not, nothing stays open, and the next run can begin."""
        run = start("first")
        run.log(events(2))
        run.do(lambda: tried(run.tracker.finish, "failed"))
        other = start("second")
        other.log(events(2))
        other.finish("done")

    def test_accepts_unknown_events(self, start: Callable[..., TrackedRun]) -> None:
        """An event of a kind that it does not know is none of its business."""
        run = start()
        run.log([{"event": "comet", "step": 3, "tail": {"length": 1.5}}])
        run.finish("done")

    def test_accepts_non_finite_numbers(self, start: Callable[..., TrackedRun]) -> None:
        """A loss that is nan or infinite is logged like any other."""
        run = start()
        for number, value in enumerate((math.nan, math.inf, -math.inf), 1):
            event = StepsDone(number, 0.1, value, 1e-5, value, 10.0, 100.0, 0.05, {"supervised_loss": value})
            run.log([event.as_dict()])
        run.finish("failed")

    def test_continues_a_resumed_run(self, start: Callable[..., TrackedRun]) -> None:
        """A run that was interrupted, or killed without a word, is taken up at its step."""
        run = start()
        run.log(events(4))
        run.finish("interrupted")
        for resumed_at in (4, 6):
            run = start(resumed_at=resumed_at)
            run.log(events(8, after=resumed_at))
            if resumed_at == 6:
                run.finish("done")
            else:
                run.finish("interrupted")

    def test_tracks_runs_one_after_another(self, start: Callable[..., TrackedRun]) -> None:
        """One process does all variants and seeds of an experiment; what a run left behind is not in the way."""
        for name in ("one", "two"):
            run = start(name)
            run.log(events(4))
            run.finish("done")

    def test_leaves_no_thread(self, start: Callable[..., TrackedRun]) -> None:
        """After the second run there are no more threads than after the first: a library may keep some, no run may."""
        start("one").finish("done")
        known = set(threading.enumerate())
        start("two").finish("failed")
        end = time.monotonic() + self.patience
        while (left := set(threading.enumerate()) - known) and time.monotonic() < end:
            time.sleep(0.05)
        assert not left

    def test_prints_nothing(self, start: Callable[..., TrackedRun], capfd: pytest.CaptureFixture[str]) -> None:
        """Standard output belongs to kexp's results; messages for users go through ``run.warn``."""
        run = start()
        run.log(events(4))
        run.finish("done")
        assert capfd.readouterr().out == ""
        assert run.warned == []
