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


def events_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


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


@pytest.mark.parametrize("torn", ["", '{"event": "st', '{"message": "한글'.encode()[:-1]])
def test_resumed_run_keeps_its_events_up_to_the_checkpoint_and_tells_who_follows(
    run: RunIdentity, tmp_path: Path, torn: str | bytes
) -> None:
    before = RunListeners(run, [])
    before.start(None)
    for event in EVENTS[:150]:
        before.event(event)
    state = before.state_dict()
    for event in EVENTS[150:]:
        before.event(event)
    before.finish({"status": "interrupted"})
    path, seen = tmp_path / "metrics.jsonl", list[RunIdentity]()
    with path.open("ab") as file:
        file.write(torn.encode() if isinstance(torn, str) else torn)

    def note(run: RunIdentity) -> None:
        seen.append(run)

    observer = Observer("kexp_run_started", Owner("watcher", "1.0"), note, ("run",))
    listeners = RunListeners(run, [("diary", Diary())], observers=[observer])
    listeners.load_state_dict(state)
    listeners.start(150)
    listeners.event({"event": "step", "step": 151, "loss": 0.5})
    listeners.finish({"status": "done"})
    assert Page.written[0].run.resumed_at == seen[0].resumed_at == 150
    assert [event["step"] for event in events_in(path)] == list(range(1, 152))


def test_events_that_are_gone_are_told_and_the_whole_ones_are_kept(run: RunIdentity, tmp_path: Path) -> None:
    before = RunListeners(run, [])
    before.start(None)
    for event in EVENTS[:10]:
        before.event(event)
    state, path, warnings = before.state_dict(), tmp_path / "metrics.jsonl", list[str]()
    before.finish({"status": "interrupted"})
    path.write_bytes(path.read_bytes()[:-3])
    listeners = RunListeners(run, [], warnings.append)
    listeners.load_state_dict(state)
    listeners.start(10)
    listeners.event({"event": "step", "step": 11})
    listeners.finish({"status": "done"})
    assert [event["step"] for event in events_in(path)] == [*range(1, 10), 11]
    line = len(json.dumps(EVENTS[9])) + 1
    assert warnings == [f"metrics.jsonl lacks {line} bytes of what was written before step 10"]


def test_an_epoch_that_began_before_a_run_was_resumed_ends_once(run: RunIdentity) -> None:
    ended: list[tuple[int, Any]] = []

    def note(epoch: int, metrics: Mapping[str, float]) -> None:
        ended.append((epoch, dict(metrics)))

    observer = Observer("kexp_epoch_ended", Owner("watcher", "1.0"), note, ("epoch", "metrics"))
    before = RunListeners(run, [], observers=[observer])
    before.start(None)
    before.event({"event": "epoch", "epoch": 0, "step": 0})
    before.event({"event": "evaluation", "step": 3, "metrics": {"accuracy": 0.5}})
    after = RunListeners(run, [], observers=[observer])
    after.load_state_dict(before.state_dict())
    before.finish({"status": "interrupted"})
    after.start(3)
    after.event({"event": "epoch", "epoch": 1, "step": 5})
    after.finish({"status": "done"})
    assert ended == [(0, {"accuracy": 0.5})]


def test_texts_of_an_event_may_have_any_letters(run: RunIdentity, tmp_path: Path) -> None:
    event = {"event": "warning", "step": 1, "message": "a\u2028b\x85c \ud800 한글"}
    listeners = RunListeners(run, [])
    listeners.start(None)
    listeners.event(event)
    listeners.event(EVENTS[0])
    listeners.finish({"status": "done"})
    assert list(events_in(tmp_path / "metrics.jsonl")) == [event, EVENTS[0]]


def test_run_that_never_started_has_nothing_to_close(run: RunIdentity, tmp_path: Path) -> None:
    RunListeners(run, [("diary", Diary())]).finish({"status": "failed", "reason": "x"})
    assert Page.written == []
    assert not (tmp_path / "metrics.jsonl").exists()
