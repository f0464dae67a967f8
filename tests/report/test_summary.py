"""The summary: means over finished seeds, worst status, paired tests and their sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kexp.cli.output import print_summary
from kexp.evaluate.statistics import mcnemar
from kexp.report.summary import build_summary, sentence

if TYPE_CHECKING:
    from kexp.evaluate.statistics import Predictions

LABELS = np.array([0, 1] * 100)


def result(variant: str, seed: int, accuracy: float | None) -> dict[str, Any]:
    """Return a finished run, or a failed one when there is no accuracy."""
    if accuracy is None:
        return {"status": "failed", "reason": "out of memory", "experiment": "few", "variant": variant, "seed": seed}
    metrics = {"validation": {"accuracy": accuracy + 0.01}, "test": {"accuracy": accuracy, "cross_entropy": 0.5}}
    return {
        "status": "done", "reason": None, "experiment": "few", "variant": variant, "seed": seed,
        "labels": ["no", "yes"], "metrics": metrics,
    }  # fmt: skip


def predicted(wrong: int, labels: Any = LABELS) -> Predictions:
    """Return certain predictions of which the first ``wrong`` are wrong."""
    ids = labels.copy()
    ids[:wrong] = 1 - ids[:wrong]
    return labels, np.eye(2)[ids]


def summary(results: list[dict[str, Any]], held: dict[tuple[str, int], Predictions]) -> dict[str, Any]:
    """Return the summary, after a trip through JSON."""
    made = build_summary(
        results,
        baselines={"uda": {"majority": {"test": {"accuracy": 0.5}}}},
        data={"uda": {"splits": {"train": {"read": 10, "kept": 9}}}},
        predictions=lambda run: held.get((run["variant"], run["seed"])),
    )
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def test_means_count_finished_runs_only() -> None:
    made = summary([result("uda", 1, 0.8), result("uda", 2, None), result("uda", 3, 0.9), result("plain", 1, 0.7)], {})
    assert (made["experiment"], made["status"]) == ("few", "failed")
    uda, plain = made["variants"]["uda"], made["variants"]["plain"]
    assert uda["seeds"] == [1, 2, 3]
    assert uda["status"] == {"1": "done", "2": "failed", "3": "done"}
    accuracy = uda["metrics"]["test"]["accuracy"]
    assert accuracy["values"] == [0.8, 0.9]
    assert (accuracy["mean"], accuracy["n"]) == (pytest.approx(0.85), 2)
    assert accuracy["sd"] == pytest.approx(0.05 * 2**0.5)
    assert accuracy["low"] == pytest.approx(0.85 - 12.7062 * 0.05, abs=1e-5)  # t(0.975, 1) from a printed table
    assert uda["metrics"]["validation"]["accuracy"]["mean"] == pytest.approx(0.86)
    assert uda["baselines"] == {"majority": {"test": {"accuracy": 0.5}}}
    assert uda["data"]["splits"]["train"]["kept"] == 9
    assert plain["metrics"]["test"]["accuracy"] == {
        "mean": 0.7, "sd": None, "n": 1, "low": None, "high": None, "values": [0.7],
    }  # fmt: skip
    assert (plain["baselines"], plain["data"], made["tests"], made["remarks"]) == ({}, {}, [], [])


def test_a_variant_without_a_finished_run_has_no_means() -> None:
    assert summary([result("uda", 1, None)], {})["variants"]["uda"]["metrics"] == {}


def test_values_that_are_not_finite_are_left_out() -> None:
    runs = [result("uda", seed, 0.8) for seed in (1, 2, 3)]
    runs[0]["metrics"]["test"]["cross_entropy"] = None
    runs[1]["metrics"]["test"]["cross_entropy"] = float("inf")
    assert summary(runs, {})["variants"]["uda"]["metrics"]["test"]["cross_entropy"]["values"] == [0.5]


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        (["done", "done"], "done"),
        (["done", "interrupted"], "interrupted"),
        (["interrupted", "failed", "done"], "failed"),
        ([], "interrupted"),
    ],
)
def test_the_worst_status_is_the_status(statuses: list[str], worst: str) -> None:
    runs = [result("uda", seed, 0.8) | {"status": status} for seed, status in enumerate(statuses)]
    assert summary(runs, {})["status"] == worst


def test_every_pair_is_tested_on_every_seed_that_both_finished() -> None:
    runs = [result(name, seed, 0.8) for name in ("a", "b", "c") for seed in (1, 2)]
    runs[5] = result("c", 2, None)
    held = {
        (run["variant"], run["seed"]): predicted(wrong) for run, wrong in zip(runs, (0, 5, 9, 5, 40, 0), strict=True)
    }
    made = summary(runs, held)
    pairs = [(test["a"], test["b"], test["seed"], test["metric"]) for test in made["tests"]]
    assert pairs == [
        (*pair, metric)
        for pair in (("a", "b", 1), ("a", "b", 2), ("a", "c", 1), ("b", "c", 1))
        for metric in ("accuracy", "macro_f1")
    ]
    first = made["tests"][0]
    assert first["difference"] == pytest.approx(9 / 200)
    assert first["p_value"] == mcnemar(np.ones(9, bool), np.zeros(9, bool))
    assert first["sentence"] == "a beats b by 0.045 accuracy (seed 1, p = 0.004, McNemar)"


def test_other_rows_are_not_compared_and_that_is_said() -> None:
    runs = [result("a", 1, 0.8), result("b", 1, 0.8), result("c", 1, 0.8)]
    shuffled = np.array([1, 0] * 100)
    held = {("a", 1): predicted(0), ("b", 1): predicted(0, shuffled), ("c", 1): predicted(0, LABELS[:50])}
    made = summary(runs, held)
    assert made["tests"] == []
    assert made["remarks"][0] == "a and b were not compared on seed 1: their test rows differ"
    assert len(made["remarks"]) == 3
    runs[1]["labels"] = ["yes", "no"]
    assert summary(runs[:2], {("a", 1): predicted(0), ("b", 1): predicted(0)})["tests"] == []


def test_sentences() -> None:
    test = {"a": "plain", "b": "uda", "seed": 2, "metric": "macro_f1", "test": "bootstrap"}
    numbers: dict[str, Any] = {"difference": -0.0206, "p_value": 0.0002, "low": -0.031, "high": -0.012}
    assert sentence(test | numbers) == (
        "uda beats plain by 0.021 macro_f1 (seed 2, p < 0.001, paired bootstrap, 95 % interval 0.012 to 0.031)"
    )
    numbers = {"difference": -0.004, "p_value": 0.41, "test": "mcnemar", "metric": "accuracy"}
    assert sentence(test | numbers) == (
        "no significant difference in accuracy between plain and uda (uda is 0.004 ahead, seed 2, p = 0.410, McNemar)"
    )
    assert sentence(test | numbers | {"difference": 0.0, "p_value": 1.0}) == (
        "no significant difference in accuracy between plain and uda (seed 2, p = 1.000, McNemar)"
    )


def test_a_reader_is_told_that_several_tests_are_not_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    results = [result("a", 1, 0.9), result("b", 1, 0.8)]

    def told(**held: int) -> str:
        made = summary(results, {(name, 1): predicted(wrong) for name, wrong in held.items()})
        print_summary({**made, "folder": "runs/few/1"})
        return capsys.readouterr().out

    assert "not corrected for the number of tests, 2; kexp compare does that" in told(a=10, b=60)
    assert "not corrected" not in told(a=10, b=10)
