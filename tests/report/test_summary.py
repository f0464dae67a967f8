"""The summary: means over finished runs, worst status, tests of pairs and their sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.cli.output import print_summary
from kexp.evaluate.statistics import mcnemar
from kexp.report import predictions as tables
from kexp.report.sentences import sentence
from kexp.report.summary import build_summary

if TYPE_CHECKING:
    from pathlib import Path

    from kexp.report.predictions import Tested

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


TEXTS = [f"{number}번째 글" for number in range(200)]


@pytest.fixture
def predicted(tmp_path: Path) -> Callable[..., Tested]:
    """Return a function that stores certain predictions of which the first ``wrong`` are wrong, and reads them back."""

    def stored(wrong: int, labels: Any = LABELS, texts: Sequence[str] = TEXTS) -> Tested:
        ids = labels.copy()
        ids[:wrong] = 1 - ids[:wrong]
        names, path = ("no", "yes"), tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        rows = np.arange(len(labels))
        task = SingleLabel()
        predicted = task.columns(labels, np.eye(2)[ids], names, {})
        tables.write(path, [tables.table("test", rows, texts[: len(labels)], None, predicted)])
        return tables.tested(path, "test", names, task, {})

    return stored


def summary(results: list[dict[str, Any]], held: Mapping[tuple[str, int], Tested], **split: Any) -> dict[str, Any]:
    """Return the summary, after a trip through JSON."""
    made = build_summary(
        results,
        baselines={"uda": {"majority": {"test": {"accuracy": 0.5}}}},
        data={"uda": {"splits": {"train": {"read": 10, "kept": 9}}}},
        predictions=lambda run: held.get((run["variant"], run["seed"])),
        specs={"uda": {"split": split}},
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
    assert (accuracy["values"], accuracy["over"]) == ([0.8, 0.9], "2 seeds")
    assert (accuracy["mean"], accuracy["n"]) == (pytest.approx(0.85), 2)
    assert accuracy["sd"] == pytest.approx(0.05 * 2**0.5)
    # Student's t would give 0.21 to 1.49 for them.
    assert (accuracy["low"], accuracy["high"], accuracy["interval"]) == (None, None, None)
    assert uda["metrics"]["validation"]["accuracy"]["mean"] == pytest.approx(0.86)
    assert uda["baselines"] == {"majority": {"test": {"accuracy": 0.5}}}
    assert uda["data"]["splits"]["train"]["kept"] == 9
    assert plain["metrics"]["test"]["accuracy"] == {
        "mean": 0.7, "sd": None, "n": 1, "low": None, "high": None, "interval": None, "over": "1 seed", "values": [0.7],
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


def test_means_of_draws_and_folds_are_over_the_outermost(predicted: Callable[..., Tested]) -> None:
    means = {1: 0.71, 2: 0.81, 3: 0.61, 4: 0.81, 5: 0.61}
    values = {(draw, seed): mean + (-0.01, 0.01)[seed - 1] for draw, mean in means.items() for seed in (1, 2)}
    by_draw = [result("uda", seed, value) | {"draw": draw} for (draw, seed), value in values.items()]
    by_fold = [run | {"fold": run.pop("draw")} for run in map(dict, by_draw)]
    folds, draws = (
        summary(runs, {}, **split)["variants"]["uda"]["metrics"]["test"]["accuracy"]
        for runs, split in ((by_fold, {"folds": 5}), (by_draw, {}))
    )
    assert (draws["over"], draws["n"], draws["mean"]) == ("5 label draws x 2 seeds", 5, pytest.approx(0.71))
    assert (folds["over"], folds["n"], folds["mean"]) == ("5 folds x 2 seeds", 5, pytest.approx(0.71))
    assert draws["values"] == folds["values"] == list(values.values())
    # t(0.975, 4) from a printed table.
    assert draws["sd"] == folds["sd"] == pytest.approx(0.1)
    assert draws["high"] - draws["mean"] == pytest.approx(2.7764 * 0.1 * (1 / 5) ** 0.5, abs=1e-5)
    # A fifth of the rows is tested, four fifths are not (Nadeau & Bengio 2003).
    assert folds["mean"] - folds["low"] == pytest.approx(2.7764 * 0.1 * (1 / 5 + 1 / 4) ** 0.5, abs=1e-5)
    assert (draws["interval"], folds["interval"]) == ("t", "t")
    failed = summary([*by_draw[:9], by_draw[9] | {"status": "failed"}], {})["variants"]["uda"]["metrics"]["test"]
    assert failed["accuracy"]["over"] == "5 label draws x 2 seeds, 9 runs"


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 5])
def test_the_interval_of_few_seeds_is_that_of_a_bootstrap_over_rows_and_seeds(
    predicted: Callable[..., Tested], seeds: int
) -> None:
    wrong = [60, 40, 55, 45, 50][:seeds]
    runs = [result("uda", seed, 1 - count / 200) for seed, count in enumerate(wrong, 1)]
    held = {("uda", seed): predicted(count) for seed, count in enumerate(wrong, 1)}
    accuracy = summary(runs, held)["variants"]["uda"]["metrics"]["test"]["accuracy"]
    assert accuracy["interval"] == (None, "bootstrap", "bootstrap", "bootstrap", "t")[seeds - 1]
    if accuracy["interval"] is None:
        assert (accuracy["low"], accuracy["high"]) == (None, None)
        return
    assert 0 <= accuracy["low"] < accuracy["mean"] < accuracy["high"] <= 1
    if accuracy["interval"] == "bootstrap":
        # The rows alone make it this wide, however alike the seeds are.
        assert accuracy["high"] - accuracy["low"] > 2 * 1.96 * (0.75 * 0.25 / 200) ** 0.5 * 0.9
        assert summary(runs, held)["variants"]["uda"]["metrics"]["test"]["accuracy"] == accuracy
        # Without the predictions of every run there is none, and none on validation.
        missing = summary(runs, {("uda", 1): held["uda", 1]})["variants"]["uda"]["metrics"]
        assert missing["test"]["accuracy"]["low"] is missing["validation"]["accuracy"]["low"] is None


def test_no_difference_of_few_seeds_has_an_interval(predicted: Callable[..., Tested]) -> None:
    for seeds in (2, 4, 5):
        runs = [result(name, seed, 0.8) for name in ("a", "b") for seed in range(seeds)]
        held = {
            (run["variant"], run["seed"]): predicted(20 + 9 * (run["variant"] == "b") + run["seed"]) for run in runs
        }
        (test,) = (test for test in summary(runs, held)["tests"] if test["metric"] == "accuracy")
        assert (test["low"] is None) == ("interval" not in test["sentence"]) == (seeds < 5)
        assert 0 < test["p_value"] < 1


def test_every_pair_has_one_test_of_what_both_finished(predicted: Callable[..., Tested]) -> None:
    runs = [result(name, seed, 0.8) for name in ("a", "b", "c") for seed in (1, 2)]
    runs[5] = result("c", 2, None)
    held = {
        (run["variant"], run["seed"]): predicted(wrong) for run, wrong in zip(runs, (0, 5, 9, 5, 40, 0), strict=True)
    }
    made = summary(runs, held)
    assert [(test["a"], test["b"], test["metric"], test["n"], test["stated"]) for test in made["tests"]] == [
        (*pair, metric, n, metric == "accuracy")
        for *pair, n in (("a", "b", 2), ("a", "c", 1), ("b", "c", 1))
        for metric in ("accuracy", "cross_entropy")
    ]
    first, _, second = made["tests"][:3]
    assert first["difference"] == pytest.approx((9 - 0) / 400)
    assert second["p_value"] == mcnemar(np.ones(40, bool), np.zeros(40, bool))
    assert second["p_holm"] == pytest.approx(3 * second["p_value"])
    assert made["remarks"] == [
        "a and c were compared without 1 run that only one of them has",
        "b and c were compared without 1 run that only one of them has",
    ]


def test_other_rows_are_not_compared_and_that_is_said(predicted: Callable[..., Tested]) -> None:
    runs = [result(name, 1, 0.8) for name in ("a", "b", "c", "d")]
    # The labels of d are those of a in the same order, but its texts are others.
    held = {
        ("a", 1): predicted(0),
        ("b", 1): predicted(0, np.array([1, 0] * 100)),
        ("c", 1): predicted(0, LABELS[:50]),
        ("d", 1): predicted(9, texts=[f"새 {text}" for text in TEXTS]),
    }
    made = summary(runs, held)
    assert made["tests"] == []
    assert len(made["remarks"]) == 6
    assert made["remarks"][1] == (
        "a and c were not compared: their test rows differ: 200 rows in a, 50 in c; "
        '150 texts are only in a, for example "50번째 글"'
    )
    assert made["remarks"][2] == (
        "a and d were not compared: their test rows differ: "
        '200 texts are only in a, for example "0번째 글"; 200 texts are only in d, for example "새 0번째 글"'
    )


def test_the_order_of_rows_does_not_matter(predicted: Callable[..., Tested]) -> None:
    runs, turned = [result("a", 1, 0.8), result("b", 1, 0.8)], slice(None, None, -1)
    held = {("a", 1): predicted(0), ("b", 1): predicted(30)}
    expected = summary(runs, held)["tests"]
    held["a", 1] = predicted(0, LABELS[turned], TEXTS[turned])
    assert summary(runs, held)["tests"] == expected
    assert expected[0]["difference"] == pytest.approx(30 / 200)


def test_the_order_of_names_does_not_matter(predicted: Callable[..., Tested]) -> None:
    runs = [result(name, seed, 0.8) for name in ("a", "b") for seed in (1, 2)]
    for run in runs:
        run["metrics"]["test"]["macro_f1"] = 0.8
    held = {("a", 1): predicted(9), ("a", 2): predicted(12), ("b", 1): predicted(30), ("b", 2): predicted(21)}
    for several in (runs, runs[::2]):
        tests = summary(several, held)["tests"]
        turned = summary(several[::-1], held)["tests"]
        assert len(tests) == 3
        for test, other in zip(tests, turned, strict=True):
            assert (other["a"], other["b"]) == ("b", "a")
            assert other["p_value"] == pytest.approx(test["p_value"], rel=1e-9)
            assert other["difference"] == pytest.approx(-test["difference"])
            if test["low"] is None:
                assert (other["low"], other["high"]) == (None, None)
            else:
                assert (other["low"], other["high"]) == pytest.approx((-test["high"], -test["low"]))
            assert other["sentence"].replace("b and a", "a and b") == test["sentence"]


TEST = {
    "a": "plain", "b": "uda", "metric": "macro_f1", "test": "crossed", "stated": True, "paired": True, "n": 3,
    "unit": "seeds", "over": "3 seeds", "which": None, "difference": -0.0206, "low": -0.031, "high": -0.012,
    "effect_size": -2.345, "p_value": 0.0002, "p_holm": 0.0006, "pairs": 3, "better": "uda", "detectable": 0.0123,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "uda beats plain by 0.021 macro_f1 (95 % interval 0.012 to 0.031, 3 seeds, effect size 2.35, p < 0.001, "
            "Holm over 3 pairs p < 0.001)",
        ),
        (
            {"difference": 0.0042, "low": -0.0121, "high": 0.0205, "p_value": 0.41, "p_holm": 0.41, "pairs": 1,
             "better": "plain", "effect_size": 0.5},
            "no significant difference in macro_f1 between plain and uda: plain is 0.0042 ahead "
            "(95 % interval -0.0121 to 0.0205, 3 seeds, effect size 0.50, p = 0.410; 3 seeds could show 0.0123)",
        ),
        # Significant alone, but not among three pairs.
        (
            {"p_value": 0.02, "p_holm": 0.06, "effect_size": None},
            "no significant difference in macro_f1 between plain and uda: uda is 0.021 ahead (95 % interval 0.012 to "
            "0.031, 3 seeds, p = 0.020, Holm over 3 pairs p = 0.060; 3 seeds could show 0.012)",
        ),
        (
            {"stated": False, "effect_size": -1e14, "pairs": 1},
            "macro_f1 of plain and uda: uda is 0.021 ahead (95 % interval 0.012 to 0.031, 3 seeds, effect size over 10, "
            "p < 0.001)",
        ),
        (
            {"n": 1, "which": "seed 2", "test": "bootstrap", "effect_size": None, "detectable": None, "pairs": 1},
            "these two models of plain and uda differ in macro_f1: uda is 0.021 ahead (95 % interval 0.012 to 0.031, "
            "seed 2, p < 0.001, paired bootstrap); one run of each says nothing about the methods",
        ),
        (
            {"difference": 0.0, "low": None, "high": None, "better": None, "p_value": 1.0, "p_holm": 1.0, "pairs": 1,
             "effect_size": None, "detectable": None},
            "no significant difference in macro_f1 between plain and uda: they are equal (3 seeds, p = 1.000)",
        ),
    ],
)  # fmt: skip
def test_sentences(changes: dict[str, Any], expected: str) -> None:
    assert sentence(TEST | changes) == expected


def test_what_is_stated_and_what_varied_is_printed(
    predicted: Callable[..., Tested], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [result(name, seed, 0.8) for name in ("a", "b") for seed in (1, 2)]
    runs[3]["metrics"]["test"]["cross_entropy"] = None
    made = summary(runs, {(run["variant"], run["seed"]): predicted(9) for run in runs})
    print_summary({**made, "folder": "runs/few/1"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "a\t2/2 (2 seeds)\t0.8000 ± 0.0000\t0.5000 ± 0.0000",
        "b\t2/2 (2 seeds)\t0.8000 ± 0.0000\t0.5000 (1 seed)",
    ]
    assert [line for line in lines if "between a and b" in line] == [
        "no significant difference in accuracy between a and b: they are equal (2 seeds, p = 1.000)"
    ]
