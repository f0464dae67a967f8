"""What stands out in a run folder: which rules speak, of which variant, on the page and on the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kexp.cli.output import print_summary
from kexp.report.findings import by_text, findings
from kexp.report.html import write_report
from kexp.report.results import is_best, results_table
from kexp.report.stored import read_summary
from kexp.report.summary import build_summary

LABELS = ["부정", "긍정"]
ROWS = 1000


def matrix(accuracy: float, rows: int) -> list[list[int]]:
    """Return a confusion matrix of two equally frequent labels that are mistaken equally often."""
    right = round(accuracy * rows / 2)
    return [[right, rows // 2 - right], [rows // 2 - right, right]]


class Experiment:
    """A run folder whose curves, matrices and counts are stated, and its summary."""

    def __init__(self, folder: Path, table: str = "") -> None:
        self.folder, self.results = folder, list[dict[str, Any]]()
        folder.mkdir(parents=True)
        (folder / "spec.toml").write_text(f'name = "reviews"\n[training]\nmax_length = 32\n{table}', "utf-8")
        (folder / "environment.json").write_text("{}", "utf-8")
        self.data: dict[str, Any] = {}
        self.baselines: dict[str, Any] = {}

    def run(
        self,
        variant: str,
        seed: int,
        accuracy: float,
        curve: list[tuple[float, float, float]],
        confusion: list[list[int]] | None = None,
        validation: int = 2000,
        right: float = 0.5,
    ) -> None:
        """Add a finished run; ``curve`` has training loss, validation loss and macro F1 of every epoch.

        ``right`` is the accuracy on validation that the confusion matrix has.
        """
        scores = {"macro_f1": accuracy, "accuracy": accuracy}
        best = max(range(len(curve)), key=lambda number: curve[number][2])
        result = {
            "status": "done", "reason": None, "experiment": "reviews", "variant": variant, "seed": seed,
            "labels": LABELS, "metrics": {"validation": {"macro_f1": curve[best][2]}, "test": scores},
            "rows": {"train": 4000, "validation": validation, "test": ROWS}, "monitor": "macro_f1",
            "kept_epoch": best + 1.0,
            "confusion_matrix": {
                "validation": matrix(right, validation), "test": confusion or matrix(accuracy, ROWS),
            },
        }  # fmt: skip
        folder = self.folder / variant / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result), "utf-8")
        events = [
            {"event": "evaluation", "step": 10 * n, "epoch": float(n), "train_loss": train, "validation_loss": loss,
             "metrics": {"macro_f1": f1}, "best": n == best + 1, "seconds": 0.1}
            for n, (train, loss, f1) in enumerate(curve, 1)
        ]  # fmt: skip
        (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
        self.results.append(result)
        self.baselines[variant] = {
            "majority": {"test": {"macro_f1": 0.33, "accuracy": 0.5}},
            "tfidf-logreg": {"test": {"macro_f1": 0.83, "accuracy": 0.83}},
        }
        self.data.setdefault(variant, {"splits": {"train": {"read": 4000, "kept": 4000}}})

    def summary(self) -> dict[str, Any]:
        """Write the summary without findings, as earlier versions did, and return it."""
        made = build_summary(self.results, baselines=self.baselines, data=self.data, predictions=lambda _: None)
        (self.folder / "summary.json").write_text(json.dumps(made), "utf-8")
        return read_summary(self.folder / "summary.json")

    def found(self) -> dict[tuple[str, str | None], str]:
        """Return the texts of what stands out by rule and variant."""
        return {(one["id"], one["variant"]): one["text"] for one in findings(self.folder, self.summary())}


GOOD = [(0.45, 0.36, 0.85), (0.3, 0.31, 0.885), (0.22, 0.32, 0.889)]
RISING = [(0.69, 0.68, 0.50), (0.66, 0.64, 0.56), (0.63, 0.61, 0.61)]
OVERFITTED = [(0.6, 0.5, 0.7), (0.4, 0.45, 0.8), (0.2, 0.6, 0.79), (0.1, 0.7, 0.78)]
FLAT = [(0.694, 0.694, 0.33), (0.693, 0.693, 0.33), (0.693, 0.693, 0.33)]


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment(tmp_path / "runs" / "reviews" / "20260101T000000Z-abc", "[variants.whole]\n[variants.cut]\n")


def test_nothing_stands_out_in_healthy_runs(experiment: Experiment) -> None:
    for variant, accuracy in (("whole", 0.89), ("cut", 0.86)):
        for seed in (1, 2, 3):
            experiment.run(variant, seed, accuracy + seed / 1000, GOOD)
    experiment.data["whole"]["tokens"] = {"train": {"truncated rows": 60}}
    assert experiment.found() == {}
    assert "What stands out" not in write_report(experiment.folder).read_text("utf-8")


def test_a_result_below_the_baseline_has_distance_and_cause(experiment: Experiment) -> None:
    for seed in (1, 2):
        experiment.run("whole", seed, 0.61, RISING)
    found = experiment.found()
    assert found["below_baseline", "whole"] == (
        "22 points below the linear baseline (macro_f1 0.610 against 0.830); "
        "validation still rising at the last epoch: more epochs or a higher learning rate"
    )
    assert found["underfitting", "whole"].endswith("a higher learning rate (seed 1; 2 of 2 runs)")
    assert len(found) == 2


def test_other_causes_are_named(tmp_path: Path) -> None:
    flat = Experiment(tmp_path / "flat", "learning_rate = 1e-6\n")
    flat.run("default", 1, 0.5, FLAT, [[0, 500], [0, 500]])
    found = flat.found()
    assert found["below_baseline", "default"].endswith("nothing was learnt: another learning rate or more epochs")
    assert "a higher learning rate (it is 1e-06)" in found["underfitting", "default"]
    assert "all 1,000 predictions are 긍정" in found["collapsed_class", "default"]
    over = Experiment(tmp_path / "over")
    over.run("default", 1, 0.78, OVERFITTED)
    assert over.found()["below_baseline", "default"].endswith(
        "it overfits: more labelled rows, augmentation or a lower learning rate"
    )
    cut = Experiment(tmp_path / "cut")
    cut.run("default", 1, 0.75, [(0.5, 0.5, 0.74), (0.49, 0.5, 0.73)])
    cut.data["default"]["tokens"] = {"train": {"truncated rows": 2000, "95 % before cutting": 70.2}}
    assert cut.found()["below_baseline", "default"].endswith("training rows are cut: a larger max_length")
    assert cut.found()["short_max_length", "default"] == (
        "50% of the training rows (2,000 of 4,000) are cut at max_length = 32: max_length = 71 would cut 5 %"
    )


def test_one_collapsed_run_is_told_and_one_wavering_curve_is_not(experiment: Experiment) -> None:
    experiment.run("whole", 1, 0.87, GOOD)
    experiment.run("whole", 2, 0.86, OVERFITTED)
    experiment.run("whole", 3, 0.5, GOOD, [[500, 0], [500, 0]])
    found = experiment.found()
    assert found["collapsed_class", "whole"].endswith("(seed 3; 1 of 3 runs)")
    assert ("overfitting", "whole") not in found
    assert found["below_baseline", "whole"].endswith("; 1 of 3 runs: collapsed to one label")


def test_a_label_that_is_not_learnt_is_the_cause_rather_than_a_curve(experiment: Experiment) -> None:
    matrices = [[[300, 40, 0], [30, 300, 0], [200, 130, 0]], [[330, 10, 0], [10, 320, 0], [5, 5, 320]]]
    for variant, seeds in (("whole", (0, 0)), ("cut", (0, 1, 1))):
        for seed, number in enumerate(seeds, 1):
            experiment.run(variant, seed, 0.6, OVERFITTED, matrices[number])
            experiment.results[-1]["labels"] = ["부정", "긍정", "중립"]
            (experiment.folder / variant / f"seed-{seed}" / "result.json").write_text(
                json.dumps(experiment.results[-1]), "utf-8"
            )
    found = experiment.found()
    assert found["below_baseline", "whole"].endswith("; at least one label is not learnt")
    assert found["below_baseline", "cut"].endswith("; 1 of 3 runs: at least one label is not learnt")


def test_noise_and_tiny_validation_are_of_the_whole_experiment(experiment: Experiment) -> None:
    for variant, accuracies in (("whole", (0.85, 0.89)), ("cut", (0.86, 0.89))):
        for seed, accuracy in enumerate(accuracies, 1):
            experiment.run(variant, seed, accuracy, GOOD, validation=40)
    found = experiment.found()
    assert {*found} == {("noise", None), ("tiny_validation", None)}
    assert found["noise", None].startswith("noise: whole and cut differ in macro_f1 by less than")
    assert (
        "on 40 rows the 95 % interval of macro_f1 of whole is 0.77 to 0.96, wider than the 0.4 points"
        in (found["tiny_validation", None])
    )


def test_a_model_that_is_right_more_often_than_a_constant_has_learnt_something(tmp_path: Path) -> None:
    for right, said in ((0.5, True), (0.505, True), (0.62, False)):
        made = Experiment(tmp_path / str(right))
        made.run("default", 1, 0.62, FLAT, right=right)
        assert (("underfitting", "default") in made.found()) is said


def test_what_was_not_chosen_by_validation_was_not_chosen_by_chance(tmp_path: Path) -> None:
    for keep, said in (('"best"', True), ('"last"', False), ("3", False)):
        made = Experiment(tmp_path / keep.strip('"'), f"keep = {keep}\n")
        made.run("default", 1, 0.85, GOOD, validation=40)
        assert (("tiny_validation", None) in made.found()) is said


def test_folds_are_no_remedy_where_there_are_folds(tmp_path: Path) -> None:
    made = Experiment(tmp_path / "folds", "[split]\nfolds = 3\n")
    made.run("default", 1, 0.85, GOOD, validation=40)
    assert made.found()["tiny_validation", None].endswith("ahead of the next: a larger split.validation")


def test_page_and_screen_say_it_once_for_variants_that_share_it(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    for variant in ("whole", "cut"):
        experiment.run(variant, 1, 0.61, RISING)
    summary = experiment.summary()
    html = write_report(experiment.folder).read_text("utf-8")  # earlier versions wrote no findings
    assert html.count("<b>whole, cut</b>: 22 points below the linear baseline") == 1
    found = findings(experiment.folder, summary)
    assert {one["id"] for one in found} == {"below_baseline", "underfitting"}
    assert [names for names, _ in by_text(found)] == ["whole, cut"] * 2
    print_summary({**summary, "findings": found, "folder": "runs/reviews"})
    shown = capsys.readouterr().out
    assert shown.count("whole, cut: 22 points below the linear baseline (macro_f1 0.610 against 0.830)") == 1
    print_summary({**summary, "folder": "runs/reviews"})
    assert "22 points" not in capsys.readouterr().out


def test_a_failed_run_and_an_unfinished_experiment_say_nothing(experiment: Experiment) -> None:
    assert experiment.found() == {}
    experiment.run("whole", 1, 0.9, GOOD)
    failed = {"status": "failed", "reason": "out of memory", "experiment": "reviews", "variant": "whole", "seed": 2}
    experiment.results.append(failed)
    (experiment.folder / "whole" / "seed-2").mkdir()
    (experiment.folder / "whole" / "seed-2" / "result.json").write_text(json.dumps(failed), "utf-8")
    experiment.baselines = {}
    assert experiment.found() == {}


def test_a_constant_is_not_the_best_calibrated_and_pooled_folds_are_no_rival() -> None:
    runs = [
        {"status": "done", "reason": None, "experiment": "e", "variant": name, "seed": 1, "labels": LABELS,
         "metrics": {"test": {"accuracy": accuracy, "ece": ece}}}
        # The third has learnt nothing, which is well calibrated too.
        for name, accuracy, ece in (("a", 0.8, 0.05), ("b", 0.7, 0.04), ("c", 0.5, 0.01))
    ]  # fmt: skip
    baselines = {"majority": {"test": {"accuracy": 0.5, "ece": 0.0}}}
    made = build_summary(
        runs, baselines=dict.fromkeys("abc", baselines), data={}, predictions=lambda _: None,
        lower_is_better=["ece"],
    )  # fmt: skip
    pooled = {"mean": 0.99, "n": 1, "over": "1 seed"}
    made["variants"]["a"]["out_of_fold"] = {"file": "", "runs": [], "metrics": {"accuracy": pooled}}
    table = results_table(made, "test")
    best = {
        metric: [row["name"] for row in table["rows"] if is_best(table, row, metric)] for metric in table["metrics"]
    }
    assert best == {"accuracy": ["a"], "ece": ["b"]}
    assert np.isclose(table["best"]["ece"], 0.04)
