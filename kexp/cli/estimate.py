"""How long what is left of several runs or trials will take, by how long finished ones took."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from statistics import fmean

LEAST_SHARE = 0.05
"""Share of the steps of a run after which its own rate says how long it takes."""


class Estimate:
    """Which run of how many goes on, and the seconds left for it and all that come after it.

    ``groups`` are the variants of the runs in their order. Runs that are ``skipped``, since they are done already, take
    no part in the estimate, wherever they stand; of a resumed one only the steps that it still does.
    """

    def __init__(
        self, groups: Sequence[str], clock: Callable[[], float] = time.monotonic, skipped: Collection[int] = ()
    ) -> None:
        self.groups, self.skipped, self.clock = groups, skipped, clock
        self.place = -1
        self.took: dict[str, list[float]] = {}
        self.began, self.stepping, self.first, self.step, self.steps = clock(), 0.0, 0, 0, 0

    def start(self, place: int, steps: int, done: int) -> None:
        """Note that the run at a place begins to train, of which some steps are done already."""
        self.place, self.steps, self.first, self.step, self.stepping = place, steps, done, done, self.clock()

    def end(self, *, done: bool) -> None:
        """Note that the run has ended; how long it took counts if it is done."""
        now, share = self.clock(), 1 - self.first / max(self.steps, 1)
        if done and share > 0:
            self.took.setdefault(self.groups[self.place], []).append((now - self.began) / share)
        self.began, self.steps = now, 0

    @property
    def left(self) -> float | None:
        """The seconds left for this run and those after it; None as long as nothing says so."""
        own, typical = self._own_left(), [self._typical(group) for group in self.others]
        if own is None or None in typical:
            return None
        return own + sum(seconds for seconds in typical if seconds is not None)

    @property
    def others(self) -> list[str]:
        """The variants of the runs that come after this one."""
        return [group for place, group in enumerate(self.groups) if place > self.place and place not in self.skipped]

    def _own_left(self) -> float | None:
        """Return the seconds left for the run itself: by its own rate, or else by what finished ones took."""
        if not self.steps:
            return 0.0
        share = (self.step - self.first) / max(self.steps - self.first, 1)
        if share >= LEAST_SHARE:
            return (self.clock() - self.stepping) * (1 - share) / share
        typical = self._finished(self.groups[self.place])
        return None if typical is None else max(typical - (self.clock() - self.began), 0.0)

    def _typical(self, group: str) -> float | None:
        """Return how long a run of a variant takes: as those of the same variant, else as any, else as this one."""
        if (finished := self._finished(group)) is not None:
            return finished
        own = self._own_left()
        share = 1 - self.first / max(self.steps, 1)
        return None if own is None or not self.steps or share <= 0 else (self.clock() - self.began + own) / share

    def _finished(self, group: str) -> float | None:
        same = self.took.get(group) or [seconds for of in self.took.values() for seconds in of]
        return fmean(same) if same else None


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
