"""The experiments of the courses: they resolve where their data are, and their rehearsals show what they are to show."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import REPOSITORY, kexp

from kexp.catalog import Catalog
from kexp.plan.resolve import resolve

TINY = 'backbone={use="tiny", layers=1, hidden=32, heads=2, vocabulary=600, positions=256}'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with experiments/, the synthetic files, and these at the places of the published ones."""
    folder = tmp_path_factory.mktemp("courses")
    shutil.copytree(REPOSITORY / "experiments", folder / "experiments", ignore=shutil.ignore_patterns("runs"))
    spec = importlib.util.spec_from_file_location("rehearsal_data", folder / "experiments" / "rehearsal_data.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert folder / "data/rehearsal" == script.FOLDER
    script.main(script.FOLDER)
    made, data = script.FOLDER, folder / "data"
    shutil.copytree(made / "dialect", data / "dialect")
    shutil.move(data / "dialect" / "aihub", data / "aihub-dialect")
    shutil.copytree(made / "cola", data / "cola")
    shutil.copy(made / "course" / "emotions.csv", data / "emotional-dialogue.csv")
    return folder


def run(place: Path, spec: str, *arguments: str) -> dict[str, Any]:
    """Run a spec; return what it found."""
    result = kexp("run", place / "experiments" / spec, "--runs-dir", place / "runs", "--json", "--quiet", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def result_of(found: dict[str, Any], variant: str = "default") -> dict[str, Any]:
    (path,) = Path(found["folder"]).glob(f"{variant}/seed-*/result.json")
    return json.loads(path.read_text("utf-8"))


def on_test(found: dict[str, Any], variant: str = "default") -> tuple[np.ndarray, np.ndarray]:
    """Return label ids and probabilities of the test rows, by the order of the labels in the result."""
    (path,) = Path(found["folder"]).glob(f"{variant}/seed-*/predictions.parquet")
    rows = pd.read_parquet(path)
    rows = rows[rows["split"] == "test"]
    labels = result_of(found, variant)["labels"]
    probabilities = rows[[f"probability:{label}" for label in labels]].to_numpy()
    return np.array([labels.index(label) for label in rows["label"]]), probabilities


def test_the_synthetic_files_are_the_same_every_time(place: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("again", REPOSITORY / "experiments" / "rehearsal_data.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path)
    first = {path.relative_to(place / "data/rehearsal"): path for path in (place / "data/rehearsal").rglob("*.*")}
    again = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*.*")}
    assert first.keys() == again.keys()
    assert all(first[name].read_bytes() == again[name].read_bytes() for name in first)


@pytest.mark.parametrize(
    ("spec", "variants"),
    [("dialect/csv.toml", 15), ("dialect/aihub.toml", 15), ("cola.toml", 1), ("course-60-classes.toml", 2)],
)
def test_specs_resolve_where_their_data_are(place: Path, catalog: Catalog, spec: str, variants: int) -> None:
    plan = resolve(place / "experiments" / spec, catalog)
    assert len(plan.variants) == variants
    # What is warned of is that no commit of some weights is known, and nothing else.
    assert {warning.path.rpartition(".")[2] for warning in plan.warnings} <= {"revision"}


# --- dialects ---------------------------------------------------------------------------------------------------------


def test_csv_is_sorted_by_label_and_shares_no_recording_with_validation(place: Path) -> None:
    rows = {
        name: list(csv.reader((place / f"data/dialect/{name}_data.csv").read_text("utf-8").splitlines()))
        for name in ("train", "valid")
    }
    for found in rows.values():
        assert found[0] == ["contents", "label"]
        labels = [label for _, label in found[1:]]
        assert labels == sorted(labels)
        counts = Counter(labels)
        assert counts["0"] == counts["1"] + counts["2"] + counts["3"] == len(labels) / 2


@pytest.mark.slow
def test_sorted_rows_in_order_teach_a_single_class(place: Path) -> None:
    found = run(place, "dialect/rehearsal.toml")
    labels, probabilities = on_test(found, "sequential")
    assert result_of(found, "sequential")["labels"] == ["standard", "gyeongsang", "jeju", "jeolla"]
    # The learning rate is near 0 when the last class comes, so that the one before it may stay.
    (said,) = set(probabilities.argmax(1))
    assert said in (2, 3)
    accuracy = {
        name: result_of(found, name)["metrics"]["test"]["accuracy"] for name in ("sequential", "shuffled", "winner")
    }
    assert accuracy["sequential"] == pytest.approx((labels == said).mean())
    assert accuracy["shuffled"] > accuracy["sequential"] + 0.3
    assert accuracy["winner"] > accuracy["shuffled"]


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["csv", "aihub"])
def test_both_forms_of_the_corpus_train(place: Path, spec: str) -> None:
    changes = [TINY, "split.validation=200", "training.batch_size=64", "training.learning_rate=1e-3"]
    arguments = [word for change in changes for word in ("--set", change)]
    chosen = ["--variant", "baseline", "--variant", "baseline-shuffled", *arguments]
    found = run(place, f"dialect/{spec}.toml", *chosen)
    accuracy = {
        name: result_of(found, name)["metrics"]["test"]["accuracy"] for name in ("baseline", "baseline-shuffled")
    }
    assert all(0.15 < value <= 1 for value in accuracy.values())
    rows = result_of(found, "baseline")["rows"]
    files = {
        name: len((place / f"data/dialect/{name}_data.csv").read_text("utf-8").splitlines()) - 1
        for name in ("train", "valid")
    }
    if spec == "csv":
        # Every row of both files is there: the validation file is test, and 200 rows of train choose the epoch.
        assert (rows["train"] + rows["validation"], rows["validation"], rows["test"]) == (
            files["train"],
            200,
            files["valid"],
        )
    else:
        assert sum(rows[split] for split in ("train", "validation", "test")) == sum(files.values())


@pytest.mark.slow
def test_lengths_rates_and_epochs_are_searched(place: Path) -> None:
    spec = place / "experiments/dialect/rehearsal.toml"
    result = kexp("tune", spec, "--variant", "winner", "--runs-dir", place / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["status"] == "done"
    assert found["trials"]["complete"] + found["trials"]["pruned"] == 3
    assert 0.5 < found["best_value"] <= 1


# --- CoLA -------------------------------------------------------------------------------------------------------------


def mcc(table: np.ndarray) -> float:
    """Matthews' correlation from a confusion matrix of two classes (Matthews 1975)."""
    (tn, fp), (fn, tp) = table
    return (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5


@pytest.mark.slow
def test_cola_rehearsal_learns_and_is_evaluated_out_of_domain(place: Path) -> None:
    found = run(place, "cola-rehearsal.toml")
    result = result_of(found)
    labels, probabilities = on_test(found)
    table = np.array(
        [[((labels == true) & (probabilities.argmax(1) == said)).sum() for said in (0, 1)] for true in (0, 1)]
    )
    assert result["metrics"]["test"]["mcc"] == pytest.approx(mcc(table))
    assert result["metrics"]["test"]["mcc"] > 0.5
    assert result["kept_epoch"] == 6, "the last model is kept, as in the tutorial"
    dev = place / "data/rehearsal/cola/out_of_domain_dev.tsv"
    outside = kexp("evaluate", found["folder"], "--data", dev, "--json")
    assert outside.exit_code == 0, outside.stderr
    measured = json.loads(outside.stdout)
    counts = Counter(line.split("\t")[1] for line in dev.read_text("utf-8").splitlines())
    assert [sum(row) for row in measured["confusion_matrix"]] == [counts["0"], counts["1"]]
    assert measured["metrics"]["mcc"] == pytest.approx(mcc(np.array(measured["confusion_matrix"])))


@pytest.mark.slow
def test_cola_grid_visits_every_point_once(place: Path) -> None:
    spec = place / "experiments/cola-rehearsal.toml"
    result = kexp("tune", spec, "--runs-dir", place / "runs", "--json", "--quiet", "--set", "dataset.limit.train=400")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    trials = pd.read_csv(f"{found['folder']}/trials.csv")
    # The spec as it stands comes first; where the grid comes to its point once more, another one is drawn.
    assert set(trials["outcome"]) <= {"complete", "redrawn"}
    complete = trials[trials["outcome"] == "complete"]
    points = complete[["training.batch_size", "training.learning_rate", "training.epochs"]]
    assert set(points.itertuples(index=False, name=None)) == {
        (batch, rate, epochs) for batch in (16, 32) for rate in (1e-3, 2e-3) for epochs in (2, 6)
    }
    assert len(points) == 8


# --- sixty classes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_course_rehearsal_measures_errors_of_probabilities(place: Path) -> None:
    found = run(place, "course-60-classes-rehearsal.toml")
    for variant in ("cross-entropy", "squared-error"):
        result = result_of(found, variant)
        labels, probabilities = on_test(found, variant)
        one_hot = np.eye(60)[labels]
        measured = result["metrics"]["test"]
        assert len(result["labels"]) == 60
        assert measured["accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean())
        assert measured["mse"] == pytest.approx(((probabilities - one_hot) ** 2).mean(), abs=1e-6)
        assert measured["mae"] == pytest.approx(np.abs(probabilities - one_hot).mean(), abs=1e-6)
        events = [
            json.loads(line)
            for line in next(Path(found["folder"]).glob(f"{variant}/*/metrics.jsonl")).read_text("utf-8").splitlines()
        ]
        steps = [event["step"] for event in events if event["event"] == "step"]
        assert {25, 50, 75, 100, 350} <= set(steps)
        evaluations = [event for event in events if event["event"] == "evaluation"]
        assert len(evaluations) == 5
        assert all({"accuracy", "mse", "mae"} <= event["train_metrics"].keys() for event in evaluations)
    # One of the two digits alone would give 1/6 or 1/10 of the rows: both columns are read.
    assert result_of(found, "cross-entropy")["metrics"]["test"]["accuracy"] > 0.5


def test_columns_are_joined_by_the_separator_of_the_tokenizer(place: Path) -> None:
    found = run(
        place,
        "course-60-classes-rehearsal.toml",
        "--variant",
        "squared-error",
        "--set",
        "training.steps=2",
        "--set",
        "dataset.limit.train=600",
    )
    (path,) = Path(found["folder"]).glob("squared-error/seed-*/predictions.parquet")
    texts = pd.read_parquet(path)["text"]
    assert {text.count(" [SEP] ") for text in texts} == {4}
    from transformers import AutoTokenizer

    (folder,) = Path(found["folder"]).glob("squared-error/seed-*/model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(texts.iloc[0], add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.sep_token_id) == 4
