"""What trained models of every task answer: in tables, evaluations, exported graphs and over HTTP, always the same."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from scipy.stats import pearsonr
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    roc_auc_score,
)
from support import kexp
from task_runs import SPECS, TaskRun, train
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import kexp as api
from kexp.errors import KexpError
from kexp.serve.app import make_app
from kexp.serve.batcher import Batcher
from kexp.trained import TrainedModel, load

ROUNDING = 1e-5
NAMES = {"multi-label": ["연기", "음악", "화면"], "regression": ["score"], "ordinal": ["1", "2", "3", "4", "5"]}
KIND = {
    "multi-label": "multi-label",
    "fixed thresholds": "multi-label",
    "regression": "regression",
    "bounded regression": "regression",
    "ordinal": "ordinal",
    "cumulative": "ordinal",
}


@pytest.fixture(scope="module", params=SPECS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(name: str, tmp_path_factory: pytest.TempPathFactory) -> TaskRun:
    return train(name, tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def model(trained: TaskRun) -> TrainedModel:
    return load(trained.run)


@pytest.fixture(scope="module")
def expected(name: str, trained: TaskRun) -> np.ndarray:
    """Predictions for the other texts by transformers and NumPy alone."""
    folder = trained.run / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    module = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [unicodedata.normalize("NFC", text).strip() for text in trained.other["text"]]
    rows = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    return meaning(name, module(**rows).logits.detach().double().numpy())


def meaning(name: str, logits: np.ndarray) -> np.ndarray:
    if name == "regression":
        return logits
    shares = 1 / (1 + np.exp(-logits))
    if name == "bounded regression":
        return 0.5 + 5 * shares
    if KIND[name] == "multi-label":
        return shares
    rows = []
    for row in shares:
        above = [1.0, *(np.cumprod(row) if name == "ordinal" else sorted(row, reverse=True)), 0.0]
        rows.append([one - other for one, other in itertools.pairwise(above)])
    return np.array(rows)


def decided(name: str, trained: TaskRun, predictions: np.ndarray) -> list[Any]:
    """What predictions decide for, by a loop over rows and the file of the model."""
    if KIND[name] == "regression":
        return predictions[:, 0].tolist()
    if KIND[name] == "ordinal":
        return [NAMES["ordinal"][int(np.argmax(row))] for row in predictions]
    path = trained.run / "model" / "decisions.json"
    stated = (
        json.loads(path.read_text("utf-8"))["thresholds"] if path.is_file() else dict.fromkeys(NAMES[KIND[name]], 0.4)
    )
    return [
        [label for label, share in zip(NAMES["multi-label"], row, strict=True) if share >= stated[label]]
        for row in predictions
    ]


def spelled(name: str, value: Any) -> str:
    return ("|".join(sorted(value)) or "(none)") if KIND[name] == "multi-label" else str(value)


def measured(*arguments: Any) -> dict[str, Any]:
    result = kexp("evaluate", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: Any) -> str:
    result = kexp(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.strip().splitlines()[-1]


# --- the folder -------------------------------------------------------------------------------------------------------


def test_folder_says_task_and_names(name: str, trained: TaskRun) -> None:
    about = json.loads((trained.run / "model" / "task.json").read_text("utf-8"))
    assert about["task"]["use"] == KIND[name]
    assert about["names"] == NAMES[KIND[name]]
    assert about["package"].startswith("kexp ")
    sums = json.loads((trained.run / "model" / "checksums.json").read_text("utf-8"))
    assert "task.json" in sums
    assert ("decisions.json" in sums) == (name == "multi-label")


def test_folder_alone_knows_its_task(name: str, trained: TaskRun, model: TrainedModel, tmp_path: Path) -> None:
    shutil.copytree(trained.run / "model", tmp_path / "alone")
    alone = load(tmp_path / "alone")
    texts = list(trained.other["text"][:9])
    assert list(alone.labels) == NAMES[KIND[name]]
    assert alone.predict(texts) == pytest.approx(model.predict(texts), abs=1e-6)
    assert alone.classify(texts) == model.classify(texts)
    (tmp_path / "data.csv").write_text(trained.other.to_csv(index=False), "utf-8")
    found = measured(tmp_path / "alone", "--data", tmp_path / "data.csv", "--text", "text", "--label", "label")
    assert set(found["metrics"]) == set(measured(trained.run, "--data", tmp_path / "data.csv")["metrics"])


# --- one answer everywhere --------------------------------------------------------------------------------------------


def by_graph(folder: Path, texts: list[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """Return predictions of an exported graph, and its metadata, by onnxruntime and tokenizers alone."""
    about = json.loads((folder / "kexp.json").read_text("utf-8"))
    assert about["output"] == "predictions"
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(about["max_length"])
    tokenizer.enable_padding(pad_id=about["pad_id"])
    rows = tokenizer.encode_batch(texts)
    known = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    given = {name: np.array([getattr(row, known[name]) for row in rows], np.int64) for name in about["inputs"]}
    kept = session.get_modelmeta().custom_metadata_map
    return session.run(["predictions"], given)[0], {key: json.loads(kept[key]) for key in kept}


def test_every_way_decides_the_same(
    name: str, trained: TaskRun, model: TrainedModel, expected: np.ndarray, tmp_path: Path
) -> None:
    texts, labels = list(trained.other["text"]), NAMES[KIND[name]]
    values = decided(name, trained, expected)
    exact = KIND[name] != "regression"

    def same(found: list[Any]) -> bool:
        return found == values if exact else found == pytest.approx(values, abs=1e-4)

    assert model.predict(texts) == pytest.approx(expected, abs=ROUNDING)
    assert same(model.classify(texts))
    # kexp predict, in every format.
    trained.other.to_csv(tmp_path / "in.csv", index=False)
    for kind, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        result = kexp("predict", trained.run, "--input", tmp_path / "in.csv", "--output", tmp_path / f"out.{kind}")
        assert result.exit_code == 0, result.output
        frame = read(tmp_path / f"out.{kind}")
        told = [spelled(name, value) for value in values]
        assert list(map(str, frame["predicted"])) == told if exact else same(list(frame["predicted"]))
        if exact:
            shares = np.stack([frame[f"probability:{label}"] for label in labels], 1)
            assert shares == pytest.approx(expected, abs=ROUNDING)
    others = [column for column in frame.columns if column not in ("text", "label", "predicted")]
    sure = ["confidence"] if KIND[name] == "ordinal" else []
    assert others == (sure + [f"probability:{label}" for label in labels] if exact else [])
    # In Python.
    frame = api.predict(model, texts)
    assert list(frame["predicted"]) == told if exact else same(list(frame["predicted"]))
    # Over HTTP.
    with TestClient(make_app(model, "x", Batcher(model), ["testserver"])) as client:
        answers = client.post("/predict", json={"texts": texts}).json()["predictions"]
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Prediction"]["properties"]
    assert same([one["label"] for one in answers])
    keys = {"multi-label": {"label", "probabilities"}, "regression": {"label"}}
    assert set(answers[0]) == set(schema) == keys.get(KIND[name], {"label", "confidence", "probabilities"})
    assert schema["label"]["type"] == {"multi-label": "array", "regression": "number"}.get(KIND[name], "string")
    if exact:
        shares = np.array([[one["probabilities"][label] for label in labels] for one in answers])
        assert shares == pytest.approx(expected, abs=ROUNDING)
    # kexp evaluate on the answers as truths is right everywhere.
    trained.other.assign(label=[spelled(name, value) for value in values]).to_csv(tmp_path / "truth.csv", index=False)
    found = measured(trained.run, "--data", tmp_path / "truth.csv")["metrics"]
    right = {"multi-label": {"subset_accuracy": 1, "hamming_loss": 0}, "ordinal": {"accuracy": 1, "rank_mae": 0}}
    for metric, value in right.get(KIND[name], {"mae": 0, "rmse": 0}).items():
        assert found[metric] == pytest.approx(value, abs=1e-4)
    # The graph.
    result = kexp("export", trained.run, "--output", tmp_path / "onnx")
    assert result.exit_code == 0, result.output
    onnx.checker.check_model(str(tmp_path / "onnx" / "model.onnx"))
    graph, about = by_graph(tmp_path / "onnx", texts)
    assert graph == pytest.approx(expected, abs=1e-4)
    assert about["labels"] == labels
    if KIND[name] == "multi-label":
        limits = [about["decisions"]["thresholds"][label] for label in labels]
        chosen = [[labels[place] for place in np.flatnonzero(row >= limits)] for row in graph.astype(float)]
        assert same(chosen)
    elif exact:
        assert same([labels[int(row.argmax())] for row in graph])
    printed = readme_code(tmp_path / "onnx")
    assert printed


def readme_code(folder: Path) -> str:
    """Run the code of a README in its folder and return what it prints."""
    text = (folder / "README.md").read_text("utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_evaluation_is_that_of_scikit_learn(name: str, trained: TaskRun, expected: np.ndarray, tmp_path: Path) -> None:
    trained.other.to_csv(tmp_path / "other.csv", index=False)
    found = measured(trained.run, "--data", tmp_path / "other.csv")
    values, truth = decided(name, trained, expected), list(trained.other["label"])
    metrics = found["metrics"]
    if KIND[name] == "regression":
        true = np.array(truth, float)
        assert metrics["pearson"] == pytest.approx(pearsonr(true, values)[0], abs=1e-5)
        assert metrics["mae"] == pytest.approx(mean_absolute_error(true, values), abs=1e-5)
        assert found["scores"]["mean_error"] == pytest.approx(np.mean(values - true), abs=1e-5)
    elif KIND[name] == "ordinal":
        kappa = cohen_kappa_score(list(map(int, truth)), list(map(int, values)), weights="quadratic")
        assert metrics["quadratic_kappa"] == pytest.approx(kappa)
        assert found["confusion_matrix"] == confusion_matrix(truth, values, labels=NAMES["ordinal"]).tolist()
    else:
        labels = NAMES["multi-label"]
        true = np.array([[label in row.split("|") for label in labels] for row in truth])
        given = np.array([[label in row for label in labels] for row in values])
        assert metrics["micro_f1"] == pytest.approx(f1_score(true, given, average="micro"))
        assert metrics["macro_f1"] == pytest.approx(f1_score(true, given, average="macro"))
        for number, row in enumerate(found["per_label"]):
            assert row["f1"] == pytest.approx(f1_score(true[:, number], given[:, number]))
            assert row["auc"] == pytest.approx(roc_auc_score(true[:, number], expected[:, number]), abs=1e-5)
            one = average_precision_score(true[:, number], expected[:, number])
            assert row["average_precision"] == pytest.approx(one, abs=1e-5)
    shown = kexp("evaluate", trained.run, "--data", tmp_path / "other.csv").stdout
    assert len(shown.split("\n\n")) == {"ordinal": 3}.get(KIND[name], 2)


def test_test_rows_have_the_metrics_of_the_run(name: str, trained: TaskRun, tmp_path: Path) -> None:
    frame = pd.read_parquet(trained.run / "predictions.parquet")
    frame[frame["split"] == "test"].to_parquet(tmp_path / "test.parquet")
    recorded = json.loads((trained.run / "result.json").read_text("utf-8"))
    found = measured(trained.run, "--data", tmp_path / "test.parquet")
    assert found["metrics"] == pytest.approx(recorded["metrics"]["test"], abs=1e-5)
    assert found.get("decisions") == recorded.get("decisions")


# --- options of kexp predict ------------------------------------------------------------------------------------------


def test_top_k_ranks_labels_where_there_are_probabilities(
    name: str, trained: TaskRun, expected: np.ndarray, model: TrainedModel
) -> None:
    texts = list(trained.other["text"][:8])
    if KIND[name] == "regression":
        message = refused("predict", trained.run, *texts, "--top-k", "1")
        assert "--top-k 1: " in message
        assert "no probabilities" in message
        return
    rows = [
        json.loads(line) for line in kexp("predict", trained.run, *texts, "--top-k", "2", "--json").stdout.splitlines()
    ]
    values = decided(name, trained, expected)
    for row, shares, value in zip(rows, expected, values, strict=False):
        first, second = np.argsort(-shares, kind="stable")[:2]
        assert row["predicted"] == spelled(name, value)
        if KIND[name] == "ordinal":
            assert row["confidence"] == pytest.approx(shares[first], abs=ROUNDING)
            assert (row["predicted:2"], row["confidence:2"]) == (
                model.labels[second],
                pytest.approx(shares[second], abs=ROUNDING),
            )
            assert len(row) == 5
        else:
            assert [row["label:1"], row["label:2"]] == [model.labels[first], model.labels[second]]
            assert row["probability:1"] == pytest.approx(shares[first], abs=ROUNDING)
            assert len(row) == 6


def test_abstaining_needs_a_probability_of_the_decision(name: str, trained: TaskRun, model: TrainedModel) -> None:
    if KIND[name] == "ordinal":
        texts = list(trained.other["text"])
        sure = model.predict(texts).max(1)
        assert [value is None for value in model.classify(texts, abstain=0.9)] == (sure < 0.9).tolist()
        return
    message = refused("predict", trained.run, "최고", "--abstain", "0.9")
    assert message.startswith("kexp: --abstain 0.9: ") or "--abstain 0.9: " in message
    assert f'task "{KIND[name]}"' in message
    with pytest.raises(KexpError, match="no probability of its own"):
        model.classify(["최고"], abstain=0.9)
    with pytest.raises(KexpError, match="no probability of its own"):
        api.predict(model, ["최고"], abstain=0.9)


def test_rows_without_text_stay_with_empty_cells(
    name: str, trained: TaskRun, model: TrainedModel, tmp_path: Path
) -> None:
    pd.DataFrame({"text": ["최고", "", "영상"]}).to_csv(tmp_path / "in.csv", index=False)
    result = kexp("predict", trained.run, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.jsonl")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert set(rows[1].values()) == {"", None} or rows[1]["predicted"] is None
    assert rows[0]["predicted"] is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = api.predict(model, ["최고", "", "영상"])
    assert frame["predicted"].isna().tolist() == [False, True, False]


# --- Hugging Face -----------------------------------------------------------------------------------------------------


def test_published_model_answers_in_transformers(
    name: str, trained: TaskRun, expected: np.ndarray, tmp_path: Path
) -> None:
    result = kexp("publish", trained.run, "--to", tmp_path / "published", "--licence", "mit")
    assert result.exit_code == 0, result.output
    published = load(tmp_path / "published")
    texts = list(trained.other["text"][:10])
    assert published.predict(texts) == pytest.approx(expected[:10], abs=ROUNDING)
    values = decided(name, trained, expected[:10])
    found = published.classify(texts)
    assert found == (pytest.approx(values, abs=1e-4) if KIND[name] == "regression" else values)
    classify = pipeline("text-classification", model=str(tmp_path / "published"), device="cpu")
    answers = [{one["label"]: one["score"] for one in row} for row in classify(texts, truncation=True, top_k=None)]
    card = (tmp_path / "published" / "README.md").read_text("utf-8")
    if name in ("multi-label", "fixed thresholds", "regression"):
        found = [[row[label] for label in NAMES[KIND[name]]] for row in answers]
        assert np.array(found) == pytest.approx(expected[:10], abs=1e-4)
        assert "not yet the" not in card
    else:
        assert "not yet the" in card
    assert f"Its task is {KIND[name]}" in card


PLAIN = [
    ({"problem_type": "multi_label_classification"}, "multi-label", None),
    ({"problem_type": "regression"}, "", "predicts 3 numbers by a regression; expected a model of one number"),
    ({"problem_type": None}, "single-label", None),
]


@pytest.mark.parametrize(("change", "task", "error"), PLAIN)
def test_plain_folder_is_of_the_task_of_its_problem_type(
    tmp_path: Path, plain: Path, change: dict[str, Any], task: str, error: str | None
) -> None:
    shutil.copytree(plain, tmp_path / "plain")
    edit(tmp_path / "plain" / "config.json", change)
    if error is not None:
        with pytest.raises(KexpError, match=error):
            load(tmp_path / "plain")
        return
    model = load(tmp_path / "plain")
    assert model.members[0].provenance.task.name == task
    assert any("problem_type" in note for note in model.notes) == (task != "single-label")
    shares = model.predict(["최고 영상"])[0]
    if task == "multi-label":
        assert model.classify(["최고 영상"])[0] == [
            label for label, share in sorted(zip(model.labels, shares, strict=True)) if share >= 0.5
        ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three outputs that kexp has not written."""
    folder = tmp_path_factory.mktemp("plain")
    found = train("multi-label", folder)
    shutil.copytree(found.run / "model", folder / "plain")
    for name in ("task.json", "decisions.json", "checksums.json"):
        (folder / "plain" / name).unlink()
    return folder / "plain"


def edit(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}, ensure_ascii=False), "utf-8")


def test_plain_folder_of_one_output_has_to_say_what_it_is(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = train("regression", tmp_path)
    folder = tmp_path / "plain"
    shutil.copytree(found.run / "model", folder)
    (folder / "task.json").unlink()
    (folder / "checksums.json").unlink()
    model = load(folder)
    assert model.members[0].provenance.task.name == "regression"
    assert model.classify(["최고"]) == model.predict(["최고"])[:, 0].tolist()
    edit(folder / "config.json", {"problem_type": None})
    with pytest.raises(KexpError, match="one label and no problem_type, which transformers trains as a regression"):
        load(folder)


# --- several models, and damaged ones ---------------------------------------------------------------------------------


def test_mean_decides_by_the_fixed_threshold_and_says_so(tmp_path: Path) -> None:
    found = train("multi-label", tmp_path, seeds=2)
    model = load(found.folder)
    texts = list(found.other["text"])
    shares = np.mean([load(run).predict(texts) for run in sorted((found.folder / "default").iterdir())], 0)
    assert model.predict(texts) == pytest.approx(shares, abs=1e-6)
    assert model.classify(texts) == [
        [label for label, share in zip(model.labels, row, strict=True) if share >= 0.5] for row in shares
    ]
    assert any("is not that of the mean" in note for note in model.notes)


DAMAGED = [
    ("task.json", "not json", "cannot be read"),
    ("task.json", '{"task": "multi-label", "names": ["a"]}', "expected task to be an object with use"),
    ("task.json", '{"task": {"use": "multi-label"}, "names": []}', "expected names to be a list of texts"),
    ("task.json", '{"task": {"use": "multi-label"}, "names": ["a", "a", "b"]}', "two names are the same"),
    ("task.json", '{"task": {"use": "multi-label"}, "names": ["a", "b", "c"]}', "config.json has the outputs"),
    ("task.json", '{"task": {"use": "ordinal"}, "names": ["연기", "음악", "화면"]}', "config.json has the outputs"),
    (
        "task.json",
        '{"task": {"use": "multi-label", "threshold": 7}, "names": ["연기", "음악", "화면"]}',
        "number less than 1, found 7",
    ),
    (
        "task.json",
        '{"task": {"use": "ranking"}, "names": ["연기", "음악", "화면"], "package": "kexp-ranking 1.2"}',
        'task "ranking" is missing; the run had it from kexp-ranking 1.2; install kexp-ranking 1.2',
    ),
    ("decisions.json", '{"thresholds": {"연기": 0.5}}', "expected a threshold for each of the labels"),
    ("decisions.json", '{"thresholds": {"연기": 0.5, "음악": "x", "화면": 0.5}}', "to be a number from 0 to 1"),
    ("decisions.json", "[1]", "cannot be read"),
    ("calibration.json", '{"temperature": 2.0}', "are not calibrated by a temperature"),
]


@pytest.mark.parametrize(("file", "text", "message"), DAMAGED)
def test_folder_that_says_something_else_is_refused(
    plain: Path, tmp_path: Path, file: str, text: str, message: str
) -> None:
    shutil.copytree(plain, tmp_path / "model")
    names = '{"task": {"use": "multi-label"}, "names": ["연기", "음악", "화면"]}'
    (tmp_path / "model" / "task.json").write_text(names, "utf-8")
    (tmp_path / "model" / file).write_text(text, "utf-8")
    with pytest.raises(KexpError) as raised:
        load(tmp_path / "model")
    assert message in str(raised.value)


def test_thresholds_belong_to_names_in_whatever_order_the_file_has_them(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "model")
    names = '{"task": {"use": "multi-label"}, "names": ["연기", "음악", "화면"]}'
    (tmp_path / "model" / "task.json").write_text(names, "utf-8")
    limits = {"화면": 0.99999, "연기": 0.0, "음악": 0.99999}
    (tmp_path / "model" / "decisions.json").write_text(json.dumps({"thresholds": limits}, ensure_ascii=False), "utf-8")
    assert load(tmp_path / "model").classify(["정말"]) == [["연기"]]


def test_models_of_different_tasks_are_not_averaged(plain: Path, tmp_path: Path) -> None:
    for number, threshold in enumerate((0.4, 0.6)):
        shutil.copytree(plain, tmp_path / f"model-{number}")
        about = {"task": {"use": "multi-label", "threshold": threshold}, "names": ["연기", "음악", "화면"]}
        (tmp_path / f"model-{number}" / "task.json").write_text(json.dumps(about, ensure_ascii=False), "utf-8")
    with pytest.raises(KexpError, match="different tasks cannot be averaged"):
        load(tmp_path / "model-0", tmp_path / "model-1")
