"""A sampler with a random stream for every trial, so that a continued study draws what an uninterrupted one would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from kexp.contracts import Parameter, SearchContext, SearchSamplerOptions
from kexp.seeds import derive


class PerTrial(BaseSampler):
    """Builds the sampler of the options anew for every trial, with seeds that depend on the trial's number alone.

    Processes that share a study therefore never draw alike, and a study that is continued draws as it would have.
    """

    def __init__(self, options: SearchSamplerOptions, space: Mapping[str, Parameter], seed: int) -> None:
        self.options, self.space, self.seed = options, space, seed

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin the trial's stream."""
        self.inner = self._of(trial)
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the trial's sampler."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the trial's sampler."""
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Ask the trial's sampler."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell a sampler like the trial's; what samplers learn, they keep in the study."""
        self._of(trial).after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        # Optuna takes seeds of 32 bits.
        study_seed = derive(self.seed, "search") % 2**32
        trial_seed = derive(self.seed, "search", trial.number) % 2**32
        return self.options.build(SearchContext(self.space, study_seed, trial_seed))
