"""What a search is made of: samplers that propose trials and pruners that end hopeless ones, both Optuna's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from kexp.options import Options, component
from kexp.space import Parameter

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a search sampler draws from: the parameters by path, a seed of the study's and one of the trial's own."""

    space: Mapping[str, Parameter]
    study_seed: int
    trial_seed: int


class SearchSamplerOptions(Options):
    """Base of every search sampler. A sampler is built anew for every trial and keeps its state in Optuna's study."""

    kind: ClassVar[str] = "search-sampler"
    multi_objective: ClassVar[bool] = True
    """Whether several metrics can be searched at once."""
    exhaustive: ClassVar[bool] = False
    """Whether it visits every point once, so that no trial may be given to it."""

    def refuse(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield why these parameters cannot be searched."""
        return ()

    @abstractmethod
    def build(self, sampling: Sampling) -> BaseSampler:
        """Return Optuna's sampler."""


class PrunerOptions(Options):
    """Base of every pruner."""

    kind: ClassVar[str] = "pruner"
    compares_seeds: ClassVar[bool] = False
    """Whether a trial reports a value per seed; otherwise one per evaluation of its first seed, counted from 1."""

    def refuse(self, seeds: int) -> Iterable[str]:
        """Yield why so many seeds per trial are too few."""
        return ()

    @abstractmethod
    def build(self) -> BasePruner:
        """Return Optuna's pruner."""


AnySearchSampler = Annotated[SearchSamplerOptions, *component("search-sampler")]
"""A field that holds a component of this kind."""

AnyPruner = Annotated[PrunerOptions, *component("pruner")]
"""A field that holds a component of this kind."""
