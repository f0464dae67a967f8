"""The spec as it stands is the first trial of every search, and ties are broken in its favour before the earlier ones."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from small_search import join, search

from kexp.builtin.pruners import Hyperband, Median, SuccessiveHalving
from kexp.builtin.search_samplers import GP, NSGA2, QMC, TPE, BruteForce, CmaEs, Grid, Random
from kexp.contracts import Parameter
from kexp.plan.search_metrics import SearchMetric
from kexp.search.default_trial import AS_IT_STANDS, in_space
from kexp.search.silence_optuna import quiet_optuna
from kexp.search.study import Study
from kexp.search.summary import best_trials, ranked, rows, summary

RANGES = {"lr": Parameter(low=0.0, high=1.0), "decay": Parameter(low=0.1, high=0.5)}
STEPS = {"lr": Parameter(low=0.0, high=1.0, step=0.25), "layers": Parameter(low=1, high=3)}
BASES = {
    "inside": {"lr": 0.5, "decay": 0.2, "layers": 2},
    "below the range": {"lr": -1.0, "decay": 0.2, "layers": 2},
    "between the steps": {"lr": 0.3, "decay": 0.05, "layers": 2},
    "not set": {"lr": None, "decay": None, "layers": None},
}
SAMPLERS = [Random(), TPE(startup_trials=1), GP(startup_trials=1), CmaEs(), QMC(), NSGA2(population=2)]


@pytest.fixture(autouse=True)
def _silent():
    with quiet_optuna():
        yield


@pytest.fixture
def storage() -> BaseStorage:
    return InMemoryStorage()


def result(value: float, loss: float | None = 0.5, seed: int = 1) -> dict[str, Any]:
    metrics = {"validation": {"f1": value}}
    return {"seed": seed, "train_seconds": 1.0, "metrics": metrics, "validation_loss": loss}


def run(study: Study, *found: tuple[float, float | None]) -> list[Any]:
    """Run a trial for each of these pairs of metric and loss, and return the trials."""
    trials = []
    for value, loss in found:
        trial = study.next_trial(None)
        assert trial is not None
        study.complete(trial.number, [result(value, loss)], "rows", "f")
        trials.append(trial)
    return trials


# --- the first trial --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
@pytest.mark.parametrize("sampler", [*SAMPLERS, Grid(), BruteForce()], ids=lambda one: type(one).__name__)
def test_the_first_trial_is_the_spec_as_it_stands(storage: BaseStorage, sampler: Any, base: dict[str, Any]) -> None:
    space = STEPS if sampler.exhaustive else RANGES
    study = join(storage, "far/1", search(space, sampler, base=base))
    first, *others = run(study, *[(0.1 * number, 0.5) for number in range(8)])
    assert (first.position, first.table) == (0, base)
    assert first.values == {path: base[path] for path in space}
    assert rows(study)[0] | first.values == rows(study)[0]
    # The others lie in the space: no sampler was misled by values that it cannot draw.
    for trial in others:
        assert all(space[path].low <= value <= space[path].high for path, value in trial.values.items())
        assert set(trial.values) == set(space)
    assert len({tuple(trial.values.values()) for trial in (first, *others)}) == 8


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
@pytest.mark.parametrize("sampler", [Grid(), BruteForce()], ids=lambda one: type(one).__name__)
def test_every_point_is_visited_besides_a_spec_that_is_none(
    storage: BaseStorage, sampler: Any, base: dict[str, Any]
) -> None:
    study = join(storage, "far/1", search(STEPS, sampler, base=base))
    tried = []
    while (trial := study.next_trial(None)) is not None:
        study.complete(trial.number, [result(0.5)], "rows", "f")
        tried.append(tuple(trial.values.values()))
    points = {(lr, layers) for lr in (0.0, 0.25, 0.5, 0.75, 1.0) for layers in (1, 2, 3)}
    assert sorted(tried[1:], key=str) == sorted(points - {tried[0]}, key=str)
    assert study.exhausted


def test_samplers_are_not_shown_a_trial_outside_the_space(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["below the range"]))
    run(study, (0.1, 0.5), (0.2, 0.5))
    assert [trial.state.name for trial in in_space(study.trials())] == ["WAITING", "COMPLETE"]
    inside = join(InMemoryStorage(), "far/1", search(RANGES, Random(), base=BASES["inside"]))
    run(inside, (0.1, 0.5), (0.2, 0.5))
    assert [trial.state.name for trial in in_space(inside.trials())] == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
def test_processes_that_begin_together_run_it_once(storage: BaseStorage, base: dict[str, Any]) -> None:
    job = search(RANGES, Random(), base=base)
    studies = [join(storage, f"far/{number}", job) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        trials = list(pool.map(lambda study: study.next_trial(6), studies))
    assert sorted(trial.position for trial in trials) == list(range(6))
    assert [trial.position for trial in trials if trial.table == base] == [0]


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
def test_it_stays_the_first_when_it_is_interrupted_or_lost(storage: BaseStorage, base: dict[str, Any]) -> None:
    job = search(RANGES, Random(), base=base)
    study = join(storage, "far/1", job)
    for end in (study.interrupt, study.lose):
        end(study.next_trial(3).number, "stopped")
    again = join(storage, "far/2", job).next_trial(3)
    assert (again.position, again.attempt, again.table) == (0, 3, base)


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
@pytest.mark.parametrize("sampler", [Random(), Grid()], ids=lambda one: type(one).__name__)
def test_a_study_of_an_earlier_version_gets_it_next_where_it_lacks_it(
    storage: BaseStorage, sampler: Any, base: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = STEPS if sampler.exhaustive else RANGES
    study = join(storage, "far/1", search(space, sampler, base=base))
    with monkeypatch.context() as patched:
        patched.setattr("kexp.search.study.lacks_default", lambda earlier, space: False)
        old = run(study, (0.3, 0.5), (0.4, 0.5))
    assert not any(AS_IT_STANDS in trial.system_attrs for trial in study.trials())
    assert base not in [trial.table for trial in old]
    new = run(study, (0.5, 0.5), (0.6, 0.5))
    assert new[0].table == base
    assert new[1].table != base


def test_what_a_person_enqueues_comes_before_it(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["inside"]))
    study.optuna.enqueue_trial({"lr": 0.25, "decay": 0.25})
    first, second = run(study, (0.3, 0.5), (0.4, 0.5))
    assert first.values == {"lr": 0.25, "decay": 0.25}
    assert second.table == BASES["inside"]


@pytest.mark.parametrize("pruner", [Median(startup_trials=0), Hyperband(), SuccessiveHalving()], ids=str)
@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
def test_it_is_never_pruned(storage: BaseStorage, base: dict[str, Any], pruner: Any) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=base, pruner=pruner))
    first, *others = [study.next_trial(4) for _ in range(4)]
    for step in range(1, 9):
        for trial in others:
            study.report(trial.number, step, 0.5)
        assert not study.report(first.number, step, 0.1)


# --- what is said of it -----------------------------------------------------------------------------------------------


def told(study: Study) -> dict[str, Any]:
    return summary(study, best_trials(study))


@pytest.mark.parametrize("base", BASES.values(), ids=list(BASES))
def test_no_gain_is_said_where_no_trial_is_better(storage: BaseStorage, base: dict[str, Any]) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=base))
    run(study, (0.8, 0.5), (0.7, 0.1), (0.6, 0.1))
    found = told(study)
    assert (found["best_trial"], found["no_gain"]) == (0, True)
    assert found["best_params"] == {path: base[path] for path in RANGES}
    assert found["remarks"] == ["no gain: no trial is better than the spec as it stands"]


def test_a_gain_is_no_remark(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["inside"]))
    run(study, (0.8, 0.5), (0.9, 0.9))
    assert (told(study)["best_trial"], told(study)["no_gain"], told(study)["remarks"]) == (1, False, [])


def test_where_the_spec_as_it_stands_failed_no_gain_is_claimed(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["below the range"]))
    study.fail(study.next_trial(None).number, "memory")
    run(study, (0.8, 0.5))
    assert told(study)["remarks"] == [
        "whether this is a gain is not known: no trial of the spec as it stands was completed"
    ]


# --- ties -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "best", "by"),
    [
        ([(0.9, 0.4), (0.9, 0.3), (0.9, 0.1), (0.9, 0.2), (0.8, 0.0)], 2, "the one with the lowest validation loss"),
        # Equal in both: the spec as it stands.
        ([(0.9, 0.1), (0.9, 0.1), (0.9, 0.1)], 0, "the spec as it stands"),
        # Equal in both, and better than it: the earlier one.
        ([(0.8, 0.1), (0.9, 0.1), (0.9, 0.1)], 1, "the earliest"),
        # A loss that is no number loses.
        ([(0.9, None), (0.9, 9.0), (0.9, None)], 1, "the one with the lowest validation loss"),
    ],
)
def test_ties_are_broken_by_loss_then_default_then_time(
    storage: BaseStorage, found: list[tuple[float, float | None]], best: int, by: str
) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["below the range"]))
    run(study, *found)
    (first,) = best_trials(study)
    assert first.number == best
    count = sum(value == 0.9 for value, _ in found)
    assert told(study)["remarks"][-1] == f"{count} trials have the same validation.f1; trial {best} is {by}"
    assert [row["validation_loss"] for row in rows(study)] == [loss for _, loss in found]


def test_the_spec_as_it_stands_wins_a_tie_although_it_came_later(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["inside"]))
    study.optuna.enqueue_trial({"lr": 0.25, "decay": 0.25})
    run(study, (0.9, 0.1), (0.9, 0.1))
    assert [trial.number for trial in ranked(study)] == [1, 0]


def test_of_equals_a_trial_of_an_earlier_version_stays_the_best(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["inside"]))
    run(study, (0.8, 0.1))
    finish = Study._finish

    def without_loss(self: Study, *arguments: Any, loss: float | None, **attributes: Any) -> bool:
        return finish(self, *arguments, **attributes)

    with monkeypatch.context() as patched:
        patched.setattr(Study, "_finish", without_loss)
        run(study, (0.9, 0.5), (0.9, 0.1))
    run(study, (0.9, 0.1))
    assert [trial.number for trial in ranked(study)] == [1, 2, 3, 0]


def test_the_loss_of_a_trial_is_the_mean_over_its_seeds(storage: BaseStorage) -> None:
    study = join(storage, "far/1", search(RANGES, Random(), base=BASES["inside"]))
    study.complete(study.next_trial(None).number, [result(0.9, 0.2, 1), result(0.9, 0.4, 2)], "rows", "f")
    study.complete(study.next_trial(None).number, [result(0.9, 0.2, 1), result(0.9, math.nan, 2)], "rows", "f")
    assert rows(study)[0]["validation_loss"] == pytest.approx(0.3)
    assert best_trials(study)[0].number == 0


def test_equal_values_of_several_metrics_are_ranked_by_loss(storage: BaseStorage) -> None:
    job = search(RANGES, Random(), base=BASES["inside"])
    metrics = [SearchMetric("validation.f1", "maximize"), SearchMetric("train_seconds", "minimize")]
    study = join(storage, "far/1", replace(job, metrics=metrics))
    run(study, (0.9, 0.4), (0.9, 0.2), (0.8, 0.1))
    assert [trial.number for trial in best_trials(study)] == [1, 0]


def test_on_a_pareto_front_with_others_the_spec_as_it_stands_is_not_called_better_than_they_are(
    storage: BaseStorage,
) -> None:
    metrics = [SearchMetric("validation.f1", "maximize"), SearchMetric("train_seconds", "minimize")]
    job = replace(search(RANGES, Random(), base=BASES["inside"]), metrics=metrics)
    study = join(storage, "far/1", job)
    for value, seconds in ((0.9, 5.0), (0.8, 1.0)):
        found = result(value) | {"train_seconds": seconds}
        study.complete(study.next_trial(None).number, [found], "rows", "f")
    front = (
        "the spec as it stands, trial 0, is on the Pareto front: no trial is better in one metric without being worse "
        "in another"
    )
    assert (told(study)["best_trial"], told(study)["no_gain"], told(study)["remarks"]) == (0, False, [front])
    # Where another is the first of the front, it is no better than the spec as it stands on the whole.
    study.complete(study.next_trial(None).number, [result(0.95) | {"train_seconds": 9.0}], "rows", "f")
    assert (told(study)["best_trial"], told(study)["no_gain"], told(study)["remarks"]) == (2, False, [front])
    # One that is better in both leaves it behind.
    study.complete(study.next_trial(None).number, [result(0.95) | {"train_seconds": 2.0}], "rows", "f")
    assert (told(study)["best_trial"], told(study)["no_gain"], told(study)["remarks"]) == (3, False, [])


def test_trials_that_equal_the_spec_as_it_stands_in_all_metrics_are_no_gain(storage: BaseStorage) -> None:
    metrics = [SearchMetric("validation.f1", "maximize"), SearchMetric("train_seconds", "minimize")]
    study = join(storage, "far/1", replace(search(RANGES, Random(), base=BASES["inside"]), metrics=metrics))
    run(study, (0.9, 0.4), (0.9, 0.4))
    assert told(study)["no_gain"]
    assert told(study)["remarks"][0] == "no gain: no trial is better than the spec as it stands"
