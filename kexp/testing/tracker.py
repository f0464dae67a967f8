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
from kexp.testing.runs import Followed, events, tried
from kexp.train.events import StepsDone

STATUSES = ("done", "failed", "interrupted", "pruned")


class TrackerContract(OptionsContract):
    """Promises of trackers: they follow a run to any end, leave nothing running, and keep quiet.

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
    def start(self, options: TrackerOptions, tmp_path: Path) -> Iterator[Callable[..., Followed]]:
        """Return a function that begins a run with the tracker; those that were not ended are ended."""
        begun: list[Followed] = []

        def start(name: str = "default", resumed_at: int | None = None) -> Followed:
            begun.append(Followed.begin(options, tmp_path / "runs" / name / "seed-1", resumed_at))
            return begun[-1]

        yield start
        for followed in begun:
            followed.let_go()

    @pytest.mark.parametrize("status", STATUSES)
    def test_follows_a_run_to_its_end(self, start: Callable[..., Followed], status: str) -> None:
        """It takes every event and every status, and the run's files when it is over."""
        followed = start()
        followed.log(events(8))
        followed.finish(status)

    def test_closes_a_run_that_never_began(self, start: Callable[..., Followed]) -> None:
        """A run may fail before its first event."""
        start().finish("failed")

    def test_closes_after_an_event_that_it_cannot_take(self, start: Callable[..., Followed]) -> None:
        """``finish`` is called even where ``log`` has raised, and closes all the same."""
        followed = start()
        followed.log(events(2))
        followed.do(lambda: tried(followed.tracker.log, {"event": "step", "step": 3}))
        followed.finish("failed")

    def test_closes_where_files_are_missing(self, start: Callable[..., Followed]) -> None:
        """Whether it complains of a run's missing files or not, nothing stays open, and the next run can begin."""
        followed = start("first")
        followed.log(events(2))
        followed.do(lambda: tried(followed.tracker.finish, "failed"))
        other = start("second")
        other.log(events(2))
        other.finish("done")

    def test_takes_events_of_the_future(self, start: Callable[..., Followed]) -> None:
        """An event of a kind that it does not know is none of its business."""
        followed = start()
        followed.log([{"event": "comet", "step": 3, "tail": {"length": 1.5}}])
        followed.finish("done")

    def test_takes_numbers_that_are_not_finite(self, start: Callable[..., Followed]) -> None:
        """A loss that is nan or infinite is what one most wants to see."""
        followed = start()
        for number, value in enumerate((math.nan, math.inf, -math.inf), 1):
            event = StepsDone(number, 0.1, value, 1e-5, value, 10.0, 100.0, 0.05, {"supervised_loss": value})
            followed.log([event.as_dict()])
        followed.finish("failed")

    def test_a_resumed_run_goes_on(self, start: Callable[..., Followed]) -> None:
        """A run that was interrupted, or killed without a word, is taken up at its step."""
        followed = start()
        followed.log(events(4))
        followed.finish("interrupted")
        for resumed_at in (4, 6):
            followed = start(resumed_at=resumed_at)
            followed.log(events(8, after=resumed_at))
            if resumed_at == 6:
                followed.finish("done")
            else:
                followed.finish("interrupted")

    def test_runs_follow_one_another(self, start: Callable[..., Followed]) -> None:
        """One process does all variants and seeds of an experiment; what a run left behind is not in the way."""
        for name in ("one", "two"):
            followed = start(name)
            followed.log(events(4))
            followed.finish("done")

    def test_leaves_no_thread(self, start: Callable[..., Followed]) -> None:
        """After the second run there are no more threads than after the first: a library may keep some, no run may."""
        start("one").finish("done")
        known = set(threading.enumerate())
        start("two").finish("failed")
        end = time.monotonic() + self.patience
        while (left := set(threading.enumerate()) - known) and time.monotonic() < end:
            time.sleep(0.05)
        assert not left

    def test_keeps_quiet(self, start: Callable[..., Followed], capfd: pytest.CaptureFixture[str]) -> None:
        """Standard output belongs to kexp's results; a person is told by ``run.warn``, of what matters alone."""
        followed = start()
        followed.log(events(4))
        followed.finish("done")
        assert capfd.readouterr().out == ""
        assert followed.warned == []
