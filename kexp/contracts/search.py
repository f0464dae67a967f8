"""What a search is made of: parameters, samplers that propose trials, and pruners that end bad ones; Optuna's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from kexp import nested
from kexp.errors import Problem
from kexp.options import Options, Section, component

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


Number = int | Annotated[float, Field(allow_inf_nan=False)]


MOST_VALUES = 1_000_000
"""Values that a range with steps, or a search through all combinations of values, may have."""


class Parameter(Section):
    """One key of the spec that a search may change: a range from ``low`` to ``high``, or ``choices``."""

    low: Number | None = Field(None, description="Least value; a range of whole numbers where both ends are whole.")
    high: Number | None = Field(None, description="Greatest value.")
    log: bool = Field(False, description="Draw the logarithm, so that every power of ten is as likely.")
    step: Number | None = Field(None, gt=0, description="Distance between the values of a range.")
    choices: tuple[Any, ...] | None = Field(
        None,
        min_length=1,
        description="Values, or whole components; the one that is in the spec keeps the options set there.",
    )
    when: Annotated[dict[str, Any], BeforeValidator(nested.flat)] = Field(
        {}, description="Only where these paths of the spec have this value, or one of a list of values."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield ranges without ends, without room or with options that exclude each other."""
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                yield Problem("choices", "choices exclude low, high, log and step")
            if len({choice_label(choice) for choice in self.choices}) < len(self.choices):
                yield Problem("choices", "a choice is given twice")
            return
        if self.low is None or self.high is None:
            yield Problem("", "expected low and high, or choices")
            return
        if self.low >= self.high:
            yield Problem("high", f"{self.high:g} is not above low, {self.low:g}")
        if self.log and self.low <= 0:
            yield Problem("low", f"a logarithmic range starts above 0, found {self.low:g}")
        if self.log and self.step is not None:
            yield Problem("step", "a logarithmic range has no step")
        if self.step is not None and abs((self.high - self.low) / self.step % 1 - 0.5) < 0.499999:
            yield Problem("step", f"steps of {self.step:g} do not lead from {self.low:g} to {self.high:g}")
        if not self.whole and self.step is not None and (self.high - self.low) / self.step > MOST_VALUES:
            yield Problem("step", f"steps of {self.step:g} make more than {MOST_VALUES:,} values", "use a larger one")
        if self.whole and self.step is not None and self.step != int(self.step):
            yield Problem("step", f"a range of whole numbers has a whole step, found {self.step:g}")

    @property
    def whole(self) -> bool:
        """Whether a range holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Both ends of the range, or every choice."""
        return (self.low, self.high) if self.choices is None else self.choices

    @property
    def values(self) -> Sequence[Any] | None:
        """Every value, or None if there are infinitely many."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        if self.step is None:
            return None
        count = int((self.high - self.low) / self.step + 1e-9) + 1
        # Rounded, since 0.1 + 6 * 0.1 is a little more than 0.7.
        return tuple(float(f"{self.low + number * self.step:.12g}") for number in range(count))

    def value_of(self, name: Any) -> Any:
        """Return the value that Optuna stores as ``name``: a choice is stored by its label, and steps are rounded."""
        if self.choices is not None:
            return next(choice for choice in self.choices if choice_label(choice) == name)
        # Steps add up to a little more or less than the value in the spec: 0.7000000000000001.
        return name if self.step is None else min(self.values or (), key=lambda exact: abs(exact - name))


def choice_label(choice: Any) -> str | int | float | bool:
    """Return a choice as tables show it: ``{use = "bottom-layers", layers = 2}`` is ``bottom-layers layers=2``."""
    if isinstance(choice, Mapping):
        options = [f"{key}={choice_label(value)}" for key, value in choice.items() if key != "use"]
        return " ".join([str(choice.get("use", "")), *options]).strip()
    if isinstance(choice, list | tuple):
        return "[" + ", ".join(str(choice_label(item)) for item in choice) + "]"
    return str(choice) if isinstance(choice, str) else choice


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What a search sampler is built for: the parameters by path, the seed of the study and that of the trial."""

    space: Mapping[str, Parameter]
    study_seed: int
    trial_seed: int


class SearchSamplerOptions(Options):
    """Base of every search sampler. A new sampler is built for every trial; its state is in Optuna's study."""

    kind: ClassVar[str] = "search-sampler"
    multi_objective: ClassVar[bool] = True
    """Whether several metrics can be searched at once."""
    exhaustive: ClassVar[bool] = False
    """Whether it visits every point once; the default spec is then no additional trial."""

    def space_problems(self, space: Mapping[str, Parameter]) -> Iterable[str]:
        """Yield why these parameters cannot be searched."""
        return ()

    @abstractmethod
    def build(self, context: SearchContext) -> BaseSampler:
        """Return Optuna's sampler."""


@dataclass(frozen=True, slots=True)
class PrunerContext:
    """What a pruner is built for: the number of runs of every trial, its seeds times its folds."""

    seeds_per_trial: int = 1


class PrunerOptions(Options):
    """Base of every pruner."""

    kind: ClassVar[str] = "pruner"
    compares_seeds: ClassVar[bool] = False
    """Whether a trial reports a value per run; otherwise one per evaluation of its first run, counted from 1."""

    def seed_problems(self, seeds: int) -> Iterable[str]:
        """Yield why so many runs per trial, seeds times folds, are too few."""
        return ()

    @abstractmethod
    def build(self, context: PrunerContext) -> BasePruner:
        """Return Optuna's pruner."""


AnySearchSampler = Annotated[SearchSamplerOptions, *component("search-sampler")]
"""A field that holds a component of this kind."""

AnyPruner = Annotated[PrunerOptions, *component("pruner")]
"""A field that holds a component of this kind."""
