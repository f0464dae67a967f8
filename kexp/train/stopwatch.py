"""Where the time of a training goes."""

from __future__ import annotations

from time import perf_counter

ACTIVITIES = ("data", "steps", "evaluation", "writing")
"""Waiting for batches; forward and backward passes and the optimiser; measuring validation; checkpoints and events."""


class Stopwatch:
    """Adds the time since the last lap to the ``seconds`` of an activity, so that no time is missed or counted twice.

    Steps on a GPU run while the program goes on; the time that is left of them counts where their losses are read.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.last = seconds, perf_counter()

    def lap(self, activity: str) -> None:
        """Count what has passed since the last lap for an activity."""
        now = perf_counter()
        self.seconds[activity] += now - self.last
        self.last = now
