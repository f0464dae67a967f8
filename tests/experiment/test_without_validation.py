"""The protocol without validation: fixed steps, the last model, results on test alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kexp.report.stored import read_events
from tests.support import kexp, tiny_spec

WITHOUT = ("split.validation=0", "training.keep='last'")


def write_reviews(path: Path, rows: int) -> Path:
    words = ("지루하다", "재미있다")
    lines = [f"영화 {number} 정말 {words[number % 2]},{number % 2}" for number in range(rows)]
    path.write_text("\n".join(["text,label", *lines]), "utf-8")
    return path


def spec(folder: Path, **changes: Any) -> Path:
    data = write_reviews(folder / "reviews.csv", 120)
    path = folder / "plain.toml"
    settings: dict[str, Any] = {"epochs": None, "steps": 8, "evaluate_every": 4}
    text = tiny_spec("seeds = [1, 2]", "[variants.a]\n[variants.b]\ntraining.ema = 0.5", **{**settings, **changes})
    path.write_text(text.format(data=data), "utf-8")
    return path


def run(path: Path, *changes: str) -> tuple[Any, Path]:
    shown = kexp("run", path, "--runs-dir", path.parent / "runs", *sets(*changes))
    assert shown.exit_code == 0, shown.output
    (folder,) = (path.parent / "runs").glob("plain/*")
    return shown, folder


def sets(*changes: str) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


def test_nothing_is_measured_or_chosen_on_validation(tmp_path: Path) -> None:
    path = spec(tmp_path)
    shown, folder = run(path, *WITHOUT)
    for seed in (1, 2):
        result = json.loads((folder / f"a/seed-{seed}/result.json").read_text("utf-8"))
        assert set(result["metrics"]) == set(result["per_class"]) == {"test"}
        assert result["kept_step"] == result["steps"] == 8
        assert not {"monitor", "best_step", "best_epoch"} & set(result)
        evaluations = [e for e in read_events(folder / f"a/seed-{seed}/metrics.jsonl") if e["event"] == "evaluation"]
        assert [(e["step"], e["metrics"], e["best"], e.get("validation_loss")) for e in evaluations] == [
            (4, {}, False, None),
            (8, {}, False, None),
        ]
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert set(summary["variants"]["a"]["metrics"]) == {"test"}
    assert all(set(found) == {"test"} for found in summary["variants"]["a"]["baselines"].values())
    assert "validation" not in summary["variants"]["a"]["data"]["splits"]
    assert "test" in shown.stdout
    report = (folder / "report.html").read_text("utf-8")
    assert "Results on validation" not in report
    assert "Validation macro_f1" not in report


def test_what_reads_a_run_copes(tmp_path: Path) -> None:
    path = spec(tmp_path)
    _, folder = run(path, *WITHOUT, "evaluation.train=true")
    for arguments in (
        ("runs", "show", folder),
        ("compare", folder),
        ("report", folder),
        ("predict", folder / "a/seed-1", "정말 재미있다"),
        ("predict", folder / "a/seed-1", folder / "a/seed-2", "정말 재미있다"),
        ("evaluate", folder / "a/seed-1", "--data", tmp_path / "reviews.csv"),
        ("run", "--resume", folder),
    ):
        shown = kexp(*arguments)
        assert shown.exit_code == 0, (arguments, shown.output)


def test_the_rows_of_validation_are_trained_on(tmp_path: Path) -> None:
    path = spec(tmp_path)
    shown = kexp("run", path, "--dry-run", "--json", *sets(*WITHOUT, "split.test=20"))
    splits = json.loads(shown.stdout)["variants"]["a"]["data"]["splits"]
    assert set(splits) == {"train", "test"}
    assert splits["train"]["kept"] + splits["test"]["kept"] == splits["train"]["read"]


def test_a_validation_split_that_the_dataset_brings_is_not_used_and_counted(tmp_path: Path) -> None:
    path = spec(tmp_path)
    brought = write_reviews(tmp_path / "brought.csv", 30)
    shown = kexp("run", path, "--dry-run", "--json", *sets(*WITHOUT, f"dataset.validation='{brought}'"))
    data = json.loads(shown.stdout)["variants"]["a"]["data"]
    assert data["splits"]["validation"] == {"read": 30, "not_used": 30, "kept": 0}
    assert set(data["labels"]) == {"train", "test"}
    # Its rows are not looked for in train either.
    assert not data["splits"]["train"].get("overlap", 0)


def test_hidden_states_are_reused_without_validation(tmp_path: Path) -> None:
    path = spec(tmp_path, steps=20)
    _, folder = run(path, *WITHOUT, "freezing='all-but-head'")
    assert "were computed once and are kept" in (folder / "a/seed-1/log.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ([], "training.keep"),
        (["training.keep=2"], "training.keep"),
        (["training.keep='last'", "training.patience=2"], "training.patience"),
        (["training.keep='last'", "training.monitor='accuracy'"], "training.monitor"),
        (
            [
                "training.keep='last'",
                "search={trials = 2, space = {'training.learning_rate' = {low = 1e-4, high = 1e-3}}}",
            ],
            "split.validation",
        ),
    ],
    ids=str,
)
def test_what_needs_validation_is_refused_without_it(tmp_path: Path, changes: list[str], place: str) -> None:
    shown = kexp("check", spec(tmp_path), *sets("split.validation=0", *changes))
    assert shown.exit_code == 2
    assert f"plain.toml: {place}: " in shown.stderr


def test_the_monitor_need_not_be_a_metric(tmp_path: Path) -> None:
    assert kexp("check", spec(tmp_path), *sets(*WITHOUT, "evaluation.metrics=['accuracy']")).exit_code == 0


def test_without_test_too_nothing_would_be_measured(tmp_path: Path) -> None:
    shown = kexp("run", spec(tmp_path), "--runs-dir", tmp_path / "runs", *sets(*WITHOUT, "split.test=0"))
    assert shown.exit_code == 2
    assert "neither validation nor test has rows, so nothing would be measured; set split.test" in shown.stderr
    assert not (tmp_path / "runs").exists()
