"""Comparison of run folders that are built by hand, and of one that kexp ran, against scikit-learn, scipy and NumPy."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score
from support import kexp, tiny_spec

from kexp.errors import KexpError
from kexp.evaluate.statistics import holm
from kexp.results.compare import compare, compare_runs

Write = Callable[..., Path]

LABELS = ("부정", "긍정")
TEXTS = [f"{number}번째 영화 평 {'아주 ' * (number % 4)}끝" for number in range(200)]
TRUE = np.random.default_rng(0).integers(2, size=200)
BASELINES = {"majority": {"test": {"accuracy": 0.5, "macro_f1": 0.33}, "validation": {"accuracy": 0.4}}}
SPEC = """
name = "{name}"
seeds = {seeds}
[dataset]
use = "table"
path = "data.csv"
[cleaning]
trim = {trim}
[split]
seed = 0
[backbone]
use = "{backbone}"
[objective]
use = "cross-entropy"
label_smoothing = 0.0
"""


def predicted(accuracy: float, seed: int) -> np.ndarray:
    """Draw predictions of which about that share is right."""
    right = np.random.default_rng([int(accuracy * 1000), seed]).random(len(TRUE)) < accuracy
    return np.where(right, TRUE, 1 - TRUE)


def write_run(
    folder: Path,
    variant: str,
    seed: int,
    guesses: np.ndarray,
    *,
    true: np.ndarray = TRUE,
    texts: Sequence[str] = TEXTS,
    labels: Sequence[str] = LABELS,
    rows: Sequence[int] | None = None,
    metrics: dict[str, float] | None = None,
) -> None:
    """Write ``result.json`` and ``predictions.parquet`` of a finished run; ids count in ``LABELS``, not in ``labels``."""
    run = folder / variant / f"seed-{seed}"
    run.mkdir(parents=True)
    scores = {
        "accuracy": accuracy_score(true, guesses),
        "macro_f1": f1_score(true, guesses, average="macro"),
        "ece": 0.1,
    }
    result = {"status": "done", "reason": None, "experiment": folder.parent.name, "variant": variant, "seed": seed,
              "labels": list(labels), "metrics": {"test": metrics or scores, "validation": metrics or scores}}  # fmt: skip
    (run / "result.json").write_text(json.dumps(result), "utf-8")
    names = np.array(LABELS if set(labels) == set(LABELS) else labels)
    frame = pd.DataFrame({"split": "test", "row": range(len(texts)) if rows is None else rows, "text": texts})
    frame["label"], frame["predicted"], frame["confidence"] = names[true], names[guesses], 0.9
    for number, name in enumerate(names):
        frame[f"probability:{name}"] = np.where(guesses == number, 0.9, 0.1)
    other = frame.head(20).assign(split="validation")
    pd.concat([frame, other], ignore_index=True).to_parquet(run / "predictions.parquet")


def make(
    path: Path,
    accuracies: dict[str, float],
    *,
    changes: str = "",
    name: str = "reviews",
    trim: str = "true",
    backbone: str = "tiny",
    seeds: Sequence[int] = (1, 2),
    **how: Any,
) -> Path:
    """Make a run folder with variants of about those accuracies."""
    path.mkdir(parents=True)
    (path / "spec.toml").write_text(
        SPEC.format(name=name, trim=trim, backbone=backbone, seeds=list(seeds)) + changes, "utf-8"
    )
    (path / "environment.json").write_text("{}", "utf-8")
    for variant, accuracy in accuracies.items():
        for seed in seeds:
            write_run(path, variant, seed, predicted(accuracy, seed), **how)
    variant = {"seeds": list(seeds), "status": {}, "metrics": {}, "baselines": BASELINES, "data": {}}
    summary = {
        "experiment": name,
        "status": "done",
        "lower_is_better": ["ece"],
        "variants": dict.fromkeys(accuracies, variant),
        "tests": [],
        "remarks": [],
    }
    (path / "summary.json").write_text(json.dumps(summary), "utf-8")
    return path


FOCAL = '[variants.plain]\n[variants.focal]\nobjective = {use = "focal", gamma = 2.0}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a run folder of two variants with two seeds."""
    return make(
        tmp_path / "runs" / "reviews" / "20260101T000000Z-aaaaaaaa", {"plain": 0.6, "focal": 0.9}, changes=FOCAL
    )


def test_means_are_over_seeds_and_the_best_is_known(folder: Path) -> None:
    found = compare([folder])
    assert [row["name"] for row in found["rows"]] == ["plain", "focal", "majority"]
    for row, accuracy in zip(found["rows"], (0.6, 0.9), strict=False):
        values = [accuracy_score(TRUE, predicted(accuracy, seed)) for seed in (1, 2)]
        assert row["cells"]["accuracy"]["mean"] == pytest.approx(np.mean(values))
        assert row["cells"]["accuracy"]["sd"] == pytest.approx(np.std(values, ddof=1))
        assert row["cells"]["accuracy"]["n"] == 2
        # Of two seeds it is that of a bootstrap, as in the summary of a run.
        assert row["cells"]["accuracy"]["interval"] == "bootstrap"
        assert 0 <= row["cells"]["accuracy"]["low"] < np.mean(values) < row["cells"]["accuracy"]["high"] <= 1
        assert row["cells"]["ece"]["low"] is None
    assert found["best"]["accuracy"] == found["rows"][1]["cells"]["accuracy"]["mean"]
    assert found["metrics"] == ["accuracy", "macro_f1", "ece"]
    assert json.loads(kexp("compare", folder, "--json").stdout) == json.loads(json.dumps(found))


def test_a_pair_has_one_statement_over_its_seeds(folder: Path) -> None:
    tests = compare([folder])["tests"]
    assert [(test["metric"], test["stated"], test["n"], test["over"]) for test in tests] == [
        ("accuracy", True, 2, "2 seeds"), ("macro_f1", False, 2, "2 seeds"),
    ]  # fmt: skip
    scores = {
        "accuracy": accuracy_score,
        "macro_f1": lambda true, guesses: f1_score(true, guesses, average="macro"),
    }
    for test in tests:
        by_seed = [
            scores[test["metric"]](TRUE, predicted(0.6, seed)) - scores[test["metric"]](TRUE, predicted(0.9, seed))
            for seed in (1, 2)
        ]
        assert test["difference"] == pytest.approx(np.mean(by_seed))
        assert test["effect_size"] == pytest.approx(np.mean(by_seed) / np.std(by_seed, ddof=1))
        assert test["better"] == "focal"
        # Two seeds are too few for an interval.
        assert (test["low"], test["high"]) == (None, None)
    # Two seeds have one degree of freedom between them.
    assert tests[0]["sentence"].startswith("no significant difference in accuracy between plain and focal: focal is 0.")
    assert "; 2 seeds could show 0." in tests[0]["sentence"]
    assert tests[1]["sentence"].startswith("macro_f1 of plain and focal: focal is 0.")


def test_more_seeds_can_tell_two_methods_apart(tmp_path: Path) -> None:
    folder = make(tmp_path / "e" / "20260101T000000Z-a", {"plain": 0.6, "focal": 0.9}, seeds=range(1, 7))
    test = compare([folder])["tests"][0]
    assert test["p_value"] < 0.001
    assert re.fullmatch(
        r"focal beats plain by 0\.\d{3} accuracy "
        r"\(95 % interval 0\.\d{3} to 0\.\d{3}, 6 seeds, effect size over 10, p < 0\.001\)",
        test["sentence"],
    )


def test_holm_is_what_closed_testing_by_bonferroni_gives() -> None:
    generator = np.random.default_rng(1)
    for size in range(1, 7):
        p_values = (generator.random(size) ** 3).tolist()
        sets = [of for n in range(1, size + 1) for of in itertools.combinations(range(size), n)]
        expected = [
            max(min(1.0, len(of) * min(p_values[at] for at in of)) for of in sets if test in of) for test in range(size)
        ]
        assert holm(p_values) == pytest.approx(expected)
    assert holm([]) == []
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])


def test_p_values_are_corrected_over_the_pairs_of_a_metric(tmp_path: Path) -> None:
    folder = make(tmp_path / "e" / "20260101T000000Z-a", {"a": 0.6, "b": 0.7, "c": 0.8}, seeds=(1, 2, 3, 4))
    tests = compare([folder])["tests"]
    for metric in ("accuracy", "macro_f1"):
        of = [test for test in tests if test["metric"] == metric]
        assert [(test["a"], test["b"], test["pairs"]) for test in of] == [("a", "b", 3), ("a", "c", 3), ("b", "c", 3)]
        assert [test["p_holm"] for test in of] == holm([test["p_value"] for test in of])
    printed = kexp("compare", folder).stdout
    assert printed.count("Holm over 3 pairs p ") == 6
    assert "Holm" not in kexp("compare", folder / "a", folder / "b").stdout


def test_specs_differ_in_what_was_changed(folder: Path) -> None:
    assert compare([folder])["differences"]["focal"] == {
        "objective.use": ("cross-entropy", "focal"),
        "objective.label_smoothing": ("0.0", "–"),
        "objective.gamma": ("–", "2.0"),
    }
    lines = kexp("compare", folder).stdout.splitlines()
    start = lines.index("plain -> focal")
    assert lines[start + 1 : start + 3] == ["  objective.use: cross-entropy -> focal", "  objective.gamma: – -> 2.0"]
    assert not any("label_smoothing" in line for line in lines)


def test_one_metric_alone(folder: Path) -> None:
    found = compare([folder], metric="macro_f1")
    assert found["metrics"] == ["macro_f1"]
    assert {test["metric"] for test in found["tests"]} == {"macro_f1"}
    assert list(found["rows"][-1]["cells"]) == ["macro_f1"]
    assert compare([folder], metric="ece")["remarks"] == [
        "there is no test of ece, only of accuracy, macro_f1, weighted_f1, cross_entropy, mse, mae"
    ]
    with pytest.raises(KexpError, match=r'no test metric "macro-f1" in all runs; did you mean "macro_f1"\?'):
        compare([folder], metric="macro-f1")


def test_fewer_is_better_where_it_is(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "runs" / "reviews" / "20260102T000000Z-bbbbbbbb", {"better": 0.7}, metrics={"ece": 0.05})
    found = compare([folder, other])
    assert found["metrics"] == ["ece"]  # the only one that all have
    assert found["remarks"][0].startswith("no difference was tested: the runs share no metric that can be (accuracy,")
    assert found["best"]["ece"] == 0.05
    last = make(tmp_path / "runs" / "reviews" / "20260103T000000Z-cccccccc", {"other": 0.7}, metrics={"mcc": 0.05})
    with pytest.raises(KexpError, match="no test metric in common"):
        compare([other, last])


def test_models_that_validation_did_not_choose_are_not_flattered_by_it(folder: Path, tmp_path: Path) -> None:
    last = make(tmp_path / "fixed", {"steps": 0.7}, changes='[training]\nkeep = "last"\n')
    assert compare([last], split="validation")["remarks"] == []
    assert compare([folder, last], split="validation")["remarks"][-1].startswith("plain, focal: validation chose")
    early = make(tmp_path / "early", {"stopped": 0.7}, changes='[training]\nkeep = "last"\npatience = 2\n')
    assert compare([early], split="validation")["remarks"][-1].startswith("stopped: validation chose the step")


def test_runs_that_the_spec_asks_for_and_that_are_not_done_are_counted(folder: Path, tmp_path: Path) -> None:
    draws = "[labelled]\nn = 4\ndraws = 2\n"
    other = make(tmp_path / "some" / "20260102T000000Z-bbbbbbbb", {"few": 0.7}, changes=draws)
    for seed in (1, 2):
        shutil.copytree(other / f"few/seed-{seed}", other / f"few/draw-1/seed-{seed}")
        shutil.rmtree(other / f"few/seed-{seed}")
        path = other / f"few/draw-1/seed-{seed}/result.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "draw": 1}))
    found = compare([folder, other])
    said = f"few of {other}: 2 of 4 runs are done, without draw 2, seed 1; draw 2, seed 2"
    assert [remark for remark in found["remarks"] if "are done" in remark] == [said]
    assert not any("are done" in remark for remark in compare([other / "few/draw-1", folder])["remarks"])


def test_validation_can_be_compared(folder: Path) -> None:
    found = compare([folder], split="validation")
    assert (found["split"], found["rows"][-1]["cells"]["accuracy"]["mean"]) == ("validation", 0.4)
    rights = [[predicted(accuracy, seed)[:20] == TRUE[:20] for seed in (1, 2)] for accuracy in (0.6, 0.9)]
    assert found["tests"][0]["difference"] == pytest.approx(np.mean(rights[0]) - np.mean(rights[1]))
    remark = "plain, focal: validation chose the step of these models, so their results on it are flattered"
    assert found["remarks"][-1].startswith(remark)
    assert remark in kexp("compare", folder, "--split", "validation", "--markdown").stdout
    assert not any(remark in said for said in compare([folder])["remarks"])
    assert kexp("compare", folder, "--split", "train").stderr == 'unknown split "train"; known: test, validation\n'


# --- which models ---------------------------------------------------------------------------------------------------


def names(found: dict[str, Any]) -> list[str]:
    return [model["name"] for model in found["models"]]


def test_folders_of_variants_and_seeds_stand_for_themselves(folder: Path) -> None:
    found = compare([folder / "focal", folder / "plain" / "seed-2"])
    assert [(model["name"], model["seeds"]) for model in found["models"]] == [("focal", [1, 2]), ("plain", [2])]
    assert {(test["n"], test["which"]) for test in found["tests"]} == {(1, "seed 2")}
    remark = "focal and plain were compared without 1 run that only one of them has"
    assert found["remarks"] == [remark]
    assert [(model["name"], model["seeds"]) for model in compare([folder / "plain"])["models"]] == [("plain", [1, 2])]


def test_a_model_that_is_named_twice_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names(compare([Path(), folder, folder / "plain", folder / "plain" / "seed-1"])) == ["plain", "focal"]
    assert names(compare([folder / "plain", folder / "plain" / "seed-1"])) == ["plain"]


def test_single_runs_are_compared_across_seeds(folder: Path) -> None:
    found = compare([folder / "plain" / "seed-1", folder / "plain" / "seed-2"])
    assert names(found) == ["plain, seed 1", "plain, seed 2"]
    right = [predicted(0.6, seed) == TRUE for seed in (1, 2)]
    assert {test["which"] for test in found["tests"]} == {"seeds 1 and 2"}
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert found["tests"][0]["p_value"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert found["tests"][0]["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert found["differences"] == {"plain, seed 2": {}}
    assert "the same spec" in kexp("compare", folder / "plain" / "seed-1", folder / "plain" / "seed-2").stdout


def test_models_without_a_common_seed_are_compared_unpaired(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "x" / "reviews" / "20260101T000000Z-cccccccc", {"late": 0.8}, seeds=(3, 4, 5))
    found = compare([folder / "plain", other])
    test = found["tests"][0]
    assert (test["test"], test["paired"], test["n"], test["over"]) == ("welch", False, 2, "2 seeds against 3 seeds")
    means = [np.mean([accuracy_score(TRUE, predicted(of, seed)) for seed in seeds])
             for of, seeds in ((0.6, (1, 2)), (0.8, (3, 4, 5)))]  # fmt: skip
    assert test["difference"] == pytest.approx(means[0] - means[1])
    assert found["remarks"] == []
    one = compare([folder / "plain", other / "late" / "seed-3"])
    assert one["tests"] == []
    assert one["remarks"] == [
        "plain and late were not compared: they have no run in common, and 2 seeds against 1 seed"
    ]


def stated(runs: Sequence[Path]) -> list[str]:
    """Return what the page says of single runs."""
    found = compare_runs(runs)
    return [*(test["sentence"] for test in found["tests"] if test["stated"]), *found["remarks"]]


def test_runs_of_one_variant_are_its_repeats_in_statements(folder: Path) -> None:
    runs = [folder / variant / f"seed-{seed}" for variant in ("plain", "focal") for seed in (1, 2)]
    (expected, _) = (test["sentence"] for test in compare([folder])["tests"])
    assert stated(runs) == [expected]
    assert stated(runs[:2]) == []
    cell = compare_runs(runs)["table"]["rows"][0]["cells"]["accuracy"]
    assert (cell["n"], cell["interval"]) == (2, "bootstrap")
    assert stated(runs[1:]) == [
        compare([folder / "plain" / "seed-2", folder / "focal"])["tests"][0]["sentence"],
        "plain and focal were compared without 1 run that only one of them has",
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("nsmc/20260101T000000Z-aaaaaaaa", "dialect/20260101T000000Z-aaaaaaaa", ["nsmc/plain", "dialect/plain"]),
        ("nsmc/20260101T000000Z-aaaaaaaa", "nsmc/20260101T000000Z-bbbbbbbb", ["aaaaaaaa/plain", "bbbbbbbb/plain"]),
        ("nsmc/20260101T000000Z-aaaaaaaa", "nsmc/20260101T000000Z-aaaaaaaa-2", ["aaaaaaaa/plain", "aaaaaaaa-2/plain"]),
        ("nsmc/20260101T000000Z-aaaaaaaa", "nsmc/20260102T000000Z-aaaaaaaa", ["20260101T000000Z/plain", "20260102T000000Z/plain"]),
        ("nsmc/first", "nsmc/second", ["first/plain", "second/plain"]),
    ],
)  # fmt: skip
def test_equal_variants_of_two_folders_are_told_apart(
    tmp_path: Path, first: str, second: str, expected: list[str]
) -> None:
    folders = [make(tmp_path / first, {"plain": 0.7, "own": 0.7}), make(tmp_path / second, {"plain": 0.8})]
    assert sorted(names(compare(folders))) == sorted(["own", *expected])


def test_folders_that_only_their_whole_path_tells_apart(tmp_path: Path) -> None:
    folders = [make(tmp_path / place / "nsmc" / "one", {"plain": 0.7}) for place in ("a", "b")]
    assert names(compare(folders)) == [f"{folder}/plain" for folder in folders]


def test_baselines_are_shown_once_or_with_their_owner(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "runs" / "reviews" / "20260102T000000Z-bbbbbbbb", {"few": 0.6})
    assert [row["name"] for row in compare([folder, other])["rows"]] == ["plain", "focal", "few", "majority"]
    summary = json.loads((other / "summary.json").read_text())
    summary["variants"]["few"]["baselines"] = {"majority": {"test": {"accuracy": 0.6}}}
    (other / "summary.json").write_text(json.dumps(summary))
    lines = kexp("compare", folder, other).stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines[4:6]] == [
        ["majority of plain, focal", "0.5000"],
        ["majority of few", "0.6000"],
    ]


def test_unfinished_runs_do_not_count(folder: Path) -> None:
    for variant, seed in (("plain", 1), ("focal", 1), ("focal", 2)):
        path = folder / variant / f"seed-{seed}" / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
    (folder / "summary.json").unlink()
    found = compare([folder])
    assert [(model["name"], model["seeds"]) for model in found["models"]] == [("plain", [2])]
    assert found["remarks"] == [
        f"focal of {folder} has no finished run",
        f"plain of {folder}: 1 of 2 runs are done, without seed 1",
    ]
    result = kexp("compare", folder / "focal")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{folder / 'focal'}: it has no finished run to compare\n"


def test_folders_without_a_finished_run_are_left_out_and_named(folder: Path) -> None:
    """As a pattern of the shell gives them: ``runs/reviews/*`` with runs that go on, have failed or were stopped."""
    unfinished = make(folder.parent / "20260102T000000Z-bbbbbbbb", {})
    (unfinished / "summary.json").unlink()
    failed = make(folder.parent / "20260103T000000Z-cccccccc", {"plain": 0.5}, seeds=[1])
    path = failed / "plain" / "seed-1" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
    left_out = [f"left out: {one}: it has no finished run to compare" for one in (unfinished, failed)]
    folders = (unfinished, folder, failed)
    both, alone = (json.loads(kexp("compare", *given, "--json").stdout) for given in (folders, [folder]))
    assert both.pop("remarks") == [*left_out, *alone.pop("remarks")]
    assert (both.pop("left_out"), alone.pop("left_out")) == ([line[10:] for line in left_out], [])
    assert both == alone
    assert left_out == [line for line in kexp("compare", *folders).stdout.splitlines() if line.startswith("left out")]
    shown = kexp("compare", *folders, "--csv")
    assert (shown.exit_code, shown.stdout) == (0, kexp("compare", folder, "--csv").stdout)
    assert shown.stderr.splitlines() == left_out
    assert refusal(unfinished, failed / "plain" / "seed-1") == [
        f"{place}: it has no finished run to compare" for place in (unfinished, failed / "plain" / "seed-1")
    ]


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "is not a run folder: it has no spec.toml"),
        (folder / "plain" / "seed-9", "is not a run folder|does not exist"),
        (folder / "spec.toml", "does not exist"),
    ):
        with pytest.raises(KexpError, match=message):
            compare([path])
    (folder / "spec.toml").write_text("= broken")
    with pytest.raises(KexpError, match=r"spec\.toml: cannot be read"):
        compare([folder])


# --- other rows -----------------------------------------------------------------------------------------------------


def refusal(*folders: Path) -> list[str]:
    result = kexp("compare", *folders)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()


def test_other_numbers_of_rows_are_refused(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "x", {}, name="x")
    write_run(other, "fewer", 1, predicted(0.8, 1)[5:], true=TRUE[5:], texts=TEXTS[5:])
    assert refusal(folder, other) == [
        "plain and fewer cannot be compared: their test rows differ:",
        "  200 rows in plain, 195 in fewer",
        '  5 texts are only in plain, for example "0번째 영화 평 끝"',
    ]


def test_other_texts_and_labels_are_refused_with_an_example(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "x", {}, name="x")
    true = np.concatenate([1 - TRUE[:3], TRUE[3:]])
    long = "긴 글 " * 30
    write_run(other, "changed", 1, predicted(0.8, 1), true=true, texts=[*TEXTS[:-2], long, "새 글"])
    first, *lines = refusal(folder, other)
    assert first == "plain and changed cannot be compared: their test rows differ:"
    assert lines == [
        f'  2 texts are only in plain, for example "{TEXTS[-2]}"',
        f'  2 texts are only in changed, for example "{long[:60]}…"',
        f'  3 texts have different labels, for example "{TEXTS[0]}": {LABELS[TRUE[0]]} in plain, '
        f"{LABELS[1 - TRUE[0]]} in changed",
    ]


def test_other_label_names_are_refused(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "x", {"english": 0.8}, name="x", labels=("negative", "positive"))
    lines = refusal(folder, other)
    assert lines[1] == "  labels: 부정, 긍정 in plain, negative, positive in english"
    assert lines[2].startswith("  200 texts have different labels, for example")


def test_every_common_seed_must_have_the_same_rows(folder: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "x", {"late": 0.8}, seeds=(1,))
    write_run(other, "late", 2, predicted(0.8, 2), true=1 - TRUE)
    assert refusal(folder / "plain", other)[0].startswith("plain and late cannot be compared")
    assert "of seeds 1 and 2" in refusal(folder / "plain" / "seed-1", other / "late" / "seed-2")[0]


def test_missing_predictions_are_named(folder: Path) -> None:
    path = folder / "focal" / "seed-2" / "predictions.parquet"
    path.unlink()
    assert refusal(folder) == [f"{path} is missing, so the test rows cannot be compared"]


def test_order_of_rows_and_of_labels_does_not_matter(folder: Path, tmp_path: Path) -> None:
    expected = compare([folder / "plain", folder / "focal"])["tests"]
    order = np.random.default_rng(5).permutation(200)
    other = make(tmp_path / "x", {}, name="x")
    for seed in (1, 2):
        write_run(
            other, "focal", seed, predicted(0.9, seed)[order], true=TRUE[order],
            texts=[TEXTS[at] for at in order], labels=("긍정", "부정"),
        )  # fmt: skip
    found = compare([folder / "plain", other])["tests"]
    numbers = ("p_value", "difference")
    assert [[test[of] for of in numbers] for test in found] == [[test[of] for of in numbers] for test in expected]


def test_texts_that_cleaning_or_backbone_changed_are_the_same_rows(folder: Path, tmp_path: Path) -> None:
    changed = [text.replace("아주", "아 주") for text in TEXTS]
    number = sum("아주" in text for text in TEXTS)
    expected = compare([folder / "plain", folder / "focal"])["tests"]
    other = make(tmp_path / "x", {"focal": 0.9}, backbone="kcbert", texts=changed)
    found = compare([folder / "plain", other])
    assert found["remarks"] == [
        f"{number} of 200 texts differ between plain and focal in the same rows: cleaning or backbone changed them"
    ]
    assert [test["p_value"] for test in found["tests"]] == [test["p_value"] for test in expected]
    # With one cleaning and one backbone it was the data that changed; so it was where the numbers differ.
    same = make(tmp_path / "y", {"focal": 0.9}, texts=changed)
    assert f"  {number} texts are only in plain" in refusal(folder, same)[1]
    moved = make(tmp_path / "z", {"focal": 0.9}, trim="false", texts=changed, rows=range(1, 201))
    assert "cannot be compared" in refusal(folder, moved)[0]
    (other / "spec.toml").write_text((other / "spec.toml").read_text().replace("data.csv", "other.csv"))
    assert "cannot be compared" in refusal(folder, other)[0]


def test_pairs_of_texts_count_whole(folder: Path, tmp_path: Path) -> None:
    folders = [make(tmp_path / place, {place: 0.8}, seeds=(1,)) for place in ("a", "b")]
    for place, second in zip(folders, ("둘째", "셋째"), strict=True):
        path = place / place.name / "seed-1" / "predictions.parquet"
        pd.read_parquet(path).assign(text_pair=second).to_parquet(path)
    assert refusal(*folders)[1] == '  200 texts are only in a, for example "0번째 영화 평 끝 / 둘째"'


# --- forms of output ------------------------------------------------------------------------------------------------


def test_table_is_tab_separated_in_a_pipe_and_bold_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = kexp("compare", folder, "--metric", "accuracy").stdout.splitlines()
    assert lines[0] == "model\taccuracy"
    assert re.fullmatch(r"plain\t0\.\d{4} ± 0\.\d{4} \(2 seeds\)", lines[1])
    assert lines[3] == "majority\t0.5000"


def test_bold_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from kexp.cli.results import _print_comparison

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    _print_comparison(compare([folder], metric="accuracy"))
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("plain", "focal"))]
    assert "\x1b[1m" not in rows[0]
    assert "\x1b[1m0." in rows[1]


def test_csv_has_numbers_in_columns_of_their_own(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(kexp("compare", folder, "--csv").stdout)))
    found = compare([folder])
    assert [row["model"] for row in rows] == ["plain", "focal", "majority"]
    assert float(rows[1]["accuracy mean"]) == found["rows"][1]["cells"]["accuracy"]["mean"]
    assert float(rows[1]["macro_f1 sd"]) == found["rows"][1]["cells"]["macro_f1"]["sd"]
    assert (rows[0]["ece over"], rows[2]["ece over"]) == ("2 seeds", "")
    assert (rows[0]["ece n"], rows[2]["accuracy n"], rows[2]["ece mean"]) == ("2", "1", "")


def test_markdown_marks_the_best(folder: Path) -> None:
    lines = kexp("compare", folder, "--markdown").stdout.splitlines()
    assert lines[:2] == ["| model | accuracy ↑ | macro_f1 ↑ | ece ↓ |", "| :-- | --: | --: | --: |"]
    assert re.fullmatch(r"\| focal \| \*\*0\.\d{4}\*\* ± 0\.\d{4} \(2 seeds\) \| \*\*.*", lines[3])
    assert lines[4] == "| majority | 0.5000 | 0.3300 |  |"
    assert "- plain -> focal: objective.use: cross-entropy -> focal" in lines


def test_latex_marks_the_best_and_escapes(folder: Path) -> None:
    (folder / "focal").rename(folder / "focal_2")
    for path in (folder / "focal_2").glob("*/result.json"):
        path.write_text(path.read_text().replace('"focal"', '"focal_2"'))
    for name in ("spec.toml", "summary.json"):
        text = (folder / name).read_text()
        (folder / name).write_text(re.sub(r'variants.focal|(?<=")focal(?=": {"seeds)', r"\g<0>_2", text))
    lines = kexp("compare", folder, "--latex", "--metric", "macro_f1").stdout.splitlines()
    assert lines[:4] == [r"\begin{tabular}{lr}", r"\toprule", r"& macro\_f1 $\uparrow$ \\", r"\midrule"]
    assert re.fullmatch(r"focal\\_2 & \\textbf\{0\.\d{4}\} \$\\pm\$ 0\.\d{4} \(2 seeds\) \\\\", lines[5])
    assert lines[6:10] == [r"\midrule", r"majority & 0.3300 \\", r"\bottomrule", r"\end{tabular}"]
    assert all(line.startswith("% ") for line in lines[10:])


def test_one_form_at_a_time(folder: Path) -> None:
    result = kexp("compare", folder, "--json", "--csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "kexp compare: choose one of --json, --csv, --latex and --markdown\n"


# --- what kexp ran --------------------------------------------------------------------------------------------------


def test_an_experiment_compares_as_its_summary_does(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    variants = '[variants.plain]\n[variants.focal]\nobjective.use = "focal"\n[variants.long]\ntraining.epochs = 2\n'
    spec = write_spec(tiny_spec(tables=variants, epochs=1, learning_rate=2e-3).format(data=reviews))
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    summary = json.loads(result.stdout)
    found = json.loads(kexp("compare", summary["folder"], "--json").stdout)
    assert found["tests"] == summary["tests"]
    assert [(test["a"], test["b"]) for test in found["tests"] if test["stated"]] == [
        ("plain", "focal"), ("plain", "long"), ("focal", "long"),
    ]  # fmt: skip
    for row in found["rows"][:3]:
        assert row["cells"] == summary["variants"][row["name"]]["metrics"]["test"]
    assert [row["name"] for row in found["rows"][3:]] == ["majority", "tfidf-logreg"]
    assert found["differences"]["long"] == {"training.epochs": ["1", "2"]}
    assert found["differences"]["focal"]["objective.use"] == ["cross-entropy", "focal"]


def test_time_and_size_are_compared_as_metrics_are(tmp_path: Path) -> None:
    folder = tmp_path / "e" / "20260101T000000Z-a"
    seconds = {("fast", 1): 10.0, ("fast", 2): 14.0, ("slow", 1): 30.0, ("slow", 2): 50.0}
    for (variant, seed), value in seconds.items():
        # Other rows: how long training took can be compared all the same.
        write_run(folder, variant, seed, predicted(0.8, seed), texts=[f"{variant} {text}" for text in TEXTS])
        path = folder / variant / f"seed-{seed}" / "result.json"
        more = {"train_seconds": value, "parameters": {"total": 7 if variant == "fast" else 9}}
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **more}), "utf-8")
    (folder / "spec.toml").write_text('name = "e"\n[variants.fast]\n[variants.slow]\n', "utf-8")
    found = compare([folder], metric="train_seconds")
    assert found["metrics"] == ["train_seconds"]
    assert [row["cells"]["train_seconds"]["mean"] for row in found["rows"]] == [12.0, 40.0]
    assert [row["cells"]["train_seconds"]["sd"] for row in found["rows"]] == pytest.approx([8**0.5, 200**0.5])
    # Less is better.
    assert found["best"] == {"train_seconds": 12.0}
    assert not found["tests"]
    assert compare([folder], metric="parameters.total")["best"] == {"parameters.total": 7.0}
    with pytest.raises(KexpError, match="not every run has recorded peak_memory_mib"):
        compare([folder], metric="peak_memory_mib")
