"""Studies for search samplers: spaces of each kind of parameters, and trials as a search draws them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from kexp.contracts import Parameter, SearchSamplerOptions
from kexp.spec.space import Space

if TYPE_CHECKING:
    import optuna

Point = dict[str, Any]

_ALWAYS = {"size": Parameter(low=1, high=9)}
SPACES: Mapping[str, Mapping[str, Parameter]] = {
    "numbers": {"rate": Parameter(low=0.0, high=0.5), "x": Parameter(low=-2.0, high=2.0)},
    "logarithms": {"rate": Parameter(low=1e-6, high=1e-2, log=True), "n": Parameter(low=1, high=1000, log=True)},
    "steps": {"share": Parameter(low=0.1, high=0.9, step=0.2), "n": Parameter(low=2, high=12, step=5)},
    "whole numbers": {"n": Parameter(low=1, high=3), "m": Parameter(low=-2, high=3)},
    "choices": {"c": Parameter(choices=("가", 2, True, [1, 2], {"use": "focal", "gamma": 2.0})), **_ALWAYS},
    "one value": {"c": Parameter(choices=("only",)), **_ALWAYS},
    "conditions": {"o.use": Parameter(choices=("a", "b")), "o.k": Parameter(low=1, high=9, when={"o.use": "b"})},
}
"""A space of each kind of parameters."""


class QuietOptuna:
    """Silences Optuna's log lines, and its warnings about experimental parts."""

    @pytest.fixture(autouse=True)
    def _silent(self) -> Iterator[None]:
        from kexp.search.silence_optuna import quiet_optuna

        with quiet_optuna():
            yield


def study_of(
    options: SearchSamplerOptions, space: Mapping[str, Parameter], seed: int, storage: optuna.storages.BaseStorage
) -> optuna.Study:
    """Return a study with the sampler as a search has it, new or continued."""
    import optuna

    sampler = sampler_of(options, space, seed)
    return optuna.create_study(storage=storage, study_name="contract", sampler=sampler, load_if_exists=True)


def sampler_of(options: SearchSamplerOptions, space: Mapping[str, Parameter], seed: int) -> optuna.samplers.BaseSampler:
    """Return a sampler that is built anew for every trial, as a search has it."""
    from kexp.search.sampling import PerTrialSampler

    return PerTrialSampler(options, _ordered(space).parameters, seed)


def _ordered(space: Mapping[str, Parameter]) -> Space:
    return Space.of({"o": {"use": "a"}}, space)


def draw(
    options: SearchSamplerOptions,
    space: Mapping[str, Parameter],
    trials: int,
    seed: int = 1,
    study: optuna.Study | None = None,
) -> list[Point]:
    """Return the points of some trials, each of which is worse the larger its numbers are."""
    import optuna

    study = study or study_of(options, space, seed, optuna.storages.InMemoryStorage())
    points = []
    for _ in range(trials):
        trial = study.ask()
        points.append(suggest(trial, space))
        if not tell(study, trial, cost(points[-1])):
            break
    return points


def tell(
    study: optuna.Study,
    trial: optuna.Trial,
    values: float | Sequence[float] | None,
    state: optuna.trial.TrialState | None = None,
) -> bool:
    """Record the end of a trial; False when the sampler has visited every point."""
    from kexp.search.sampling import PerTrialSampler

    study.tell(trial, values, state)
    assert isinstance(study.sampler, PerTrialSampler)
    return not study.sampler.exhausted


def suggest(trial: optuna.Trial, space: Mapping[str, Parameter]) -> Point:
    """Draw a trial as a search does: in the order of the space, and only parameters whose condition holds."""
    from kexp.search.sampling import suggest as draw_values

    return draw_values(trial, _ordered(space))


def contains(parameter: Parameter, value: Any) -> bool:
    """Return whether a value is a parameter's; steps may be off by a rounding error."""
    if parameter.values is None:
        assert parameter.low is not None
        assert parameter.high is not None
        return bool(parameter.low <= value <= parameter.high)
    if parameter.choices is not None or parameter.whole:
        return value in parameter.values
    return any(math.isclose(value, one, rel_tol=1e-9) for one in parameter.values)


def cost(point: Point) -> float:
    """Return the value of a trial."""
    numbers = (value if isinstance(value, int | float) else len(str(value)) for value in point.values())
    return math.fsum((float(number) - 1) ** 2 for number in numbers)
