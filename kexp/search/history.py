"""A study as samplers and pruners see it: its trials without the attempts that were stopped, numbered without gaps.

What they decide depends on this alone, so a search that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from kexp.search.default_trial import in_space
from kexp.search.sampling import PerTrialSampler, suggest
from kexp.search.trial import DRAWN
from kexp.spec.space import Space

Json = dict[str, Any]


class History:
    """A copy of a study in memory, with its trials by position."""

    def __init__(
        self, study: optuna.Study, trials: Sequence[FrozenTrial], sampler: BaseSampler, pruner: BasePruner
    ) -> None:
        self.storage = InMemoryStorage()
        self.study = optuna.create_study(
            storage=self.storage,
            sampler=sampler,
            pruner=pruner,
            study_name=study.study_name,
            directions=study.directions,
        )
        self.study.add_trials(trials)
        self.id = self.storage.get_study_id_from_name(study.study_name)

    def trial(self, position: int) -> FrozenTrial:
        """Return a trial."""
        # A storage in memory counts its trials from 0.
        return self.storage.get_trial(position)


def draw(
    study: optuna.Study,
    trials: Sequence[FrozenTrial],
    position: int,
    space: Space,
    fixed: Mapping[str, Any],
    sampler: BaseSampler,
    pruner: BasePruner,
) -> tuple[Json, FrozenTrial]:
    """Draw the values of the trial at a position; ``fixed`` are values that are not left to the sampler.

    Returns the values by path, and the trial with all that belongs to the draw.
    """
    blank = create_trial(state=TrialState.RUNNING, system_attrs={"fixed_params": dict(fixed)} if fixed else {})
    history = History(study, in_space([*trials[:position], blank, *trials[position + 1 :]]), sampler, pruner)
    for trial in trials[:position]:
        for key, value in trial.system_attrs.get(DRAWN, {"study": {}})["study"].items():
            history.storage.set_study_system_attr(history.id, key, value)
    before = history.storage.get_study_system_attrs(history.id)
    values = suggest(optuna.Trial(history.study, position), space)
    after = history.storage.get_study_system_attrs(history.id)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    drawn = history.trial(position)
    drawn.system_attrs[DRAWN] = {"trial": list(drawn.system_attrs), "study": changed}
    return values, drawn


def ends_search(
    study: optuna.Study,
    trials: Sequence[FrozenTrial],
    position: int,
    state: TrialState,
    values: Sequence[float] | None,
    sampler: PerTrialSampler,
) -> bool:
    """Return whether the sampler ends the search with this end of a trial, having visited every point."""
    history = History(study, in_space(trials), sampler, NopPruner())
    sampler.after_trial(history.study, history.trial(position), state, values)
    return sampler.exhausted


def prune(
    study: optuna.Study, trials: Sequence[FrozenTrial], position: int, pruner: BasePruner
) -> tuple[bool, Mapping[str, Any]]:
    """Return whether the trial at a position should end early, and what the pruner stores in the trial."""
    history = History(study, trials, RandomSampler(), pruner)
    with warnings.catch_warnings():
        # Values that are all NaN, of which numpy warns, are pruned.
        warnings.simplefilter("ignore", RuntimeWarning)
        decision = bool(pruner.prune(history.study, history.trial(position)))
    before, after = trials[position].system_attrs, history.trial(position).system_attrs
    return decision, {key: value for key, value in after.items() if before.get(key) != value}


def prepare(study: optuna.Study, trials: Sequence[FrozenTrial], pruner: BasePruner) -> None:
    """Show a new pruner the first complete trial: what it learns from that, such as bounds, it keeps to its end."""
    first = next((n for n, trial in enumerate(trials) if trial.state == TrialState.COMPLETE), None)
    if first is not None:
        beside = create_trial(state=TrialState.RUNNING, intermediate_values=trials[first].intermediate_values)
        prune(study, [*trials[: first + 1], beside], first + 1, pruner)
