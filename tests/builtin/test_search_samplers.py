"""Search samplers on real studies: what they cover, what their seeds decide, and how a study is continued."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from scipy.stats import qmc

from kexp.catalog import Catalog
from kexp.contracts import Parameter, SearchSamplerOptions, choice_label
from kexp.search.sampling import PerTrialSampler
from kexp.search.silence_optuna import quiet_optuna
from kexp.spec.space import Space

Point = dict[str, Any]

RANGES = {"x": Parameter(low=-2.0, high=2.0), "rate": Parameter(low=1e-5, high=1e-1, log=True), "n": Parameter(low=1, high=9)}  # fmt: skip
CHOICES = {"c": Parameter(choices=["a", {"use": "b", "k": 2}, True])}
CONDITION = {"c.k": Parameter(low=1, high=3, when={"c.use": "b"}), "c.use": Parameter(choices=["a", "b"])}
FINITE = {"n": Parameter(low=1, high=5, step=2), "s": Parameter(low=0.5, high=1.5, step=0.5), **CHOICES}
# By name: the class of Optuna's, and a space of the kind that it searches.
SAMPLERS = {
    "tpe": ("TPESampler", RANGES | CHOICES | CONDITION),
    "gp": ("GPSampler", RANGES | CHOICES),
    "cmaes": ("CmaEsSampler", RANGES),
    "random": ("RandomSampler", RANGES | CHOICES | CONDITION),
    "grid": ("GridSampler", FINITE),
    "qmc": ("QMCSampler", RANGES),
    "nsga2": ("NSGAIISampler", RANGES | CHOICES | CONDITION),
    "brute-force": ("BruteForceSampler", FINITE | CONDITION),
}


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with quiet_optuna():
        yield


def options(catalog: Catalog, name: str, **stated: Any) -> SearchSamplerOptions:
    return catalog.find("search-sampler", name).options(**stated)  # type: ignore[return-value]


def suggest(trial: optuna.Trial, space: dict[str, Parameter]) -> Point:
    """Draw a trial as a search does: in the order of the space, and only what is there."""
    ordered = Space.of({"c": {"use": "a"}}, space)
    point: Point = {}
    for path, one in ordered.parameters.items():
        if not ordered.active(path, ordered.apply(point)):
            continue
        if one.choices is not None:
            point[path] = one.value_of(
                trial.suggest_categorical(path, [choice_label(choice) for choice in one.choices])
            )
        elif one.whole:
            point[path] = trial.suggest_int(path, one.low, one.high, step=int(one.step or 1), log=one.log)
        else:
            point[path] = trial.suggest_float(path, one.low, one.high, step=one.step, log=one.log)
    return point


def cost(point: Point) -> float:
    return sum((value - 1) ** 2 if isinstance(value, int | float) else len(str(value)) for value in point.values())


def draw(study: optuna.Study, space: dict[str, Parameter], trials: int) -> list[Point]:
    points = []
    for _ in range(trials):
        trial = study.ask()
        points.append(suggest(trial, space))
        study.tell(trial, cost(points[-1]))
    return points


def fresh(chosen: SearchSamplerOptions, space: dict[str, Parameter], seed: int = 1, trials: int = 13) -> list[Point]:
    return draw(optuna.create_study(sampler=PerTrialSampler(chosen, space, seed)), space, trials)


def test_all_samplers_are_there(catalog: Catalog) -> None:
    assert {entry.name for entry in catalog.entries("search-sampler")} >= SAMPLERS.keys()


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_decides_what_is_drawn_and_all_of_it_lies_in_the_space(catalog: Catalog, name: str) -> None:
    (built, space), chosen = SAMPLERS[name], options(catalog, name)
    sampler = PerTrialSampler(chosen, space, 1)
    study = optuna.create_study(sampler=sampler)
    points = draw(study, space, 13)
    assert type(sampler.inner).__name__ == built
    assert list(chosen.space_problems(space)) == []
    assert fresh(chosen, space) == points
    assert fresh(chosen, space, seed=2) != points
    for point in points:
        assert (point.get("c.use") == "b") is ("c.k" in point)
        for path, value in point.items():
            one = space[path]
            assert value in one.values if one.values is not None else one.low <= value <= one.high


@pytest.mark.parametrize(
    ("name", "refused"),
    [("tpe", ""), ("random", ""), ("nsga2", ""), ("gp", "conditions"), ("cmaes", "choices conditions"),
     ("qmc", "choices conditions"), ("grid", "endless conditions"), ("brute-force", "endless")],
)  # fmt: skip
def test_samplers_refuse_what_they_cannot_search(catalog: Catalog, name: str, refused: str) -> None:
    whole = {"n": Parameter(low=1, high=9)}
    kinds = {"choices": CHOICES, "conditions": {"k": Parameter(low=1, high=3, when={"n": 1})}, "endless": RANGES}
    told = {kind: len(list(options(catalog, name).space_problems(whole | space))) for kind, space in kinds.items()}
    # Two of the ranges are endless.
    assert told == {kind: (1 + (kind == "endless")) * (kind in refused.split()) for kind in kinds}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_of_several_metrics_search_several(catalog: Catalog, name: str) -> None:
    space, chosen = SAMPLERS[name][1], options(catalog, name, **({"population": 3} if name == "nsga2" else {}))
    assert chosen.multi_objective is (name != "cmaes")
    if chosen.multi_objective:
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=PerTrialSampler(chosen, space, 1))
        for _ in range(12):
            trial = study.ask()
            study.tell(trial, [cost(suggest(trial, space)), trial.number])
        assert study.best_trials


# --- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2"])
def test_processes_that_share_a_study_never_draw_alike(catalog: Catalog, name: str) -> None:
    storage = optuna.storages.InMemoryStorage()
    one, other = (
        optuna.create_study(
            storage=storage,
            study_name="s",
            load_if_exists=True,
            sampler=PerTrialSampler(options(catalog, name), RANGES, 1),
        )
        for _ in range(2)
    )
    points = []
    for _ in range(4):
        # Both have asked before either draws.
        asked = [(study, study.ask()) for study in (one, other)]
        for study, trial in asked:
            points.append(suggest(trial, RANGES))
            study.tell(trial, cost(points[-1]))
    assert len({point["x"] for point in points}) == len(points) == len(one.trials)
    # In their first trials, which do not look at others, they draw what one process alone would have drawn.
    assert points == fresh(options(catalog, name), RANGES, trials=8)


@pytest.mark.parametrize("kept", [1, 6, 11])
@pytest.mark.parametrize(("name", "stated"), [("random", {}), ("tpe", {"startup_trials": 4}), ("cmaes", {}), ("qmc", {}),
                                              ("nsga2", {"population": 3}), ("grid", {}), ("brute-force", {})])  # fmt: skip
def test_a_continued_study_draws_what_an_uninterrupted_one_would(
    catalog: Catalog, name: str, stated: dict[str, Any], kept: int
) -> None:
    space, chosen, storage = SAMPLERS[name][1], options(catalog, name, **stated), optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s", sampler=PerTrialSampler(chosen, space, 1))
    before = draw(study, space, kept)
    again = optuna.load_study(storage=storage, study_name="s", sampler=PerTrialSampler(chosen, space, 1))
    assert before + draw(again, space, 15 - kept) == fresh(chosen, space, trials=15)


# --- what they cover ------------------------------------------------------------------------------------------------


def every_point(space: dict[str, Parameter]) -> set[tuple[Any, ...]]:
    """Return all points as sorted items; in CONDITION, ``c.k`` is there with one of the choices only."""
    free = {path: one for path, one in space.items() if path not in CONDITION}
    points = [
        dict(zip(free, values, strict=True)) for values in itertools.product(*(one.values for one in free.values()))
    ]
    if "c.k" in space:
        points = [{**point, **inner} for point in points for inner in [{"c.use": "a"}, *({"c.use": "b", "c.k": k} for k in (1, 2, 3))]]  # fmt: skip
    return {frozen(point) for point in points}


def frozen(point: Point) -> tuple[Any, ...]:
    return tuple(sorted((path, str(choice_label(value))) for path, value in point.items()))


TENTHS = {"s": Parameter(low=0.1, high=0.7, step=0.1), "n": Parameter(low=1, high=2)}


def visit(study: optuna.Study, space: dict[str, Parameter], jobs: int, expected: int, visited: list[Point]) -> None:
    """Do trials with so many under way at once; all that were drawn are in ``visited``."""
    running: list[tuple[optuna.Trial, Point]] = []
    while running or len(visited) < expected:
        while len(running) < jobs and len(visited) < expected:
            trial = study.ask()
            visited.append(suggest(trial, space))
            running.append((trial, visited[-1]))
        trial, point = running.pop(0)
        study.tell(trial, cost(point))


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize(
    ("name", "space"),
    [("grid", FINITE), ("grid", CHOICES), ("grid", TENTHS), ("brute-force", FINITE), ("brute-force", FINITE | CONDITION)],
)  # fmt: skip
def test_every_point_is_visited_once_and_then_the_study_says_so(
    catalog: Catalog, name: str, space: dict[str, Parameter], jobs: int
) -> None:
    assert options(catalog, name).exhaustive
    sampler = PerTrialSampler(options(catalog, name), space, 5)
    study = optuna.create_study(sampler=sampler)
    expected, visited = every_point(space), list[Point]()
    visit(study, space, jobs, expected=len(expected), visited=visited)
    assert sampler.exhausted
    assert len(visited) == len(expected)
    assert set(map(frozen, visited)) == expected
    # The trials that ended, the last one included, have been recorded.
    states = [trial.state for trial in study.trials]
    done = states.count(TrialState.COMPLETE)
    assert states == [TrialState.COMPLETE] * done + [TrialState.RUNNING] * (len(expected) - done)
    assert done > len(expected) - jobs


@pytest.mark.parametrize(("sequence", "engine"), [("sobol", qmc.Sobol), ("halton", qmc.Halton)])
def test_quasi_random_trials_follow_their_sequence(catalog: Catalog, sequence: str, engine: Any) -> None:
    space = {"a": Parameter(low=0.0, high=1.0), "b": Parameter(low=2.0, high=4.0)}
    points = fresh(options(catalog, "qmc", sequence=sequence, scramble=False), space, trials=9)
    # The first trial shows the sampler the space.
    found = [[point["a"], (point["b"] - 2) / 2] for point in points[1:]]
    np.testing.assert_allclose(found, engine(d=2, scramble=False).random(8), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_trials_of_a_scrambled_sequence_share_one_scrambling(catalog: Catalog, seed: int) -> None:
    space = {name: Parameter(low=0.0, high=1.0) for name in "abc"}
    points = fresh(options(catalog, "qmc"), space, seed, trials=17)[1:]
    # However it is scrambled, 16 points of Sobol's sequence lie in 16 different sixteenths of every axis.
    assert all(sorted(int(point[name] * 16) for point in points) == list(range(16)) for name in space)


@pytest.mark.parametrize(("name", "trials"), [("tpe", 60), ("cmaes", 60), ("gp", 20)])
def test_samplers_that_learn_beat_random_draws_although_they_are_built_anew(
    catalog: Catalog, name: str, trials: int
) -> None:
    space = {"a": Parameter(low=-5.0, high=5.0), "b": Parameter(low=-5.0, high=5.0)}
    best = {each: min(map(cost, fresh(options(catalog, each), space, 3, trials))) for each in (name, "random")}
    assert best[name] < best["random"] / 4
