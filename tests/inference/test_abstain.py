"""``--abstain``: rows of which a model is unsure get no label, and what it answers is counted."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import kexp, tiny_spec

from kexp.errors import KexpError
from kexp.trained import TrainedModel, load

SPEC = tiny_spec(dataset='label_names = {{ good = "좋음", bad = "나쁨", so-so = "보통" }}', epochs=3)
NAMES = {"좋음": "good", "나쁨": "bad", "보통": "so-so"}
LABELS = ["나쁨", "보통", "좋음"]


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    frame = pd.read_csv(reviews)
    frame.assign(label=frame["label"].map(NAMES)).to_csv(folder / "raw.csv", index=False)
    (folder / "reviews.toml").write_text(SPEC.format(data=folder / "raw.csv"), encoding="utf-8")
    result = kexp("run", folder / "reviews.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"])


@pytest.fixture(scope="module")
def model(run: Path) -> TrainedModel:
    return load(run)


@pytest.fixture(scope="module")
def other() -> pd.DataFrame:
    """Rows of which the model is more and less sure, one without text, one with a label of its own."""
    words = ["최고", "최악", "무난", "감동", "별로", "보통", "최고 최악", "배우"]
    texts = [f"{number} {words[number % 8]} " + "배우 " * (number % 5) for number in range(60)]
    frame = pd.DataFrame({"text": texts, "label": [["good", "나쁨", "so-so"][number % 3] for number in range(60)]})
    frame.loc[7, "text"] = ""
    frame.loc[8, "label"] = "other"
    return frame


@pytest.fixture
def table(other: pd.DataFrame, tmp_path: Path) -> Path:
    other.to_csv(tmp_path / "other.csv", index=False)
    return tmp_path / "other.csv"


@pytest.fixture(scope="module")
def threshold(model: TrainedModel, other: pd.DataFrame) -> float:
    """A probability that about half of the rows reach."""
    sure = np.sort(model.predict(list(other["text"].drop(7))).max(1))
    return float(np.round((sure[29] + sure[30]) / 2, 6))


def expected(model: TrainedModel, other: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """Count by a loop over single texts."""
    answered = right = labelled = 0
    for text, label in zip(other["text"], other["label"], strict=True):
        if not text:
            continue
        probabilities = model.predict([text])[0]
        if max(probabilities) < threshold:
            continue
        answered += 1
        true = {name: label for label, name in NAMES.items()}.get(label, label)
        labelled += true in LABELS
        right += model.labels[int(np.argmax(probabilities))] == true
    return {"answered": answered, "labelled": labelled, "right": right}


def test_unsure_rows_have_no_label_and_keep_their_probabilities(
    run: Path, model: TrainedModel, other: pd.DataFrame, table: Path, threshold: float
) -> None:
    whole = list(csv.DictReader(io.StringIO(kexp("predict", run, "--input", table).stdout), delimiter="\t"))
    done = kexp("predict", run, "--input", table, "--abstain", threshold)
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    sure = model.predict(list(other["text"])).max(1) >= threshold
    assert 20 < sure.sum() < 40
    for number, (row, before) in enumerate(zip(rows, whole, strict=True)):
        assert row["predicted"] == (before["predicted"] if sure[number] else "")
        assert {**row, "predicted": ""} == {**before, "predicted": ""}
    counts = expected(model, other, threshold)
    assert counts["labelled"] < counts["answered"] or other["label"][8] == "other"
    told = done.stderr.strip().splitlines()[-1]
    share = f"coverage {counts['answered'] / 59:.1%}"
    assert f"{counts['answered']} of 59 answered (probability of at least {threshold:g}), {share}" in told
    right, labelled = counts["right"], counts["labelled"]
    assert f"{right} of {labelled} answered rows with a known label are right, accuracy {right / labelled:.1%}" in told


def test_every_format_has_nothing_where_the_model_abstains(run: Path, table: Path, tmp_path: Path) -> None:
    for kind, read in (("jsonl", lambda path: pd.read_json(path, lines=True)), ("parquet", pd.read_parquet)):
        path = tmp_path / f"out.{kind}"
        done = kexp("predict", run, "--input", table, "--output", path, "--abstain", "1", "--top-k", "2")
        assert done.exit_code == 0, done.stderr
        frame = read(path)
        assert frame["predicted"].isna().all()
        assert frame["predicted:2"].isna().all()
        assert frame["confidence"].notna().sum() == 59
        assert "0 of 59 answered (probability of at least 1), coverage 0.0%" in done.stderr
        assert "accuracy" not in done.stderr
    printed = kexp("predict", run, "--abstain", "1", "--json", "배우")
    assert json.loads(printed.stdout)["predicted"] is None


def test_labels_that_are_none_count_as_unknown(run: Path, tmp_path: Path) -> None:
    rows = [{"text": "정말 최고", "label": label} for label in (["좋음"], 0.5, None, "좋음")]
    (tmp_path / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    done = kexp("predict", run, "--input", tmp_path / "odd.jsonl", "--abstain", "0.3")
    assert done.exit_code == 0, done.stderr
    assert "4 of 4 answered" in done.stderr
    assert re.search(r"[01] of 1 answered rows with a known label are right", done.stderr)
    assert "answered" not in kexp("predict", run, "--input", tmp_path / "odd.jsonl").stderr


def test_evaluate_measures_what_is_answered(
    run: Path, model: TrainedModel, other: pd.DataFrame, table: Path, threshold: float
) -> None:
    command = ("evaluate", run, "--data", table, "--ignore-unknown")
    found = json.loads(kexp(*command, "--abstain", threshold, "--json").stdout)
    counts = expected(model, other.drop(8), threshold)
    assert found.pop("abstain") == pytest.approx({
        "threshold": threshold, "answered": counts["answered"], "coverage": counts["answered"] / 58,
        "accuracy": counts["right"] / counts["answered"],
    })  # fmt: skip
    assert found == json.loads(kexp(*command, "--json").stdout)
    shown = kexp(*command, "--abstain", threshold)
    assert shown.stdout.split("\n\n")[1].splitlines()[0] == "threshold\tanswered\tcoverage\taccuracy"
    none = json.loads(kexp(*command, "--abstain", "1", "--json").stdout)["abstain"]
    assert (none["answered"], none["coverage"], none["accuracy"]) == (0, 0, None)


def test_python_has_the_same_labels(model: TrainedModel, other: pd.DataFrame, threshold: float) -> None:
    texts = list(other["text"])
    probabilities = model.predict(texts)
    best = [model.labels[number] for number in probabilities.argmax(1)]
    assert model.classify(texts) == best
    sure = probabilities.max(1) >= threshold
    assert model.classify(texts, abstain=threshold) == [
        label if answered else None for label, answered in zip(best, sure, strict=True)
    ]
    assert model.classify([]) == model.classify([], abstain=0.9) == []
    # A row at the threshold is answered.
    assert model.classify(texts[:1], abstain=float(model.predict(texts[:1]).max())) == best[:1]
    with pytest.raises(KexpError, match="abstain 2: expected a probability, above 1/3"):
        model.classify(texts, abstain=2)
    with pytest.warns(UserWarning, match="never abstains"):
        assert model.classify(texts, abstain=1 / 3) == best


def test_thresholds_are_checked_before_anything_is_written(run: Path, table: Path, tmp_path: Path) -> None:
    for wrong in ("1.5", "-0.1", "nan"):
        for command in (
            ("predict", run, "--input", table, "--output", tmp_path / "o.csv"),
            ("evaluate", run, "--data", table),
        ):
            refused = kexp(*command, "--abstain", wrong)
            assert (refused.exit_code, refused.stdout) == (2, "")
            assert f"--abstain {float(wrong):g}: expected a probability, above 1/3 for 3 labels" in refused.stderr
    assert not (tmp_path / "o.csv").exists()
    warned = kexp("predict", run, "--abstain", "0.3", "배우")
    assert warned.exit_code == 0
    assert "warning: --abstain 0.3 never abstains: the largest of 3 probabilities is at least 1/3" in warned.stderr
