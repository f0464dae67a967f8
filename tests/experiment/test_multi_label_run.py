"""Runs of rows with several labels: trained, stopped and resumed, and decided by thresholds chosen on validation."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from kexp.train.step import OptimizerStep
from tests.support import kexp, tiny_spec

# A process that is killed closes its files; here they are left to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

NAMES = ["출신차별", "외모차별", "정치성향차별", "혐오욕설"]
WORDS = ["고향이", "얼굴이", "여당이", "바보가"]
MEASURED = ("micro_f1", "macro_f1", "samples_f1", "subset_accuracy", "hamming_loss", "lrap", "macro_auc")
COLUMNS = "label = [" + ", ".join(f'"{name}"' for name in NAMES) + "]"


def write_rows(path: Path, rows: int, seed: int, *, other_labels: bool = False) -> Path:
    """Write comments with a word for each of their labels; with ``other_labels`` others stand beside the same texts."""
    generator = np.random.default_rng(seed)
    table = (generator.random((rows, 4)) < [0.4, 0.3, 0.2, 0.1]).astype(int)
    table[:8] = 0
    table[range(8), np.arange(8) % 4] = 1
    texts = [
        f"{number}번째 {' '.join(word for word, has in zip(WORDS, row, strict=True) if has)} 정말".replace("  ", " ")
        for number, row in enumerate(table)
    ]
    if other_labels:
        table = np.random.default_rng(99).permutation(table)
    lines = [",".join([text, *map(str, row)]) for text, row in zip(texts, table, strict=True)]
    path.write_text("\n".join([",".join(["text", *NAMES]), *lines]) + "\n", "utf-8")
    return path


def write_spec(folder: Path, tables: str = "", **training: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data = write_rows(folder / "rows.csv", 240, 1)
    path = folder / "several.toml"
    path.write_text(tiny_spec("seeds = [1]", tables, dataset=COLUMNS, **training).format(data=data), "utf-8")
    return path


def run(path: Path, runs: Path, *changes: str) -> Path:
    sets = [part for change in changes for part in ("--set", change)]
    shown = kexp("run", path, "--runs-dir", runs, "--json", "--quiet", *sets)
    assert shown.exit_code == 0, shown.output + shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)
    assert found["status"] == "done"
    return Path(found["folder"])


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "default" / "seed-1" / "result.json").read_text("utf-8"))
    return found


def test_a_run_learns_sets_of_labels_and_tells_what_it_found(tmp_path: Path) -> None:
    path = write_spec(tmp_path, '[task]\nthresholds = "best-f1"\n', epochs=20, learning_rate=1e-2)
    shown = kexp("check", path)
    assert "; task: multi-label (label names several columns)" in shown.stdout
    folder = run(path, tmp_path / "runs")
    assert 'use = "multi-label"' in (folder / "spec.toml").read_text("utf-8")
    result = result_of(folder)
    assert result["labels"] == NAMES
    assert set(result["metrics"]["test"]) == set(MEASURED)
    assert result["monitor"] == "macro_f1"
    assert result["metrics"]["test"]["micro_f1"] > 0.8
    # What was monitored is what the kept model is said to reach, with thresholds chosen at each evaluation.
    events = map(json.loads, (folder / "default" / "seed-1" / "metrics.jsonl").read_text("utf-8").splitlines())
    monitored = [event["metrics"]["macro_f1"] for event in events if event["event"] == "evaluation"]
    assert max(monitored) == result["metrics"]["validation"]["macro_f1"]
    # What the files say together: predictions, thresholds, scores.
    rows = pd.read_parquet(folder / "default" / "seed-1" / "predictions.parquet")
    decisions = json.loads((folder / "default" / "seed-1" / "model" / "decisions.json").read_text("utf-8"))
    assert decisions == result["decisions"]
    for split in ("validation", "test"):
        own = rows[rows["split"] == split]
        truth = np.array([[name in label.split("|") for name in NAMES] for label in own["label"]])
        given = own[[f"probability:{name}" for name in NAMES]].to_numpy()
        decided = given >= list(decisions["thresholds"].values())
        sets = ["|".join(sorted(np.array(NAMES)[row])) or "(none)" for row in decided]
        assert own["predicted"].tolist() == sets
        assert result["metrics"][split]["macro_f1"] == pytest.approx(f1_score(truth, decided, average="macro"))
        assert [one["f1"] for one in result["per_label"][split]] == pytest.approx(
            f1_score(truth, decided, average=None)
        )
        losses = np.where(truth, np.log(given), np.log1p(-given))
        if split == "validation":
            assert result["validation_loss"] == pytest.approx(-losses.mean())


class Killed(BaseException):
    """Ends a run as a kill does: nobody catches it."""


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_spec(tmp_path, '[task]\nthresholds = "best-f1"\n', checkpoint_every_steps=2)
    whole = run(path, tmp_path / "whole")
    step, calls = OptimizerStep.__call__, []

    def killed(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 12:
            raise Killed
        return step(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(OptimizerStep, "__call__", killed)
        with pytest.raises(Killed):
            run(path, tmp_path / "killed")
    gc.collect()
    (folder,) = (tmp_path / "killed" / "several").iterdir()
    shown = kexp("run", "--resume", folder, "--json", "--quiet")
    assert shown.exit_code == 0, shown.stderr
    for name in ("model/model.safetensors", "model/decisions.json", "predictions.parquet"):
        own, other = (of / "default" / "seed-1" / name for of in (folder, whole))
        assert own.read_bytes() == other.read_bytes(), name
    for key in ("metrics", "steps", "best_step", "per_label", "co_occurrence", "decisions"):
        assert result_of(folder)[key] == result_of(whole)[key]


@pytest.mark.parametrize("rule", ["best-f1", "precision"])
def test_thresholds_are_chosen_on_validation_alone(tmp_path: Path, rule: str) -> None:
    write_rows(tmp_path / "train.csv", 160, 1)
    write_rows(tmp_path / "validation.csv", 60, 2)
    folders = []
    for name, other in (("as they are", False), ("changed", True)):
        test = write_rows(tmp_path / f"{name}.csv", 60, 3, other_labels=other)
        keys = f'train = "{tmp_path}/train.csv"\nvalidation = "{tmp_path}/validation.csv"\ntest = "{test}"\n{COLUMNS}'
        text = tiny_spec("seeds = [1]", f'[task]\nthresholds = "{rule}"\n', dataset=keys)
        path = tmp_path / f"{name.replace(' ', '-')}.toml"
        path.write_text(text.replace('path = "{data}"\n', ""), "utf-8")
        folders.append(run(path, tmp_path / "runs"))
    chosen = [(folder / "default" / "seed-1" / "model" / "decisions.json").read_bytes() for folder in folders]
    assert chosen[0] == chosen[1]
    assert json.loads(chosen[0])["by"] == rule
    results = list(map(result_of, folders))
    assert results[0]["metrics"]["validation"] == results[1]["metrics"]["validation"]
    assert results[0]["metrics"]["test"] != results[1]["metrics"]["test"]
    # And by validation they are chosen: other labels there, other thresholds.
    write_rows(tmp_path / "validation.csv", 60, 2, other_labels=True)
    other = run(tmp_path / "changed.toml", tmp_path / "runs")
    assert (other / "default" / "seed-1" / "model" / "decisions.json").read_bytes() != chosen[0]
