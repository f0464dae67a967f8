"""The trial that has the spec as it stands: what every search begins with, whether the space has its values or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from kexp.search.sampling import params_of
from kexp.search.trial import DRAWN
from kexp.spec.space import Space

AS_IT_STANDS = "kexp:spec as it stands"
"""System attribute of every attempt at the trial that has the spec without what the search changes.

Where the space does not have its values, the attempt has no parameters, and samplers are not shown it.
"""


def is_default(trial: FrozenTrial, space: Space) -> bool:
    """Return whether a trial has the spec as it stands; those of earlier versions are known by their values."""
    if AS_IT_STANDS in trial.system_attrs:
        return True
    default = space.default()
    return DRAWN in trial.system_attrs and default is not None and trial.params == params_of(default, space)


def is_outside(trial: FrozenTrial) -> bool:
    """Return whether a trial has the spec as it stands, and the space does not have its values."""
    return AS_IT_STANDS in trial.system_attrs and not trial.params


def lacks_default(earlier: Sequence[FrozenTrial], space: Space) -> bool:
    """Return whether none of the earlier trials has the spec as it stands, or will have it as soon as it is drawn.

    So the first trial of a study has it; in one of an earlier version that lacks it, the next trial.
    """
    undrawn = (not {DRAWN, "fixed_params"} & {*trial.system_attrs} for trial in earlier)
    return not any(undrawn) and not any(is_default(trial, space) for trial in earlier)


def outside_trial() -> FrozenTrial:
    """Return the trial that has the spec as it stands where the space does not have its values, as if drawn."""
    return create_trial(state=TrialState.RUNNING, system_attrs={DRAWN: {"trial": [], "study": {}}})


def mark(drawn: FrozenTrial) -> None:
    """Mark a drawn trial as that with the spec as it stands, and so every later attempt at it."""
    found = drawn.system_attrs.pop(DRAWN)
    drawn.system_attrs[AS_IT_STANDS] = True
    # The mark that nothing is missing stays the last one.
    drawn.system_attrs[DRAWN] = {**found, "trial": [*found["trial"], AS_IT_STANDS]}


def in_space(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials as samplers are shown them: one outside the space is a place that nobody has taken yet.

    From a trial without parameters, samplers would conclude that no parameter is common to all.
    """
    return [create_trial(state=TrialState.WAITING) if is_outside(trial) else trial for trial in trials]


def values_of(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """Return the values of a trial by path, those of the spec where the space does not have them."""
    if is_outside(trial):
        return space.as_it_stands()
    return {path: space.parameters[path].value_of(name) for path, name in trial.params.items()}
