"""A trial that is to be run, and how a trial of the study ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that this process has to run: the values of its parameters by path, and the whole spec with them."""

    number: int
    values: Mapping[str, Any]
    table: Mapping[str, Any]


OUTCOMES = ("complete", "pruned", "failed", "interrupted", "lost", "withdrawn", "running", "waiting")
FINISHED = OUTCOMES[:3]
"""Outcomes that count towards the number of trials of a search: not those that are tried again."""


def outcome(trial: FrozenTrial) -> str:
    """Return one of ``OUTCOMES``.

    A failed trial without a reason was given up by another process: it is lost, and failed if it was a second attempt.
    """
    if trial.state != TrialState.FAIL:
        return trial.state.name.lower()
    given_up = "failed" if "retry of" in trial.user_attrs else "lost"
    return str(trial.user_attrs.get("outcome", given_up))


def is_repetition(trial: FrozenTrial) -> bool:
    """Return whether the trial has the values of an earlier one, and was given that one's result instead of running."""
    return "same as" in trial.user_attrs
