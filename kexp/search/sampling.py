"""How a trial gets its values: Optuna's sampler with a random stream per trial, and the parameters drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from kexp.contracts import Parameter, SearchContext, SearchSamplerOptions, choice_label
from kexp.seeds import derive
from kexp.spec.space import Space


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Draw the values of a trial by path: in the order of the space, and only of parameters whose condition holds."""
    values: dict[str, Any] = {}
    for path, parameter in space.parameters.items():
        if space.active(path, space.apply(values)):
            values[path] = parameter.value_of(_suggest_one(trial, path, parameter))
    return values


def _suggest_one(trial: optuna.Trial, path: str, parameter: Parameter) -> Any:
    if parameter.choices is not None:
        return trial.suggest_categorical(path, list(map(choice_label, parameter.choices)))
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.whole:
        step = int(parameter.step or 1)
        return trial.suggest_int(path, int(parameter.low), int(parameter.high), step=step, log=parameter.log)
    return trial.suggest_float(path, parameter.low, parameter.high, step=parameter.step, log=parameter.log)


def params_of(values: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the values of a trial as Optuna stores them: choices by their label."""
    choices = {path for path, parameter in space.parameters.items() if parameter.choices is not None}
    return {path: choice_label(value) if path in choices else value for path, value in values.items()}


class PerTrialSampler(BaseSampler):
    """Builds a new sampler of the options for every trial, with seeds that depend only on the trial's number.

    Processes that share a study therefore never draw the same, and a study that is continued draws what an
    uninterrupted one would have drawn.
    """

    exhausted = False
    """Whether every point of the space has been visited."""

    def __init__(self, options: SearchSamplerOptions, space: Mapping[str, Parameter], seed: int) -> None:
        self.options, self.space, self.seed = options, space, seed

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Build the trial's sampler."""
        self.inner = self._build(trial)
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Call the trial's sampler."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Call the trial's sampler."""
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Call the trial's sampler."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Call a sampler like the trial's; what samplers learn is stored in the study."""
        try:
            self._build(trial).after_trial(study, trial, state, values)
        except RuntimeError as error:
            # Optuna's samplers stop the study when every point was visited, which raises outside of Study.optimize.
            if "Study.stop" not in str(error):
                raise
            self.exhausted = True

    def _build(self, trial: FrozenTrial) -> BaseSampler:
        # Optuna takes seeds of 32 bits.
        study_seed = derive(self.seed, "search") % 2**32
        trial_seed = derive(self.seed, "search", trial.number) % 2**32
        return self.options.build(SearchContext(self.space, study_seed, trial_seed))
