"""Run listeners with trackers that misbehave: order, ends, warnings, and trackers that are abandoned."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kexp.catalog import Observer, Owner
from kexp.contracts import RunIdentity, Tracker, TrackerOptions
from kexp.experiment import trackers as tracking
from kexp.experiment.trackers import RunListeners

EVENTS = [{"event": "step", "step": number, "loss": 1 / number} for number in range(1, 200)]


class Diary(TrackerOptions):
    """Writes down what it is told, and raises where it is to; ``gate`` holds it up."""

    raises: str = ""
    error: type[BaseException] = RuntimeError

    def build(self, run: RunIdentity) -> Tracker:
        self._may_raise("build")
        return Page(self, run)

    def _may_raise(self, place: str) -> None:
        if self.raises == place:
            raise self.error(f"no {place}")


class Page:
    written: list[Page] = []  # noqa: RUF012
    gate = threading.Event()

    def __init__(self, options: Diary, run: RunIdentity) -> None:
        self.options, self.run, self.told = options, run, []
        self.thread = threading.current_thread()
        Page.written.append(self)
        Page.gate.wait()

    def log(self, event: Mapping[str, Any]) -> None:
        self.options._may_raise("log")
        self.told.append(event)

    def finish(self, status: str) -> None:
        self.told.append(status)
        self.options._may_raise("finish")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    Page.written.clear()
    Page.gate.set()
    yield
    Page.gate.set()


@pytest.fixture
def run(tmp_path: Path) -> RunIdentity:
    return RunIdentity("reviews", "group", "plain", 1, str(tmp_path), {})


def follow(run: RunIdentity, *trackers: TrackerOptions, status: str = "done") -> list[str]:
    """Follow a run to its end and return the warnings."""
    warnings: list[str] = []
    listeners = RunListeners(run, [(type(one).__name__.lower(), one) for one in trackers], warnings.append)
    listeners.start(None)
    for event in EVENTS:
        listeners.event(event)
    listeners.finish({"status": status, "reason": None})
    return warnings


@pytest.mark.parametrize("status", ["done", "failed", "interrupted", "pruned"])
def test_every_event_arrives_in_order_before_the_status(run: RunIdentity, tmp_path: Path, status: str) -> None:
    assert follow(run, Diary(), Diary(), status=status) == []
    assert [page.told for page in Page.written] == [[*EVENTS, status]] * 2
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == EVENTS
    assert threading.current_thread() not in {page.thread for page in Page.written}
    assert not any(page.thread.is_alive() for page in Page.written)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.parametrize("place", ["build", "log", "finish"])
def test_tracker_that_raises_costs_one_warning_and_nothing_else(
    run: RunIdentity, tmp_path: Path, place: str, error: type[BaseException]
) -> None:
    warnings = follow(run, Diary(raises=place, error=error), Diary())
    left_out = " from here on" if place == "log" else ""
    assert warnings == [f"tracker diary: failed and is left out{left_out}: no {place}"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(EVENTS)
    others = [page.told for page in Page.written if not page.options.raises]
    assert others == [[*EVENTS, "done"]]


def test_tracker_that_failed_is_still_closed_with_the_status(run: RunIdentity) -> None:
    follow(run, Diary(raises="log"), status="failed")
    assert [page.told for page in Page.written] == [["failed"]]


def test_error_without_words_is_named(run: RunIdentity) -> None:
    class Mute(Diary):
        def build(self, run: RunIdentity) -> Tracker:
            raise KeyError

    assert follow(run, Mute()) == ["tracker mute: failed and is left out: KeyError"]


def test_training_does_not_wait_for_a_tracker(run: RunIdentity, tmp_path: Path) -> None:
    Page.gate.clear()
    warnings: list[str] = []
    listeners = RunListeners(run, [("diary", Diary())], warnings.append)
    listeners.start(None)
    for event in EVENTS:
        listeners.event(event)
    # The tracker is not even built, and the record is complete.
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(EVENTS)
    assert [page.told for page in Page.written] in ([], [[]])
    Page.gate.set()
    listeners.finish({"status": "done"})
    assert Page.written[0].told == [*EVENTS, "done"]
    assert warnings == []


def test_trackers_that_wait_for_ever_are_left_behind_together(
    run: RunIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "TRACKER_TIMEOUT", 0.5)
    Page.gate.clear()
    begun = time.monotonic()
    warnings = follow(run, *[Diary()] * 20)
    # Twenty times the patience, if they were waited for one after the other.
    assert time.monotonic() - begun < 9
    assert warnings == ["tracker diary: did not finish within 0.5 s and is abandoned"] * 20


def test_tracker_that_was_left_behind_says_no_more(run: RunIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "TRACKER_TIMEOUT", 0.01)
    Page.gate.clear()
    warnings = follow(run, Diary(raises="log"))
    Page.gate.set()
    Page.written[0].thread.join(10)
    assert Page.written[0].told == ["done"]
    assert warnings == ["tracker diary: did not finish within 0.01 s and is abandoned"]


def test_warning_of_a_tracker_names_it(run: RunIdentity) -> None:
    class Talker(Diary):
        def build(self, run: RunIdentity) -> Tracker:
            run.warn("there is no network")
            return super().build(run)

    assert follow(run, Talker()) == ["tracker talker: there is no network"]


def test_resumed_run_keeps_its_events_up_to_the_step_and_tells_who_follows(run: RunIdentity, tmp_path: Path) -> None:
    follow(run)
    seen: list[RunIdentity] = []

    def note(run: RunIdentity) -> None:
        seen.append(run)

    observer = Observer("kexp_run_started", Owner("watcher", "1.0"), note, ("run",))
    listeners = RunListeners(run, [("diary", Diary())], observers=[observer])
    listeners.start(150)
    listeners.finish({"status": "done"})
    assert Page.written[0].run.resumed_at == seen[0].resumed_at == 150
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 150


def test_run_that_never_started_has_nothing_to_close(run: RunIdentity, tmp_path: Path) -> None:
    RunListeners(run, [("diary", Diary())]).finish({"status": "failed", "reason": "x"})
    assert Page.written == []
    assert not (tmp_path / "metrics.jsonl").exists()
