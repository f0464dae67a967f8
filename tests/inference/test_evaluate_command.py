"""``kexp evaluate``: trained models measured on other labelled data."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_score
from support import kexp, tiny_spec

from kexp.files import tables
from kexp.trained import load

SPEC = tiny_spec(
    "seeds = [1, 2]",
    '[evaluation]\nmetrics = ["accuracy", "macro_f1", "cross_entropy"]',
    dataset='label_names = {{ good = "좋음", bad = "나쁨", so-so = "보통" }}',
    epochs=2,
)
NAMES = {"좋음": "good", "나쁨": "bad", "보통": "so-so"}


def refused(*arguments: str | Path) -> str:
    result = kexp("evaluate", *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.strip().splitlines()[-1]


def measured(*arguments: str | Path) -> dict[str, Any]:
    result = kexp("evaluate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    frame = pd.read_csv(reviews)
    frame.assign(label=frame["label"].map(NAMES)).to_csv(folder / "raw.csv", index=False)
    (folder / "reviews.toml").write_text(SPEC.format(data=folder / "raw.csv"), encoding="utf-8")
    result = kexp("run", folder / "reviews.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"


@pytest.fixture
def other(tmp_path: Path) -> pd.DataFrame:
    """Labelled texts that the model does not get all right."""
    draw = np.random.default_rng(0)
    words = ["최고", "최악", "무난", "감동", "별로", "보통"]
    texts = [f"{number} 영화 {words[number % 6]} " + "배우 " * int(draw.integers(0, 9)) for number in range(90)]
    labels = [("좋음", "나쁨", "보통")[number % 3 if number % 4 else 0] for number in range(90)]
    frame = pd.DataFrame({"text": texts, "label": labels})
    frame.to_csv(tmp_path / "other.csv", index=False)
    return frame


def test_measurements_are_those_of_scikit_learn(run: Path, other: pd.DataFrame, tmp_path: Path) -> None:
    found = measured(run, "--data", tmp_path / "other.csv")
    model = load(run)
    probabilities = model.predict(list(other["text"]))
    guesses = np.array(model.labels)[probabilities.argmax(1)]
    labels = list(model.labels)
    truth = other["label"].to_numpy()
    assert found["metrics"] == pytest.approx({
        "accuracy": accuracy_score(truth, guesses),
        "macro_f1": f1_score(truth, guesses, average="macro"),
        "cross_entropy": log_loss([labels.index(label) for label in truth], probabilities),
    })  # fmt: skip
    assert 0 < found["metrics"]["accuracy"] < 1
    assert found["confusion_matrix"] == confusion_matrix(truth, guesses, labels=labels).tolist()
    precision = precision_score(truth, guesses, labels=labels, average=None, zero_division=0)
    assert [row["precision"] for row in found["per_class"]] == pytest.approx(list(precision))
    assert [row["support"] for row in found["per_class"]] == [list(truth).count(label) for label in labels]
    assert (found["rows"], found["empty"], found["unknown"]) == (90, 0, {})


def test_test_rows_have_the_metrics_of_the_run(run: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(run / "predictions.parquet")
    frame[frame["split"] == "test"].to_parquet(tmp_path / "test.parquet")
    recorded = json.loads((run / "result.json").read_text("utf-8"))
    found = measured(run, "--data", tmp_path / "test.parquet")
    assert found["metrics"] == pytest.approx(recorded["metrics"]["test"], abs=1e-6)
    assert found["confusion_matrix"] == recorded["confusion_matrix"]["test"]


def test_tables_go_to_standard_output_and_counts_to_standard_error(
    run: Path, other: pd.DataFrame, tmp_path: Path
) -> None:
    result = kexp("evaluate", run, "--data", tmp_path / "other.csv")
    metrics, labels, confusion = (block.splitlines() for block in result.stdout.split("\n\n"))
    assert [line.split("\t")[0] for line in metrics] == ["metric", "accuracy", "macro_f1", "cross_entropy"]
    assert labels[0] == "label\tprecision\trecall\tf1\tsupport"
    assert confusion[0].split("\t")[1:] == [line.split("\t")[0] for line in confusion[1:]]
    assert result.stderr.startswith("90 rows")


def test_labels_as_they_stood_in_the_data_are_known(run: Path, other: pd.DataFrame, tmp_path: Path) -> None:
    expected = measured(run, "--data", tmp_path / "other.csv")
    other.assign(label=other["label"].map(NAMES)).to_json(tmp_path / "raw.jsonl", orient="records", lines=True)
    assert measured(run, "--data", tmp_path / "raw.jsonl")["metrics"] == expected["metrics"]


@pytest.mark.parametrize("kind", ["xlsx", "json", "csv.gz", "jsonl"])
def test_every_format_and_every_spelling_of_a_label_measures_the_same(
    run: Path, other: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    expected = measured(run, "--data", tmp_path / "other.csv")
    spelled = other.assign(label=[unicodedata.normalize("NFD", label) + "\u200b" for label in other["label"]])
    path = tmp_path / unicodedata.normalize("NFD", f"평가.{kind}")
    nested = pd.DataFrame({"talk": [{"text": text} for text in spelled["text"]], "label": spelled["label"]})
    write = {
        "xlsx": lambda: spelled.to_excel(path, index=False),
        "json": lambda: path.write_text(nested.to_json(orient="records", force_ascii=False), "utf-8"),
        "csv.gz": lambda: spelled.to_csv(path, index=False),
        "jsonl": lambda: nested.to_json(path, orient="records", lines=True, force_ascii=False),
    }
    write[kind]()
    text = ["--text", "talk.text"] if kind.startswith("json") else []
    found = measured(run, "--data", tmp_path / f"평가.{kind}", *text)
    assert found["rows"] == 90
    assert {**found, "data": ""} == {**expected, "data": ""}


def test_labels_can_be_renamed(run: Path, other: pd.DataFrame, tmp_path: Path) -> None:
    expected = measured(run, "--data", tmp_path / "other.csv")
    # Numbers with a gap are floats to pandas; 1.0 is the label 1.
    numbers = other.assign(label=other["label"].map({"좋음": 2.0, "나쁨": 0.0, "보통": 1.0}))
    numbers.to_parquet(tmp_path / "numbers.parquet")
    renames = [word for name in ("0=나쁨", "1=보통", "2=좋음") for word in ("--rename", name)]
    assert measured(run, "--data", tmp_path / "numbers.parquet", *renames)["metrics"] == expected["metrics"]
    assert refused(run, "--data", tmp_path / "numbers.parquet", "--rename", "0") == (
        "--rename 0: expected OLD=NEW, for example 1=positive"
    )


def test_unknown_labels_are_named_with_their_counts(run: Path, other: pd.DataFrame, tmp_path: Path) -> None:
    other.loc[:4, "label"] = "모름"
    other.loc[5:6, "label"] = "?"
    other.to_csv(tmp_path / "other.csv", index=False)
    path = tmp_path / "other.csv"
    assert refused(run, "--data", path) == (
        f'{path}: unknown labels: "모름" (5 rows), "?" (2 rows); the model has 좋음, 나쁨, 보통; '
        "rename them with --rename OLD=NEW, or leave their rows out with --ignore-unknown"
    )
    found = measured(run, "--data", path, "--ignore-unknown")
    other[7:].to_csv(tmp_path / "rest.csv", index=False)
    assert (found["rows"], found["unknown"]) == (83, {"모름": 5, "?": 2})
    assert found["metrics"] == pytest.approx(measured(run, "--data", tmp_path / "rest.csv")["metrics"], abs=1e-6)
    assert "5 rows left out" in kexp("evaluate", run, "--data", path, "--ignore-unknown").stderr
    other.assign(label="모름").to_csv(path, index=False)
    assert '"모름" (90 rows)' in refused(run, "--data", path, "--ignore-unknown")


def test_rows_without_text_are_counted_and_not_measured(run: Path, other: pd.DataFrame, tmp_path: Path) -> None:
    expected = measured(run, "--data", tmp_path / "other.csv")
    pd.concat([other, pd.DataFrame({"text": [None, "  "], "label": "좋음"})]).to_csv(tmp_path / "more.csv", index=False)
    found = measured(run, "--data", tmp_path / "more.csv")
    assert (found["rows"], found["empty"]) == (90, 2)
    assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-6)


def test_chunks_change_nothing(run: Path, other: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = measured(run, "--data", tmp_path / "other.csv")
    monkeypatch.setattr(tables, "CHUNK_ROWS", 7)
    assert measured(run, "--data", tmp_path / "other.csv")["metrics"] == pytest.approx(expected["metrics"], abs=1e-6)


def test_several_models_are_measured_as_one(run: Path, other: pd.DataFrame, tmp_path: Path) -> None:
    second = run.parent / "seed-2"
    found = measured(run, second, "--data", tmp_path / "other.csv")
    mean = (load(run).predict(list(other["text"])) + load(second).predict(list(other["text"]))) / 2
    guesses = np.array(load(run).labels)[mean.argmax(1)]
    assert found["metrics"]["accuracy"] == pytest.approx(accuracy_score(other["label"], guesses))
    assert found["models"] == [str(run), str(second)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text\nx\n",
            "{}: no column 'label'; the columns are text; name one with --label, or, where the file has no header, all with --columns",
        ),
        (
            "label\nx\n",
            "{}: no column 'text'; the columns are label; name one with --text, or, where the file has no header, all with --columns",
        ),
        ("text,label\nx,\ny,좋음\n", "{}: 1 row has no label; fill it in or remove it"),
        ("text,label\n", "{}: it has no rows"),
        ("text,label\n,좋음\n", "{}: it has no row with text and a known label"),
    ],
)
def test_data_that_cannot_be_measured_on_is_told(run: Path, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(content, encoding="utf-8")
    assert refused(run, "--data", path) == message.format(path)


def test_data_that_is_not_there_is_told(run: Path, tmp_path: Path) -> None:
    assert refused(run, "--data", tmp_path / "no.csv") == f"{tmp_path / 'no.csv'} does not exist"
    assert refused(tmp_path, "--data", tmp_path / "no.csv").startswith(f"{tmp_path} holds no trained model")
