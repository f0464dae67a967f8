"""How long what is left of several runs or trials will take, by how long finished ones took."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean

LEAST_SHARE = 0.05
"""Share of the steps of a run after which its own rate says how long it takes."""


@dataclass(slots=True)
class Progress:
    """A run that goes on: since when, since when it trains, and the steps it began with, has done, and has in all."""

    began: float
    stepping: float = 0.0
    first: int = 0
    step: int = 0
    steps: int = 0


class Estimate:
    """Which runs of how many go on, and the seconds left for them and all that come after them.

    ``groups`` are the variants of the runs in their order. Runs that are ``skipped``, since they are done already, take
    no part in the estimate, wherever they stand; of a resumed one only the steps that it still does. As many runs as
    have gone on at once until now are taken to go on at once until the end.
    """

    def __init__(
        self, groups: Sequence[str], clock: Callable[[], float] = time.monotonic, skipped: Collection[int] = ()
    ) -> None:
        self.groups, self.clock = groups, clock
        self.waiting = [place for place in range(len(groups)) if place not in skipped]
        self.running: dict[int, Progress] = {}
        self.most = 1
        self.took: dict[str, list[float]] = {}
        self.free = clock()
        """When the last run ended: the next one began then, where none begins beside others."""

    def begin(self, place: int) -> None:
        """Note that the run at a place begins now, beside others."""
        self._add(place, Progress(self.clock()))

    def start(self, place: int, steps: int, done: int) -> None:
        """Note that the run at a place begins to train, of which some steps are done already."""
        began = self.running[place].began if place in self.running else self.free
        self._add(place, Progress(began, self.clock(), done, done, steps))

    def move(self, place: int, step: int) -> None:
        """Note how far the run at a place is."""
        self.running[place].step = step

    def end(self, place: int, *, done: bool) -> None:
        """Note that the run at a place has ended; how long it took counts if it is done."""
        self._remove(place)
        self.free = self.clock()
        run = self.running.pop(place, None)
        if run is None or not done:
            return
        share = 1 - run.first / max(run.steps, 1)
        if share > 0:
            self.took.setdefault(self.groups[place], []).append((self.free - run.began) / share)

    @property
    def left(self) -> float | None:
        """The seconds left until all runs are done; None as long as nothing says so."""
        own = [self._own_left(place) for place in self.running]
        typical = [self._typical(place) for place in self.waiting]
        if None in own or None in typical:
            return None
        # Each begins as soon as one of those before it ends.
        ends = sorted([seconds for seconds in own if seconds is not None] + [0.0] * (self.most - len(own)))
        for seconds in typical:
            heapq.heapreplace(ends, ends[0] + (seconds or 0.0))
        return max(ends)

    @property
    def others(self) -> list[str]:
        """The variants of the runs that come after those that go on."""
        return [self.groups[place] for place in self.waiting]

    def _add(self, place: int, run: Progress) -> None:
        self._remove(place)
        self.running[place] = run
        self.most = max(self.most, len(self.running))

    def _remove(self, place: int) -> None:
        if place in self.waiting:
            self.waiting.remove(place)

    def _own_left(self, place: int) -> float | None:
        """Return the seconds left for a run itself: by its own rate, or else by what other ones took."""
        run, now = self.running[place], self.clock()
        share = (run.step - run.first) / max(run.steps - run.first, 1)
        if run.steps and share >= LEAST_SHARE:
            return (now - run.stepping) * (1 - share) / share
        typical, whole = self._typical(place), 1 - run.first / max(run.steps, 1)
        return None if typical is None else max(typical * whole - (now - run.began), 0.0)

    def _typical(self, place: int) -> float | None:
        """Return how long a run takes: as finished ones of its variant, else as any, else as those that go on."""
        group = self.groups[place]
        if finished := self.took.get(group) or [seconds for of in self.took.values() for seconds in of]:
            return fmean(finished)
        going = {other: seconds for other in self.running if (seconds := self._projected(other)) is not None}
        same = [seconds for other, seconds in going.items() if self.groups[other] == group]
        return fmean(same or going.values()) if going else None

    def _projected(self, place: int) -> float | None:
        """Return how long a run takes from its beginning, by its own rate; None before that says anything."""
        run, now = self.running[place], self.clock()
        share = (run.step - run.first) / max(run.steps - run.first, 1)
        whole = 1 - run.first / max(run.steps, 1)
        if not run.steps or share < LEAST_SHARE or whole <= 0:
            return None
        return (now - run.began + (now - run.stepping) * (1 - share) / share) / whole


class TrialEstimate:
    """How many trials of a search are finished, and the seconds left for the others; ``jobs`` run at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.total: int | None = None
        self.finished, self.jobs = 0, 1
        self.began: dict[int, float] = {}
        self.took: list[float] = []

    def start(self, number: int) -> None:
        """Note that a trial begins."""
        self.began[number] = self.clock()

    def end(self, number: int, *, counts: bool) -> None:
        """Note that a trial has ended, and whether it counts as finished: one that is given back is tried again."""
        began = self.began.pop(number, None)
        if counts and began is not None:
            self.took.append(self.clock() - began)

    @property
    def left(self) -> float | None:
        """The seconds left until all trials are finished; None as long as none is."""
        if self.total is None or not self.took:
            return None
        return fmean(self.took) * max(self.total - self.finished, 0) / self.jobs


def in_words(seconds: float | None, of: str = "") -> str:
    """Return seconds as people say them, ``about 12 minutes left for all``; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"under a minute left{of}"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} minute{'s' if minutes > 1 else ''} left{of}"
    return f"about {round(seconds / 1800) / 2:g} hours left{of}"
