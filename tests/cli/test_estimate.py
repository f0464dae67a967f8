"""What is left of runs and trials, by a clock that the tests move."""

from __future__ import annotations

import pytest

from kexp.cli.estimate import Estimate, TrialEstimate, in_words


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(estimate: Estimate, clock: Clock, place: int, seconds: float, *, done: bool = True, first: int = 0) -> None:
    estimate.start(place, 100, first)
    clock.now += seconds
    estimate.move(place, 100)
    estimate.end(place, done=done)


def test_nothing_is_said_before_anything_is_known(clock: Clock) -> None:
    estimate = Estimate(["a", "a", "b"], clock)
    estimate.start(0, 100, 0)
    clock.now += 10
    assert estimate.left is None
    estimate.move(0, 4)
    assert estimate.left is None


def test_the_rate_of_the_first_run_is_that_of_all(clock: Clock) -> None:
    estimate = Estimate(["a", "a", "b"], clock)
    estimate.start(0, 100, 0)
    clock.now += 10
    estimate.move(0, 10)
    assert estimate.left == pytest.approx(90 + 100 + 100)


def test_runs_that_are_done_already_take_no_part_wherever_they_stand(clock: Clock) -> None:
    # As when an experiment is resumed in which runs in the midst have failed.
    estimate = Estimate(["a"] * 6, clock, skipped=[0, 2, 3, 5])
    estimate.start(1, 100, 0)
    clock.now += 10
    estimate.move(1, 10)
    assert estimate.left == pytest.approx(90 + 100)
    assert estimate.others == ["a"]
    run(estimate, clock, 1, 90)
    estimate.start(4, 100, 0)
    assert estimate.left == pytest.approx(100)
    assert estimate.others == []


def test_the_time_of_a_run_that_never_trained_is_not_that_of_the_next(clock: Clock) -> None:
    estimate = Estimate(["a", "a", "a"], clock)
    clock.now += 500
    estimate.end(0, done=False)
    run(estimate, clock, 1, 100)
    estimate.start(2, 100, 0)
    assert estimate.left == pytest.approx(100)


def test_finished_runs_of_a_variant_say_how_long_its_others_take(clock: Clock) -> None:
    estimate = Estimate(["slow", "slow", "fast", "fast", "new"], clock)
    run(estimate, clock, 0, 100)
    run(estimate, clock, 1, 200)
    run(estimate, clock, 2, 10)
    estimate.start(3, 100, 0)
    # Nothing of it is done yet: it will take what the other fast one took; the new one as all others together.
    assert estimate.left == pytest.approx(10 + (100 + 200 + 10) / 3)
    clock.now += 4
    assert estimate.left == pytest.approx(6 + (100 + 200 + 10) / 3)
    estimate.move(3, 50)
    assert estimate.left == pytest.approx(4 + (100 + 200 + 10) / 3)
    clock.now += 100
    estimate.move(3, 1)
    assert estimate.left == pytest.approx(0 + (100 + 200 + 10) / 3)


def test_skipped_and_failed_runs_do_not_count_as_quick_ones(clock: Clock) -> None:
    # The first two were done before; the third begins at once.
    estimate = Estimate(["a"] * 6, clock, skipped=[0, 1])
    run(estimate, clock, 2, 1, done=False)
    estimate.start(3, 100, 0)
    assert estimate.left is None
    clock.now += 50
    estimate.move(3, 100)
    estimate.end(3, done=True)
    estimate.start(4, 100, 0)
    assert estimate.left == pytest.approx(100)


def test_a_resumed_run_counts_with_all_its_steps(clock: Clock) -> None:
    estimate = Estimate(["a"] * 3, clock)
    estimate.start(0, 100, 80)
    clock.now += 10
    estimate.move(0, 90)
    assert estimate.left == pytest.approx(10 + 100 + 100)
    clock.now += 10
    estimate.move(0, 100)
    estimate.end(0, done=True)
    estimate.start(1, 100, 0)
    assert estimate.left == pytest.approx(200)


def test_a_run_that_was_trained_before_and_only_tested_says_nothing(clock: Clock) -> None:
    estimate = Estimate(["a"] * 2, clock)
    run(estimate, clock, 0, 1, first=100)
    estimate.start(1, 100, 0)
    assert estimate.left is None


def test_runs_at_once_end_with_the_last_of_them(clock: Clock) -> None:
    estimate = Estimate(["a"] * 5, clock)
    for place in (0, 1):
        estimate.begin(place)
        clock.now += 5
        estimate.start(place, 100, 0)
    # One has done a quarter, the other, which began 5 s later, an eighth: a run takes 5 + 160 and 5 + 320 s.
    clock.now += 40
    estimate.move(0, 25)
    estimate.move(1, 10)
    own = [(45 * 0.75 / 0.25), (40 * 0.9 / 0.1)]
    typical = [own[0] + 50, own[1] + 45]
    mean = sum(typical) / 2
    # The third begins where the first one ends, the fourth after it or after the second, whichever ends before.
    ends = sorted(own)
    for _ in range(3):
        ends = sorted([ends[0] + mean, *ends[1:]])
    assert estimate.left == pytest.approx(max(ends))
    assert estimate.others == ["a"] * 3


def test_runs_that_wait_for_a_machine_do_not_go_on(clock: Clock) -> None:
    # Of four that may go on at once, two have begun, each with half of its steps done.
    estimate = Estimate(["a"] * 4, clock)
    for place in (0, 1):
        estimate.begin(place)
        estimate.start(place, 100, 0)
    clock.now += 50
    for place in (0, 1):
        estimate.move(place, 50)
    assert estimate.left == pytest.approx(50 + 100)
    for place in (0, 1):
        estimate.end(place, done=False)
    assert estimate.left is None


def test_trials_by_the_finished_ones_and_the_jobs(clock: Clock) -> None:
    trials = TrialEstimate(clock)
    trials.total, trials.finished, trials.jobs = 20, 2, 2
    assert trials.left is None
    for number in (2, 3):
        trials.start(number)
    clock.now += 60
    trials.end(2, counts=True)
    trials.end(3, counts=False)
    trials.finished = 3
    assert trials.left == pytest.approx(60 * 17 / 2)
    trials.end(99, counts=True)
    trials.total = None
    assert trials.left is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0, "under a minute left for all"),
        (59, "under a minute left for all"),
        (60, "about 1 minute left for all"),
        (720, "about 12 minutes left for all"),
        (5399, "about 1.5 hours left for all"),
        (7200, "about 2 hours left for all"),
        (90_000, "about 25 hours left for all"),
    ],
)
def test_seconds_are_told_as_people_say_them(seconds: float | None, words: str) -> None:
    assert in_words(seconds, " for all") == words
