"""A search sampler: how `kexp tune` chooses its next trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import kexp
from kexp.contracts import SearchContext, SearchSamplerOptions
from pydantic import Field

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MySearchSampler(SearchSamplerOptions):
    """Local search: of some values drawn at random, take the one that is nearest to the best trial's."""

    multi_objective: ClassVar[bool] = False

    draws: int = Field(4, ge=2, description="Values drawn for each parameter; more of them stay nearer to the best.")
    startup_trials: int = Field(5, ge=1, description="Trials drawn at random before any is called the best.")

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler. It is built anew for every trial, with a seed of the trial's own; the study remembers."""
        from optuna.samplers import RandomSampler
        from optuna.trial import TrialState

        options = self

        # Here, since Optuna is imported only where a search needs it.
        class LocalSearch(RandomSampler):
            def sample_independent(
                self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
            ) -> Any:
                draw = super().sample_independent
                values = [draw(study, trial, param_name, param_distribution) for _ in range(options.draws)]
                done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
                best = study.best_trial.params.get(param_name) if len(done) >= options.startup_trials else None
                if best is None:
                    return values[0]
                place = param_distribution.to_internal_repr
                return min(values, key=lambda value: abs(place(value) - place(best)))

        return LocalSearch(seed=context.trial_seed)


@kexp.hookimpl
def kexp_search_samplers() -> Mapping[str, type[SearchSamplerOptions]]:
    """Name the search samplers of this package."""
    return {"my-name": MySearchSampler}
