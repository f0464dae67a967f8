"""Pruners on real studies, held against their definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest

from kexp.catalog import Catalog
from kexp.contracts import PrunerContext, PrunerOptions
from kexp.plan.validate import validate
from kexp.search.silence_optuna import quiet_optuna

PRUNERS = {"none": "NopPruner", "median": "MedianPruner", "hyperband": "HyperbandPruner",
           "successive-halving": "SuccessiveHalvingPruner", "wilcoxon": "WilcoxonPruner"}  # fmt: skip


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with quiet_optuna():
        yield


def options(catalog: Catalog, name: str, **stated: Any) -> PrunerOptions:
    return catalog.find("pruner", name).options(**stated)  # type: ignore[return-value]


def study_of(catalog: Catalog, name: str, direction: str = "maximize", **stated: Any) -> optuna.Study:
    # Hyperband deals out its brackets by the name of the study.
    return optuna.create_study(
        study_name="s", direction=direction, pruner=options(catalog, name, **stated).build(PrunerContext())
    )


def follow(study: optuna.Study, values: Any, first: int = 1) -> list[bool]:
    """Report the values of a trial to its end and return at which of them it would have been pruned."""
    trial = study.ask()
    said = []
    for step, value in enumerate(values, first):
        trial.report(float(value), step)
        said.append(bool(trial.should_prune()))
    study.tell(trial, float(values[-1]))
    return said


def curves(trials: int, steps: int = 6, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(trials, steps)).cumsum(axis=1)


@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_build_with_their_defaults_and_never_prune_the_first_trial(catalog: Catalog, name: str) -> None:
    chosen = options(catalog, name)
    assert type(chosen.build(PrunerContext())).__name__ == PRUNERS[name]
    assert chosen.compares_seeds is (name == "wilcoxon")
    assert not any(follow(study_of(catalog, name), [0.1, 0.2, 0.3]))


def test_no_pruner_never_prunes(catalog: Catalog) -> None:
    study = study_of(catalog, "none")
    assert not any(said for values in curves(12) for said in follow(study, values))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("startup", [0, 1, 5])
def test_the_median_prunes_whom_an_independent_median_prunes(catalog: Catalog, direction: str, startup: int) -> None:
    study = study_of(catalog, "median", direction, startup_trials=startup)
    sign = 1 if direction == "maximize" else -1
    done: list[np.ndarray[Any, Any]] = []
    pruned = 0
    for values in curves(25) * sign:
        trial = study.ask()
        for step in range(len(values)):
            trial.report(float(values[step]), step + 1)
            best = (sign * values[: step + 1]).max()
            others = [sign * other[step] for other in done]
            expected = len(done) >= max(startup, 1) and best < np.median(others)
            assert bool(trial.should_prune()) is bool(expected)
            if expected:
                break
        # Those that were pruned are not among the others.
        state = optuna.trial.TrialState.PRUNED if expected else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if expected else float(values[-1]), state)
        done += [] if expected else [values]
        pruned += bool(expected)
    assert 3 < pruned < 22


@pytest.mark.parametrize("warmup", [0, 1, 2, 4])
def test_evaluations_of_the_warmup_never_end_a_trial(catalog: Catalog, warmup: int) -> None:
    study = study_of(catalog, "median", startup_trials=1, warmup=warmup)
    follow(study, [0.9] * 5)
    # Evaluations are counted from 1.
    assert follow(study, [0.1] * 5) == [evaluation > warmup for evaluation in range(1, 6)]


@pytest.mark.parametrize(("reduction", "first", "rate"), [(2, 1, 0), (3, 1, 0), (2, 2, 0), (2, 1, 1)])
def test_successive_halving_lets_the_best_share_of_a_rung_go_on(
    catalog: Catalog, reduction: int, first: int, rate: int
) -> None:
    study = study_of(catalog, "successive-halving", min_evaluations=first, reduction=reduction, rate=rate)
    rung = first * reduction**rate
    reached: list[float] = []
    for value in np.random.default_rng(1).permutation(20):
        reached.append(float(value))
        ahead = sum(other > value for other in reached)
        said = follow(study, [value] * rung)
        assert said == [False] * (rung - 1) + [bool(ahead >= max(1, len(reached) // reduction))]


def test_hyperband_spreads_trials_over_brackets_of_different_patience(catalog: Catalog) -> None:
    study = study_of(catalog, "hyperband", min_evaluations=1, max_evaluations=9, reduction=3)
    follow(study, [1.0] * 9)
    said = [follow(study, [-number] * 9) for number in range(40)]
    # Every trial is worse than all before: it ends at the first rung of its bracket, after 1, 3 or 9 evaluations.
    assert {answers.index(True) + 1 for answers in said if True in answers} == {1, 3, 9}
    assert sum(True not in answers for answers in said) < 3


@pytest.mark.parametrize(
    ("stated", "first"),
    [({}, 4), ({"p_threshold": 0.3}, 2), ({"p_threshold": 0.01}, 7), ({"startup_seeds": 6}, 6), ({"startup_seeds": 0}, 4)],
)  # fmt: skip
def test_wilcoxon_ends_a_trial_as_soon_as_its_seeds_are_significantly_worse(
    catalog: Catalog, stated: dict[str, Any], first: int
) -> None:
    study = study_of(catalog, "wilcoxon", **stated)
    good = 0.9 + np.arange(9) / 100
    follow(study, good, first=0)
    # All of n differences point one way with a probability of 1 in 2 ** n.
    threshold = stated.get("p_threshold", 0.1)
    assert first == max(stated.get("startup_seeds", 2), min(n for n in range(2, 10) if 0.5**n < threshold))
    assert follow(study, good - 0.2, first=0) == [seeds >= first for seeds in range(1, 10)]


def test_wilcoxon_lets_a_trial_go_on_that_is_better(catalog: Catalog) -> None:
    study = study_of(catalog, "wilcoxon")
    follow(study, 0.5 + np.arange(9) / 100, first=0)
    assert not any(follow(study, 0.6 + np.arange(9) / 100, first=0))


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        ({"use": "hyperband", "min_evaluations": 4, "max_evaluations": 3}, ["search.pruner.max_evaluations: 3 is below min_evaluations, 4"]),
        ({"use": "hyperband", "min_evaluations": 3, "max_evaluations": 3}, []),
        ({"use": "hyperband", "min_evaluations": 3}, []),
        ({"use": "hyperband", "reduction": 1}, ["search.pruner.reduction: expected a number of at least 2, found 1"]),
        ({"use": "median", "warmup": -1}, ["search.pruner.warmup: expected a number of at least 0, found -1"]),
        ({"use": "wilcoxon", "p_threshold": 1.0}, ["search.pruner.p_threshold: expected a number less than 1, found 1.0"]),
        ({"use": "successive-halving", "min_evaluations": "auto"}, []),
        ("medain", ['search.pruner: unknown pruner "medain"; did you mean "median"?']),
    ],
)  # fmt: skip
def test_options_of_pruners_are_checked(catalog: Catalog, pruner: Any, expected: list[str]) -> None:
    search = {"trials": 3, "seeds_per_trial": 2, "pruner": pruner, "space": {"training.epochs": {"low": 1, "high": 3}}}
    table = {"name": "x", "seeds": [1, 2], "dataset": "dialect-sample", "backbone": "tiny", "search": search}
    assert [str(problem) for problem in validate(table, catalog)[1]] == expected
