"""Experiments with numbers and with ordered classes, from files to results: pairs from 0 to 5, and one to five stars."""

from __future__ import annotations

import csv
import gc
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import cohen_kappa_score
from support import kexp, tiny_spec

from kexp.train.step import OptimizerStep

# A process that is killed closes its files; here they are left to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GOOD, BAD = ("재미", "감동", "훌륭", "최고", "사랑"), ("지루", "실망", "최악", "별로", "짜증")
SCORES = """
task = {{use = "regression", low = 0, high = 5}}
seeds = [1]
"""
STARS = """
task = {{use = "ordinal", form = "FORM"}}
seeds = [1]
"""
NUMBERS = {"dataset": 'text = "sentence1"\ntext_pair = "sentence2"\nlabel = "score"', "learning_rate": 5e-3}
SPLIT = "[split]\ntest = 0.2\nvalidation = 0.2\n[cleaning]\ntrim = true\n"


def review(drawn: random.Random, good: int, words: int) -> str:
    chosen = [drawn.choice(GOOD) for _ in range(good)] + [drawn.choice(BAD) for _ in range(words - good)]
    drawn.shuffle(chosen)
    return " ".join(chosen)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, drawn = tmp_path_factory.mktemp("numbers"), random.Random(0)
    with (place / "pairs.tsv").open("w", encoding="utf-8", newline="") as file:
        rows = [("genre", "score", "sentence1", "sentence2")]
        for number in range(300):
            good = drawn.randrange(6)
            score = min(5, max(0, good + drawn.choice((-0.25, 0, 0.2, 0.5))))
            rows.append(("news", f"{score:.3f}", review(drawn, good, 5), f"{review(drawn, good, 5)} {number}"))
        csv.writer(file, delimiter="\t").writerows(rows)
    with (place / "stars.csv").open("w", encoding="utf-8", newline="") as file:
        stars = [drawn.randrange(5) for _ in range(300)]
        cells = [(f"{review(drawn, good, 4)} {number}", good + 1) for number, good in enumerate(stars)]
        csv.writer(file).writerows([("text", "label"), *cells])
    return place


def written(folder: Path, name: str, top: str, data: str, tables: str = SPLIT, **keys: Any) -> Path:
    text = tiny_spec(top, tables, **{"batch_size": 32, "epochs": 4, "max_length": 32, **keys}).format(data=data)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def run(spec: Path, runs: Path) -> Path:
    result = kexp("run", spec, "--runs-dir", runs, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    return Path(json.loads(result.stdout)["folder"])


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def scores(folder: Path) -> Path:
    return run(written(folder, "scores", SCORES, "pairs.tsv", epochs=6, monitor='"rmse"', **NUMBERS), folder / "runs")


@pytest.fixture(scope="module", params=["conditional", "cumulative"])
def stars(folder: Path, request: pytest.FixtureRequest) -> Path:
    top = STARS.replace("FORM", request.param)
    spec = written(folder, f"stars-{request.param}", top, "stars.csv", learning_rate=1e-2)
    return run(spec, folder / "runs")


def test_a_model_learns_numbers(scores: Path) -> None:
    result, summary = read(scores / "default/seed-1/result.json"), read(scores / "summary.json")["variants"]["default"]
    assert result["labels"] == ["score"]
    assert list(result["metrics"]["test"]) == ["pearson", "spearman", "mae", "rmse"]
    assert result["metrics"]["test"]["pearson"] > 0.8
    assert list(summary["baselines"]) == ["mean", "tfidf-ridge"]
    assert summary["baselines"]["mean"]["test"]["pearson"] == 0.0
    assert result["metrics"]["test"]["mae"] < 0.75 * summary["baselines"]["mean"]["test"]["mae"]
    assert not {"per_class", "confusion_matrix", "calibration"} & {*result}


def test_numbers_are_written_as_they_are(scores: Path) -> None:
    result = read(scores / "default/seed-1/result.json")
    rows = pd.read_parquet(scores / "default/seed-1/predictions.parquet")
    assert rows["label"].dtype == rows["predicted"].dtype == np.float64
    assert rows["predicted"].between(0, 5).all()
    assert not {"confidence", "probability:score"} & {*rows}
    tested = rows[rows["split"] == "test"]
    assert len(tested) == 60
    assert pearsonr(tested["label"], tested["predicted"])[0] == pytest.approx(result["metrics"]["test"]["pearson"])
    errors = tested["predicted"] - tested["label"]
    assert result["scores"]["test"]["mean_error"] == pytest.approx(errors.mean())
    validated = rows[rows["split"] == "validation"]
    assert result["validation_loss"] == pytest.approx(((validated["predicted"] - validated["label"]) ** 2).mean())


def test_splits_have_numbers_alike(scores: Path) -> None:
    rows = pd.read_parquet(scores / "default/seed-1/predictions.parquet")
    means = rows.groupby("split")["label"].mean()
    assert abs(means["test"] - means["validation"]) < 0.2


def test_a_model_learns_ordered_classes(stars: Path) -> None:
    result, summary = read(stars / "default/seed-1/result.json"), read(stars / "summary.json")["variants"]["default"]
    assert result["labels"] == ["1", "2", "3", "4", "5"]
    assert result["monitor"] == "quadratic_kappa"
    assert result["metrics"]["test"]["quadratic_kappa"] > 0.6
    assert summary["baselines"]["majority"]["test"]["quadratic_kappa"] == 0.0
    rows = pd.read_parquet(stars / "default/seed-1/predictions.parquet")
    probabilities = rows[[f"probability:{star}" for star in "12345"]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-9)
    assert (probabilities.argmax(1) + 1).astype(str).tolist() == rows["predicted"].tolist()
    tested = rows[rows["split"] == "test"]
    kappa = cohen_kappa_score(tested["label"].astype(int), tested["predicted"].astype(int), weights="quadratic")
    assert result["metrics"]["test"]["quadratic_kappa"] == pytest.approx(kappa)
    assert np.array(result["confusion_matrix"]["test"]).sum() == len(tested)
    assert [of["label"] for of in result["per_class"]["test"]] == result["labels"]


class Killed(BaseException):
    """Ends a run as a kill does: nobody catches it."""


KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "regression": (SCORES, "pairs.tsv", NUMBERS),
    "ordinal": (STARS.replace("FORM", "conditional"), "stars.csv", {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_to_the_same_bytes(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    top, data, keys = KINDS[kind]
    keys = {**keys, "epochs": 2, "checkpoint_every_steps": 2, "log_every": 3}
    spec = written(folder, f"stopped-{kind}", top, data, f"{SPLIT}[evaluation]\nbaselines = []", **keys)
    whole = run(spec, folder / "whole")
    step, steps = OptimizerStep.__call__, iter(range(100))

    def killed(self: OptimizerStep, *arguments: Any) -> Any:
        if next(steps) == 7:
            raise Killed
        return step(self, *arguments)

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(OptimizerStep, "__call__", killed)
        run(spec, folder / "killed")
    gc.collect()
    (stopped,) = (folder / "killed" / f"stopped-{kind}").iterdir()
    result = kexp("run", "--resume", stopped, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    for name in ("model/model.safetensors", "predictions.parquet"):
        assert (stopped / "default/seed-1" / name).read_bytes() == (whole / "default/seed-1" / name).read_bytes(), name
    ours, theirs = (read(of / "default/seed-1/result.json") for of in (stopped, whole))
    assert ours["metrics"] == theirs["metrics"]
    assert ours["monitor"] == {"regression": "pearson", "ordinal": "quadratic_kappa"}[kind]


def test_folds_and_draws_have_numbers_alike(folder: Path) -> None:
    tables = "[split]\nfolds = 3\n[evaluation]\nbaselines = []"
    folds = run(written(folder, "folds", SCORES, "pairs.tsv", tables, **{**NUMBERS, "epochs": 1}), folder / "runs")
    tested = [pd.read_parquet(path) for path in sorted(folds.rglob("predictions.parquet"))]
    tested = [rows[rows["split"] == "test"] for rows in tested]
    assert sorted(row for rows in tested for row in rows["row"]) == list(range(300))
    assert np.ptp([rows["label"].mean() for rows in tested]) < 0.3
    tables = "[labelled]\nn = 7\ndraws = 2\n[split]\ntest = 0.2\nvalidation = 0.2\n[evaluation]\nbaselines = []"
    draws = run(written(folder, "draws", SCORES, "pairs.tsv", tables, **{**NUMBERS, "epochs": 1}), folder / "runs")
    results = [read(path) for path in draws.rglob("result.json")]
    assert [result["rows"]["train"] for result in results] == [7, 7]
    assert len({result["metrics"]["test"]["pearson"] for result in results}) == 2


def test_a_search_is_for_the_correlation(folder: Path) -> None:
    tables = f"""{SPLIT}[evaluation]
baselines = []
[search]
trials = 2
metric = "validation.pearson"
[search.space]
"training.learning_rate" = {{{{low = 1e-3, high = 1e-2, log = true}}}}
"objective" = {{{{choices = ["squared-error", "huber"]}}}}
"""
    spec = written(folder, "search", SCORES, "pairs.tsv", tables, **{**NUMBERS, "epochs": 1})
    result = kexp("tune", spec, "--runs-dir", folder / "studies", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    table = pd.read_csv(f"{found['folder']}/trials.csv")
    assert found["trials"]["complete"] == 2
    assert found["best_value"] == table["validation.pearson"].max() > 0.2
    text = Path(found["best_spec"]).read_text("utf-8")
    assert "validation.pearson = " in text
    assert 'use = "regression"' in text


REFUSED = {
    "label": ('3,5', "label", "data row 2, column 'label': found \"3,5\", expected a number with a decimal point"),
    "bounds": ("5.5", "label", "data row 2, column 'label': found 5.5, expected a number from 0 to 5"),
    "missing": ("", "label", "data row 2 has no label (1 such rows); fill them in"),
    "word": ("good", "label", "found \"good\", expected a number; correct it"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_rows_without_a_number_are_refused_by_their_place(tmp_path: Path, case: str) -> None:
    cell, _, expected = REFUSED[case]
    with (tmp_path / "bad.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), ("가", "1.0"), ("나", cell), *((f"글 {n}", n % 5) for n in range(40))]
        )
    spec = written(tmp_path, "bad", SCORES, "bad.csv")
    result = kexp("run", spec, "--dry-run")
    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())


def test_texts_with_two_numbers_contradict_each_other(tmp_path: Path) -> None:
    with (tmp_path / "few.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [("같은 글", "1.0"), ("같은 글", "1.5"), ("한 글", "2"), ("한 글", "2.00"), ("두 글", "3")]
        csv.writer(file).writerows([("text", "label"), *rows, *((f"글 {n}", n % 5) for n in range(40))])
    result = kexp("run", written(tmp_path, "few", SCORES, "few.csv"), "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    counts = json.loads(result.stdout)["variants"]["default"]["data"]["splits"]["train"]
    assert (counts["contradictions"], counts["duplicates"]) == (2, 1)
