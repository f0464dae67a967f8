"""``evaluation.calibrate``: the temperature of a run, from its fit to every place where the model is used."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import kexp, tiny_spec
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kexp.errors import KexpError
from kexp.evaluate.calibration import expected_calibration_error
from kexp.evaluate.predictions import Predictions
from kexp.experiment.calibrate import Calibration
from kexp.inference import export
from kexp.inference.model_folders import find
from kexp.model_files import read_temperature
from kexp.trained import load

SPEC = tiny_spec(
    "", '[split]\nvalidation = 0.3\n[evaluation]\nmetrics = ["accuracy", "cross_entropy", {{use = "ece", bins = 10}}]',
    epochs=8, monitor='"accuracy"',
)  # fmt: skip
MODEL = "default/seed-1"
LABELS = ["나쁨", "보통", "좋음"]
PROBABILITIES = [f"probability:{label}" for label in LABELS]


@pytest.fixture(scope="module")
def noisy(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews of which a third has a random label, so that no model gets all right."""
    frame = pd.read_csv(reviews)
    generator = np.random.default_rng(0)
    rows = generator.random(len(frame)) < 0.35
    frame.loc[rows, "label"] = generator.choice(LABELS, rows.sum())
    path = tmp_path_factory.mktemp("noisy") / "noisy.csv"
    frame.to_csv(path, index=False)
    return path


def trained(spec: Path, runs: Path, *settings: str) -> Path:
    options = [part for setting in settings for part in ("--set", setting)]
    done = kexp("run", spec, "--runs-dir", runs, "--json", "--quiet", *options)
    assert done.exit_code == 0, done.stderr
    return Path(json.loads(done.stdout)["folder"])


@pytest.fixture(scope="module")
def runs(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run without and with calibration."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "spec.toml").write_text(SPEC.format(data=noisy), "utf-8")
    on = ("evaluation.calibrate=true", "training.keep=2")
    return {
        "off": trained(folder / "spec.toml", folder / "runs", "training.keep=2"),
        "on": trained(folder / "spec.toml", folder / "runs", *on),
    }


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MODEL / "result.json").read_text("utf-8"))


def rows(folder: Path, split: str) -> pd.DataFrame:
    frame = pd.read_parquet(folder / MODEL / "predictions.parquet")
    return frame[frame["split"] == split].reset_index(drop=True)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def plain_logits(model: Path, texts: list[str]) -> np.ndarray:
    module, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(model).eval(),
        AutoTokenizer.from_pretrained(model),
    )
    with torch.inference_mode():
        return np.concatenate([
            module(**tokenizer(text, truncation=True, return_tensors="pt")).logits.double().numpy() for text in texts
        ])  # fmt: skip


def measured(frame: pd.DataFrame) -> dict[str, float]:
    """Measure predictions as scikit-learn and the paper do."""
    true = np.array([row[f"probability:{row['label']}"] for _, row in frame.iterrows()])
    correct = (frame["label"] == frame["predicted"]).to_numpy()
    error = expected_calibration_error(frame["confidence"].to_numpy(), correct, 10)
    return {"ece": error, "cross_entropy": float(-np.log(true).mean())}


def test_the_temperature_is_the_best_of_a_grid_on_validation(runs: dict[str, Path]) -> None:
    found = result(runs["on"])["calibration"]
    before = rows(runs["off"], "validation")
    logits = np.log(before[PROBABILITIES].to_numpy())
    true = before["label"].map(LABELS.index).to_numpy()
    grid = np.exp(np.linspace(math.log(0.2), math.log(20), 4001))
    losses = [-np.log(softmax(logits / value)[np.arange(len(true)), true]).mean() for value in grid]
    assert found["temperature"] == pytest.approx(grid[np.argmin(losses)], rel=2e-3)
    assert abs(found["temperature"] - 1) > 0.02
    assert found["low"] < found["temperature"] < found["high"]
    assert found["after"]["validation"]["cross_entropy"] == pytest.approx(min(losses), abs=1e-6)
    assert (found["fitted_on"], found["rows"], found["method"]) == ("validation", len(true), "temperature")


def test_before_and_after_are_those_of_the_runs_without_and_with_it(runs: dict[str, Path]) -> None:
    off, on = result(runs["off"]), result(runs["on"])
    for split in ("validation", "test"):
        assert on["calibration"]["before"][split] == pytest.approx(measured(rows(runs["off"], split)))
        assert on["calibration"]["after"][split] == pytest.approx(measured(rows(runs["on"], split)))
        for name in ("ece", "cross_entropy"):
            assert off["metrics"][split][name] == pytest.approx(on["calibration"]["before"][split][name])
            assert on["metrics"][split][name] == pytest.approx(on["calibration"]["after"][split][name])
    before, after = (on["calibration"][when]["validation"]["cross_entropy"] for when in ("before", "after"))
    assert after < before


def test_labels_accuracy_and_weights_stay(runs: dict[str, Path]) -> None:
    off, on = result(runs["off"]), result(runs["on"])
    for split in ("validation", "test"):
        assert off["metrics"][split]["accuracy"] == on["metrics"][split]["accuracy"]
        assert off["confusion_matrix"][split] == on["confusion_matrix"][split]
        assert list(rows(runs["off"], split)["predicted"]) == list(rows(runs["on"], split)["predicted"])
    assert "calibration" not in off
    assert not (runs["off"] / MODEL / "model" / "calibration.json").exists()
    weights = [(runs[name] / MODEL / "model" / "model.safetensors").read_bytes() for name in ("off", "on")]
    assert weights[0] == weights[1]


def test_the_folder_stays_a_hugging_face_folder_whose_logits_are_not_divided(runs: dict[str, Path]) -> None:
    folder = runs["on"] / MODEL
    temperature = result(runs["on"])["calibration"]["temperature"]
    texts = list(rows(runs["on"], "test")["text"][:8])
    logits = plain_logits(folder / "model", texts)
    model = load(folder)
    assert model.predict(texts) == pytest.approx(softmax(logits / temperature), abs=1e-6)
    assert softmax(logits) == pytest.approx(load(runs["off"] / MODEL).predict(texts), abs=1e-6)
    recorded = rows(runs["on"], "test")[PROBABILITIES].to_numpy()[:8]
    assert model.predict(texts) == pytest.approx(recorded, abs=1e-6)
    assert model.notes == [f"{folder}: its probabilities are calibrated, with the temperature {temperature:.4g}"]


def test_predict_and_evaluate_use_it(runs: dict[str, Path], tmp_path: Path) -> None:
    frame = rows(runs["on"], "test")
    frame[["text", "label"]].to_csv(tmp_path / "test.csv", index=False)
    found = json.loads(kexp("evaluate", runs["on"], "--data", tmp_path / "test.csv", "--json").stdout)
    assert found["metrics"] == pytest.approx(result(runs["on"])["metrics"]["test"], abs=1e-6)
    printed = json.loads(kexp("predict", runs["on"], frame["text"][0], "--json").stdout)
    assert printed["confidence"] == pytest.approx(frame["confidence"][0], abs=1e-6)


def test_runs_show_has_before_and_after(runs: dict[str, Path]) -> None:
    found = result(runs["on"])["calibration"]
    shown = kexp("runs", "show", runs["on"])
    lines = shown.stdout.splitlines()
    head = lines.index("run\ttemperature\tsplit\tece before\tece after\tcross_entropy before\tcross_entropy after")
    for line, split in zip(lines[head + 1 :], ("validation", "test"), strict=False):
        numbers = [
            f"{found[when][split][name]:.4f}" for name in ("ece", "cross_entropy") for when in ("before", "after")
        ]
        assert line.split("\t") == ["default seed 1", f"{found['temperature']:.4g}", split, *numbers]
    (run,) = json.loads(kexp("runs", "show", runs["on"], "--json").stdout)["runs"]
    assert run["calibration"] == found
    assert "temperature" not in kexp("runs", "show", runs["off"]).stdout
    report = (runs["on"] / "report.html").read_text("utf-8")
    assert "Reliability before calibration on test" in report
    assert "unknown tokens" in report


def test_every_kept_model_has_its_own_temperature(runs: dict[str, Path]) -> None:
    folder = runs["on"] / MODEL
    validation = rows(runs["on"], "validation")
    logits = plain_logits(folder / "model-2", list(validation["text"]))
    true = validation["label"].map(LABELS.index).to_numpy()
    fitted = Calibration.fitted(Predictions(true, softmax(logits))).fit.value
    stored = json.loads((folder / "model-2" / "calibration.json").read_text("utf-8"))
    assert stored["temperature"] == pytest.approx(fitted, rel=1e-3)
    texts = list(validation["text"][:5])
    averaged = load(folder / "model", folder / "model-2").predict(texts)
    single = [load(folder / name).predict(texts) for name in ("model", "model-2")]
    assert averaged == pytest.approx(sum(single) / 2)


def test_the_mean_of_calibrated_models_is_not_called_calibrated(runs: dict[str, Path]) -> None:
    folder = runs["on"] / MODEL
    both = sorted(read_temperature(folder / name) or 1 for name in ("model", "model-2"))
    mean, note = load(folder / "model", folder / "model-2").notes
    assert mean.startswith("the mean of the probabilities of 2 models: ")
    assert note == (
        f"all 2 models are calibrated, with temperatures from {both[0]:.4g} to {both[1]:.4g}; the mean of all, which is "
        "predicted, is not calibrated itself"
    )
    _, note = load(folder, runs["off"] / MODEL).notes
    assert note.startswith("1 of 2 models are calibrated, with temperatures from ")


def test_a_changed_or_lost_temperature_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(runs["on"] / MODEL / "model", tmp_path / "model")
    file = tmp_path / "model" / "calibration.json"
    whole = file.read_text("utf-8")
    file.write_text(whole.replace('"temperature": ', '"temperature": 1'), "utf-8")
    with pytest.raises(KexpError, match=r"calibration\.json is not what the model was saved with"):
        load(tmp_path / "model")
    file.unlink()
    with pytest.raises(KexpError, match=r"lacks calibration\.json"):
        load(tmp_path / "model")
    (tmp_path / "model" / "checksums.json").unlink()
    assert load(tmp_path / "model").members[0].temperature == 1
    for wrong in ("0", "-1", "true", '"2"', "NaN", "Infinity", "null", "1" + "0" * 400):
        file.write_text(f'{{"temperature": {wrong}}}', "utf-8")
        with pytest.raises(KexpError, match=r"calibration\.json: expected temperature to be a number above 0"):
            load(tmp_path / "model")
    file.write_text("{", "utf-8")
    with pytest.raises(KexpError, match=r"calibration\.json cannot be read"):
        load(tmp_path / "model")


def test_an_export_divides_its_logits(runs: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    place = find(runs["on"] / MODEL)
    export.export(place, tmp_path / "onnx", quantize=None, force=False, progress=lambda line: None)
    about = json.loads((tmp_path / "onnx" / "kexp.json").read_text("utf-8"))
    temperature = result(runs["on"])["calibration"]["temperature"]
    assert about["temperature"] == temperature
    assert about["check"]["largest_difference"] < 1e-5
    assert f"divides its logits by the temperature {temperature:.6g}" in (tmp_path / "onnx" / "README.md").read_text()
    session = export.onnx.Session(tmp_path / "onnx" / "model.onnx")
    tokenizer = AutoTokenizer.from_pretrained(place.model)
    text = rows(runs["on"], "test")["text"][0]
    read = tokenizer(text, return_tensors="np")
    inputs = {name: read[name].astype(np.int64) for name in about["inputs"]}
    logits = plain_logits(place.model, [text])
    assert softmax(session.run(inputs)["logits"]) == pytest.approx(softmax(logits / temperature), abs=1e-5)


def test_equal_specs_give_equal_temperatures(runs: dict[str, Path], noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC.format(data=noisy), "utf-8")
    again = trained(tmp_path / "spec.toml", tmp_path / "runs", 'evaluation.calibrate="temperature"', "training.keep=2")
    for name in ("predictions.parquet", "model/calibration.json", "model-2/calibration.json"):
        assert (again / MODEL / name).read_bytes() == (runs["on"] / MODEL / name).read_bytes()


def test_a_model_without_mistakes_on_validation_says_that_nothing_was_calibrated(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(
        tiny_spec(tables="[evaluation]\ncalibrate = true", epochs=8).format(data=reviews), "utf-8"
    )
    done = kexp("run", tmp_path / "spec.toml", "--runs-dir", tmp_path / "runs")
    assert done.exit_code == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    found = result(folder)["calibration"]
    assert result(folder)["metrics"]["validation"]["accuracy"] == 1
    assert found["temperature"] == 1
    assert found["before"] == found["after"]
    assert "rows are predicted correctly" in found["remark"]
    assert "evaluation.calibrate: all " in " ".join(done.stderr.split())
    assert load(folder).notes == []


def test_other_words_and_a_missing_validation_split_are_refused(noisy: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.format(data=noisy), "utf-8")
    refused = kexp("check", spec, "--set", 'evaluation.calibrate="isotonic"')
    assert refused.exit_code == 2
    assert "evaluation.calibrate" in refused.stderr
    refused = kexp("check", spec, "--set", "evaluation.calibrate=true", "--set", "split.validation=0")
    assert refused.exit_code == 2
    assert "split.validation" in refused.stderr


def test_a_search_compares_trials_as_they_are_and_calibrates_the_final_run(noisy: Path, tmp_path: Path) -> None:
    search = '[search]\ntrials = 2\n[search.space]\n"training.learning_rate" = {{choices = [2e-3, 5e-3]}}\n'
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.replace("epochs = 8", "epochs = 2").format(data=noisy) + search.format(), "utf-8")
    settings = ("evaluation.calibrate=true", "training.monitor=cross_entropy")
    options = [part for setting in settings for part in ("--set", setting)]
    done = kexp("tune", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet", *options)
    assert done.exit_code == 0, done.stderr
    study = json.loads(done.stdout)
    trials = [json.loads(path.read_text()) for path in Path(study["folder"]).glob("trials/*/seed-1/result.json")]
    assert len(trials) == 2
    assert all("calibration" not in trial for trial in trials)
    best = json.loads(Path(study["final"], "best", "seed-1", "result.json").read_text())
    assert best["calibration"]["before"]["validation"]["cross_entropy"] == pytest.approx(study["best_value"])
    assert best["metrics"]["validation"]["cross_entropy"] < study["best_value"]
    assert "the probabilities of its model are calibrated, those of a trial are not" in study["remarks"][-1]
