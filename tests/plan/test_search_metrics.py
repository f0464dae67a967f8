"""What a search optimises, and samplers and pruners that cannot work with it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kexp.catalog import Catalog
from kexp.plan.cross_checks import warnings_of
from kexp.plan.search_metrics import MEASURES, SearchMetric, search_metrics
from kexp.plan.validate import validate

RESULT = {
    "metrics": {"validation": {"macro_f1": 0.75, "cross_entropy": 0.5}, "test": {"macro_f1": 0.25}},
    "train_seconds": 12,
    "examples_per_second": 340.5,
    "parameters": {"total": 1000, "trainable": 10},
}
RATE = {"training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
BOTH = ["validation.macro_f1", "train_seconds"]


def table(search: dict[str, Any], **sections: Any) -> dict[str, Any]:
    base = {"name": "x", "seeds": [1, 2, 3, 4], "dataset": "dialect-sample", "backbone": "tiny"}
    return {**base, **sections, "search": {"trials": 9, "space": RATE, **search}}


def problems(catalog: Catalog, **search: Any) -> list[str]:
    return [str(problem) for problem in validate(table(search), catalog)[1]]


def metrics_of(catalog: Catalog, search: dict[str, Any], **sections: Any) -> list[tuple[str, str]]:
    spec, found = validate(table(search, **sections), catalog)
    assert spec is not None, found
    assert spec.search is not None
    return [
        (metric.name, metric.direction)
        for metric in search_metrics(spec.search, spec.training, spec.evaluation, catalog)
    ]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({}, [("validation.macro_f1", "maximize")]),
        ({"metric": "validation.cross_entropy"}, [("validation.cross_entropy", "minimize")]),
        ({"metric": "validation.ece"}, [("validation.ece", "minimize")]),
        ({"metric": "validation.mcc"}, [("validation.mcc", "maximize")]),
        ({"direction": "minimize"}, [("validation.macro_f1", "minimize")]),
        ({"metric": BOTH}, [("validation.macro_f1", "maximize"), ("train_seconds", "minimize")]),
        ({"metric": BOTH[::-1]}, [("train_seconds", "minimize"), ("validation.macro_f1", "maximize")]),
        ({"metric": BOTH, "direction": ["minimize", "maximize"]}, [("validation.macro_f1", "minimize"), ("train_seconds", "maximize")]),
        ({"metric": ["parameters.total", "parameters.trainable", "examples_per_second"]},
         [("parameters.total", "minimize"), ("parameters.trainable", "minimize"), ("examples_per_second", "maximize")]),
    ],
)  # fmt: skip
def test_metrics_have_the_direction_in_which_they_are_better(catalog: Catalog, search: Any, expected: Any) -> None:
    assert metrics_of(catalog, search) == expected


def test_without_a_metric_a_search_optimises_the_monitor(catalog: Catalog) -> None:
    assert metrics_of(catalog, {}, training={"monitor": "cross_entropy"}) == [("validation.cross_entropy", "minimize")]


@pytest.mark.parametrize(
    ("name", "metric", "value"),
    [
        ("validation.macro_f1", "macro_f1", 0.75),
        ("validation.cross_entropy", "cross_entropy", 0.5),
        ("train_seconds", None, 12.0),
        ("examples_per_second", None, 340.5),
        ("parameters.total", None, 1000.0),
        ("parameters.trainable", None, 10.0),
    ],
)
def test_a_search_metric_is_a_number_of_the_result(name: str, metric: str | None, value: float) -> None:
    found = SearchMetric(name, "maximize")
    assert (found.validation_metric, found.of(RESULT)) == (metric, value)
    assert name.startswith("validation.") or name in MEASURES
    assert math.isnan(found.of({"metrics": {"test": {"macro_f1": 1.0}}}))


def test_better_follows_the_direction() -> None:
    up, down = SearchMetric("a", "maximize"), SearchMetric("a", "minimize")
    assert (up.better(2, 1), up.better(1, 2), down.better(2, 1), down.better(1, 2)) == (True, False, False, True)
    assert not up.better(1, 1)
    assert not down.better(1, 1)
    assert not any(metric.better(*pair) for metric in (up, down) for pair in ((math.nan, 1), (1, math.nan)))


KNOWN = ["examples_per_second", "parameters.total", "parameters.trainable", "train_seconds"]
METRICS = [f"validation.{name}" for name in ("accuracy", "cross_entropy", "ece", "macro_f1", "mcc", "weighted_f1")]
CHOICES = {"training.batch_size": {"choices": [16, 32]}}
CONDITION = {"training.weight_decay": {"low": 0.0, "high": 0.1, "when": {"training.epochs": 3}}}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"metric": "validation.macrof1"}, ['search.metric: unknown metric "validation.macrof1"; did you mean "validation.macro_f1"?']),
        ({"metric": "trainseconds"}, ['search.metric: unknown metric "trainseconds"; did you mean "train_seconds"?']),
        ({"metric": "zzz"}, [f'search.metric: unknown metric "zzz"; known: {", ".join(KNOWN + METRICS)}']),
        ({"metric": "test.macro_f1"}, ['search.metric: "test.macro_f1": the search does not read the test split; use "validation.macro_f1"']),
        ({"metric": [*BOTH, "test.mcc"]}, ['search.metric: "test.mcc": the search does not read the test split; use "validation.mcc"']),
        ({"metric": BOTH, "direction": "minimize"}, ["search.direction: 1 directions for 2 metrics"]),
        ({"direction": ["minimize", "maximize"]}, ["search.direction: 2 directions for 1 metrics"]),
        ({"sampler": "cmaes", "space": RATE | CHOICES}, ['search.sampler: "cmaes" searches ranges only, and training.batch_size has choices; use "tpe"']),
        ({"sampler": "cmaes", "space": RATE | CONDITION}, ['search.sampler: "cmaes" does not support conditions, and training.weight_decay has "when"; use "tpe" or "brute-force"']),
        ({"sampler": "cmaes", "metric": BOTH}, ['search.sampler: "cmaes" searches one metric only; use "nsga2" or "tpe"']),
        ({"sampler": "grid"}, ['search.sampler: "grid" visits every value, and training.learning_rate has infinitely many; give it a step, or choices']),
        ({"sampler": "grid", "space": RATE | CONDITION}, [
            'search.sampler: "grid" visits every value, and training.learning_rate has infinitely many; give it a step, or choices',
            'search.sampler: "grid" visits every value, and training.weight_decay has infinitely many; give it a step, or choices',
            'search.sampler: "grid" does not support conditions, and training.weight_decay has "when"; use "tpe" or "brute-force"']),
        ({"sampler": "brute-force"}, ['search.sampler: "brute-force" visits every value, and training.learning_rate has infinitely many; give it a step, or choices']),
        ({"sampler": {"use": "tpe", "candidates": 0}}, ["search.sampler.candidates: expected a number greater than 0, found 0"]),
        ({"sampler": "zzz"}, ['search.sampler: unknown search-sampler "zzz"; known: brute-force, cmaes, gp, grid, nsga2, qmc, random, tpe']),
        ({"metric": BOTH, "pruner": "median"}, ["search.pruner: trials with several metrics cannot be pruned; leave it out"]),
        ({"metric": "train_seconds", "pruner": "hyperband"}, ['search.pruner: evaluations do not report train_seconds; use "none"']),
        ({"pruner": "wilcoxon"}, ["search.pruner: 1 seeds of a trial cannot give a p-value of 0.1, the least is 0.5; raise search.seeds_per_trial"]),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told(catalog: Catalog, search: dict[str, Any], expected: list[str]) -> None:
    assert problems(catalog, **search) == expected


def test_a_goal_and_a_sampler_are_told_at_once(catalog: Catalog) -> None:
    found = problems(catalog, sampler="cmaes", space=RATE | CHOICES | CONDITION, metric=BOTH, pruner="median")
    assert [line.split(": ")[0] for line in found] == ["search.sampler"] * 3 + ["search.pruner"]


@pytest.mark.parametrize(
    "search",
    [
        {"metric": BOTH, "pruner": "none"},
        {"metric": BOTH, "sampler": "nsga2"},
        {"metric": "train_seconds", "pruner": "none"},
        {"metric": "train_seconds"},
        {"pruner": "wilcoxon", "seeds_per_trial": 4},
        {"sampler": "brute-force", "space": CHOICES},
        {"sampler": "grid", "space": {"training.weight_decay": {"low": 0.0, "high": 0.5, "step": 0.25}}},
        {"sampler": "cmaes", "pruner": "successive-halving"},
        {"sampler": "tpe", "space": RATE | CHOICES | CONDITION},
    ],
)
def test_what_works_has_no_problem(catalog: Catalog, search: dict[str, Any]) -> None:
    assert problems(catalog, **search) == []


@pytest.mark.parametrize(
    ("sections", "space", "warned"),
    [
        ({"training": {"steps": 9}}, ["training.epochs"], ["training"]),
        ({"training": {"epochs": 9}}, ["training.epochs"], []),
        ({"training": {"steps": 9}}, ["training.epochs", "training.steps"], []),
        ({"training": {"steps": 9}, "pretraining": {"steps": 9}}, ["pretraining.epochs"], ["pretraining"]),
        ({"training": {"steps": 9}, "pretraining": {}}, ["pretraining.epochs"], []),
    ],
)
def test_epochs_that_steps_replace_are_warned_of(
    catalog: Catalog, sections: dict[str, Any], space: list[str], warned: list[str]
) -> None:
    spec, found = validate(table({"space": {path: {"low": 1, "high": 3} for path in space}}, **sections), catalog)
    assert spec is not None, found
    assert [str(warning) for warning in warnings_of(spec) if warning.path.startswith("search")] == [
        f"search.space.{name}.epochs: values above 0 have no effect, since {name}.steps is given; "
        f"search {name}.steps, or remove {name}.steps"
        for name in warned
    ]
