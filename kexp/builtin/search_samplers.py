"""Search samplers: how the next trial is chosen. All are Optuna's, with the options that matter for tens of trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from kexp.contracts import Parameter, SearchContext, SearchSamplerOptions, choice_label
from kexp.contracts.search import MOST_VALUES
from kexp.errors import Problem
from kexp.packages import missing

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class TPE(SearchSamplerOptions):
    """Tree-structured Parzen estimator (Bergstra et al. 2011, section 4); copes with choices and conditions."""

    startup_trials: PositiveInt = Field(10, description="Trials drawn at random before the estimator is used.")
    candidates: PositiveInt = Field(24, description="Points among which the expected improvement is compared.")
    multivariate: bool = Field(True, description="Model parameters together instead of one by one.")

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler; running trials count as bad ones, so that several jobs do not try the same."""
        from optuna.samplers import TPESampler

        return TPESampler(
            n_startup_trials=self.startup_trials,
            n_ei_candidates=self.candidates,
            multivariate=self.multivariate,
            # With conditions, trials are grouped by the parameters that they have.
            group=self.multivariate,
            constant_liar=True,
            seed=context.trial_seed,
        )


class GP(SearchSamplerOptions):
    """Gaussian process with a Matérn kernel and log expected improvement; strong where trials are few and costly."""

    startup_trials: PositiveInt = Field(10, description="Trials drawn at random before the process is fitted.")
    deterministic: bool = Field(False, description="Trust every value as it is instead of estimating its noise.")

    def space_problems(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield parameters with conditions."""
        return _conditional("gp", space)

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler."""
        from optuna.samplers import GPSampler

        return GPSampler(
            n_startup_trials=self.startup_trials,
            deterministic_objective=self.deterministic,
            seed=context.trial_seed,
        )


class CmaEs(SearchSamplerOptions):
    """Covariance matrix adaptation evolution strategy (Hansen 2016) over ranges; needs some hundred trials."""

    multi_objective: ClassVar[bool] = False

    startup_trials: PositiveInt = Field(1, description="Trials drawn at random before the strategy starts.")
    population: int | None = Field(None, ge=2, description="Trials of a generation; by the number of parameters.")

    def problems(self) -> Iterable[Problem]:
        """Yield a missing package."""
        return missing("cmaes", "kexp[cmaes]")

    def space_problems(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield choices and parameters with conditions."""
        yield from _choices("cmaes", space)
        yield from _conditional("cmaes", space)

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler."""
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(
            n_startup_trials=self.startup_trials,
            popsize=self.population,
            seed=context.trial_seed,
            # It cannot model a space of one parameter and draws it independently.
            warn_independent_sampling=False,
        )


class Random(SearchSamplerOptions):
    """Every trial drawn independently; the search that others have to beat (Bergstra & Bengio 2012)."""

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=context.trial_seed)


class Grid(SearchSamplerOptions):
    """Every combination of all values, in random order."""

    exhaustive: ClassVar[bool] = True

    def space_problems(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield parameters with infinitely many values or conditions."""
        yield from _infinite("grid", space)
        yield from _conditional("grid", space)

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler."""
        from optuna.samplers import GridSampler

        values: dict[str, list[Any]] = {
            path: list(map(choice_label, parameter.values or ())) for path, parameter in context.space.items()
        }
        # The order of the grid belongs to the study: every process has to number the points alike.
        return GridSampler(values, seed=context.study_seed)


class QMC(SearchSamplerOptions):
    """Quasi-Monte Carlo over ranges: a low-discrepancy sequence covers them more evenly than random draws."""

    sequence: Literal["sobol", "halton"] = Field("sobol", description="Which sequence.")
    scramble: bool = Field(True, description="Randomise the sequence.")

    def space_problems(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield choices and parameters with conditions."""
        yield from _choices("qmc", space)
        yield from _conditional("qmc", space)

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler; the sequence belongs to the study, its place in it is kept there."""
        from optuna.samplers import QMCSampler, RandomSampler

        return QMCSampler(
            qmc_type=self.sequence,
            scramble=self.scramble,
            seed=context.study_seed,
            # The first trial shows the sampler the space and is drawn at random.
            independent_sampler=RandomSampler(seed=context.trial_seed),
            warn_independent_sampling=False,
        )


class NSGA2(SearchSamplerOptions):
    """Non-dominated sorting genetic algorithm II (Deb et al. 2002), for several metrics and many trials."""

    population: int = Field(20, ge=2, description="Trials of a generation.")
    mutation: float | None = Field(None, ge=0, le=1, description="Probability; one in the number of parameters.")
    crossover: float = Field(0.9, ge=0, le=1, description="Probability that a child has two parents.")

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler."""
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(
            population_size=self.population,
            mutation_prob=self.mutation,
            crossover_prob=self.crossover,
            seed=context.trial_seed,
        )


class BruteForce(SearchSamplerOptions):
    """Every point of a finite space once; copes with conditions."""

    exhaustive: ClassVar[bool] = True

    def space_problems(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield parameters with infinitely many values."""
        return _infinite("brute-force", space)

    def build(self, context: SearchContext) -> BaseSampler:
        """Return the sampler."""
        from optuna.samplers import BruteForceSampler

        return BruteForceSampler(seed=context.trial_seed)


def _infinite(name: str, space: Mapping[str, Parameter]) -> Iterator[str]:
    for path, parameter in space.items():
        if parameter.values is None:
            yield f'"{name}" visits every value, and {path} has infinitely many; give it a step, or choices'
    points = math.prod(len(parameter.values or (None,)) for parameter in space.values())
    if points > MOST_VALUES:
        yield f'"{name}" visits every combination of values, and there are {points:,}; use "tpe", or larger steps'


def _conditional(name: str, space: Mapping[str, Parameter]) -> Iterator[str]:
    for path, parameter in space.items():
        if parameter.when:
            yield f'"{name}" does not support conditions, and {path} has "when"; use "tpe" or "brute-force"'


def _choices(name: str, space: Mapping[str, Parameter]) -> Iterator[str]:
    for path, parameter in space.items():
        if parameter.choices is not None:
            yield f'"{name}" searches ranges only, and {path} has choices; use "tpe"'
