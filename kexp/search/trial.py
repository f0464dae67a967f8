"""A trial that is to be run, how a trial ended, and the attempts at it: a search that is stopped begins some again."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that this process has to run: the values of its parameters by path, and the whole spec with them.

    ``number`` is Optuna's, which counts attempts; ``position`` is the trial's place in the search, which people see.
    """

    number: int
    position: int
    attempt: int
    values: Mapping[str, Any]
    table: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """The name of the trial's folder; an attempt never writes into that of another, which may still be dying."""
        return f"{self.position:04d}" + (f"-attempt-{self.attempt}" if self.attempt > 1 else "")


OUTCOMES = ("complete", "pruned", "failed", "interrupted", "lost", "withdrawn", "redrawn", "running", "waiting")
FINISHED = OUTCOMES[:3]
"""Outcomes that count towards the number of trials of a search: not those that are tried again."""
GIVEN_BACK = ("interrupted", "lost", "withdrawn")
"""Outcomes after which a trial is tried again, with the same values."""

DRAWN = "kexp:drawn"
"""System attribute of an attempt whose values are all drawn.

``trial`` are the names of what the sampler has stored in the trial, and ``study`` is what it has stored in the study.
"""

RETRY_OF = "retry of"
"""Attribute of an attempt: Optuna's number of the first attempt at the same trial."""
LAST_ATTEMPT = "last attempt"
"""Attribute of an attempt that counts as failed if it is lost, since earlier ones were lost too."""

MAX_LOSSES = 5
"""Attempts at a trial that are lost together with the search that ran it, until it counts as failed.

Where a search outlives its trial, the second loss counts as a failure: the fault is then hardly in the machine.
"""


def outcome(trial: FrozenTrial) -> str:
    """Return one of ``OUTCOMES``.

    A failed attempt without a reason was given up by another process: it is lost, and failed if it was the last one.
    """
    if trial.state != TrialState.FAIL:
        return trial.state.name.lower()
    given_up = "failed" if LAST_ATTEMPT in trial.user_attrs else "lost"
    return str(trial.user_attrs.get("outcome", given_up))


def is_repetition(trial: FrozenTrial) -> bool:
    """Return whether the trial has the values of an earlier one, and was given that one's result instead of running."""
    return "same as" in trial.user_attrs


def by_position(attempts: Iterable[FrozenTrial]) -> list[list[FrozenTrial]]:
    """Return the attempts at every trial, in the order in which the trials were begun first."""
    groups: dict[int, list[FrozenTrial]] = {}
    for attempt in attempts:
        groups.setdefault(attempt.user_attrs.get(RETRY_OF, attempt.number), []).append(attempt)
    return list(groups.values())


def standing(attempts: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return the attempt that counts: the finished one, else the first that runs, else the latest.

    Of two processes that try a trial again at the same moment, the one with the lower number has it.
    """
    for wanted in (*FINISHED, "redrawn", "running"):
        for attempt in attempts:
            if outcome(attempt) == wanted:
                return attempt
    return attempts[-1]


def numbered(groups: Iterable[Sequence[FrozenTrial]]) -> list[FrozenTrial]:
    """Return the trials of a search: of every group the attempt that counts, numbered by position."""
    trials = [copy.copy(standing(group)) for group in groups]
    for position, trial in enumerate(trials):
        trial.number = position
    return trials


def next_is_last(attempts: Iterable[FrozenTrial]) -> bool:
    """Return whether the next attempt at a trial is the last one: if it is lost, the trial counts as failed."""
    lost = [attempt for attempt in attempts if outcome(attempt) == "lost"]
    return len(lost) >= MAX_LOSSES - 1 or any("reason" in attempt.user_attrs for attempt in lost)
