"""Whole experiments through the command line, on small real models."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from support import kexp, tiny_spec
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kexp import __version__ as version
from kexp.experiment import train_and_test as one_run
from kexp.experiment.assemble import AssembledRun

Write = Callable[..., Path]

SPEC = tiny_spec(
    "seeds = [1, 2]",
    '[cleaning]\nmax_characters = 40\n[variants.plain]\n[variants.focal]\nobjective.use = "focal"',
)


@pytest.fixture(scope="module")
def experiment(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run two variants with two seeds once for all tests that read the folder."""
    folder = tmp_path_factory.mktemp("experiment")
    spec = folder / "reviews.toml"
    spec.write_text(SPEC.format(data=reviews), encoding="utf-8")
    result = kexp("run", spec, "--runs-dir", folder / "runs", "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_json_is_one_object_and_progress_goes_to_standard_error(experiment: dict[str, Any]) -> None:
    assert experiment["status"] == "done"
    assert list(experiment["variants"]) == ["plain", "focal"]
    for variant in experiment["variants"].values():
        scores = variant["metrics"]["test"]["accuracy"]
        assert scores["n"] == 2
        assert scores["mean"] == pytest.approx(np.mean(scores["values"]))
        assert scores["sd"] == pytest.approx(np.std(scores["values"], ddof=1))
        assert scores["mean"] > variant["baselines"]["majority"]["test"]["accuracy"] + 0.3
        assert scores["over"] == "2 seeds"
    stated = [test for test in experiment["tests"] if test["stated"]]
    assert [(test["a"], test["b"], test["n"], test["test"]) for test in stated] == [("plain", "focal", 2, "crossed")]


def test_folder_holds_every_promised_file(experiment: dict[str, Any]) -> None:
    folder = Path(experiment["folder"])
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", folder.name)
    assert folder.parent.name == "reviews"
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "spec.toml", "environment.json", "rows.npz", "summary.json", "report.html", "plain", "focal",
    }  # fmt: skip
    for variant in ("plain", "focal"):
        for seed in (1, 2):
            run = folder / variant / f"seed-{seed}"
            assert {path.name for path in run.iterdir()} == {
                "result.json", "metrics.jsonl", "predictions.parquet", "log.txt", "model",
            }  # fmt: skip
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["plugins"] == {"kexp": environment["packages"]["kexp"]}


def test_result_holds_what_is_promised(experiment: dict[str, Any]) -> None:
    result = json.loads((Path(experiment["folder"]) / "plain" / "seed-1" / "result.json").read_text())
    promised = {
        "status", "variant", "seed", "metrics", "best_epoch", "examples_per_second", "tokens_per_second",
        "train_seconds", "peak_memory_mib", "device", "precision",
    }  # fmt: skip
    assert promised <= set(result)
    assert (result["precision"], result["tf32"]) == ("fp32", False)
    assert set(result["metrics"]) == {"validation", "test"}
    assert result["best_epoch"] in (1.0, 2.0, 3.0)
    assert result["tokens_per_second"] > result["examples_per_second"] > 0
    assert set(result["time_shares"]) == {"data", "steps", "evaluation", "writing"}
    assert sum(result["time_shares"].values()) == pytest.approx(1)


def test_speed_in_events_is_speed_in_the_result(experiment: dict[str, Any]) -> None:
    run = Path(experiment["folder"]) / "plain" / "seed-1"
    result = json.loads((run / "result.json").read_text())
    events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    steps = [(event["step"], event["examples_per_second"]) for event in events if event["event"] == "step"]
    # 192 rows of train are twelve steps of sixteen.
    assert result["examples_per_second"] * result["train_seconds"] == pytest.approx(3 * 192)
    lasts = [0, *(step for step, _ in steps)]
    seconds = sum(16 * (step - last) / speed for last, (step, speed) in zip(lasts, steps, strict=False))
    assert seconds == pytest.approx(result["train_seconds"], rel=0.01)


def test_metrics_are_those_of_the_predictions(experiment: dict[str, Any]) -> None:
    run = Path(experiment["folder"]) / "focal" / "seed-2"
    result = json.loads((run / "result.json").read_text())
    frame = pd.read_parquet(run / "predictions.parquet")
    for split, part in frame.groupby("split"):
        assert accuracy_score(part["label"], part["predicted"]) == result["metrics"][split]["accuracy"]
        expected = f1_score(part["label"], part["predicted"], average="macro")
        assert result["metrics"][split]["macro_f1"] == pytest.approx(expected)
        columns = part[[f"probability:{label}" for label in result["labels"]]].to_numpy()
        assert columns.sum(1) == pytest.approx(np.ones(len(part)))
        truth = part["label"].map(result["labels"].index).to_numpy()
        entropy = -np.log(columns[np.arange(len(part)), truth]).mean()
        assert result["metrics"][split]["cross_entropy"] == pytest.approx(entropy)


def test_predictions_tell_the_tokens_of_every_text(experiment: dict[str, Any]) -> None:
    run = Path(experiment["folder"]) / "plain" / "seed-1"
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    frame = pd.read_parquet(run / "predictions.parquet")
    for text, tokens, unknown in zip(frame["text"], frame["tokens"], frame["unknown_tokens"], strict=True):
        assert tokens == len(tokenizer(text)["input_ids"])
        assert unknown == tokenizer(text, truncation=True)["input_ids"].count(tokenizer.unk_token_id)


def test_saved_model_predicts_what_the_predictions_say(experiment: dict[str, Any]) -> None:
    run = Path(experiment["folder"]) / "plain" / "seed-1"
    model = AutoModelForSequenceClassification.from_pretrained(run / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    frame = pd.read_parquet(run / "predictions.parquet")
    inputs = tokenizer(list(frame["text"]), truncation=True, padding=True, return_tensors="pt")
    assert inputs["input_ids"].shape[1] <= 16
    with torch.inference_mode():
        probabilities = model(**inputs).logits.softmax(-1).numpy()
    for number, label in model.config.id2label.items():
        assert frame[f"probability:{label}"].to_numpy() == pytest.approx(probabilities[:, number], abs=1e-5)
    assert [model.config.id2label[n] for n in probabilities.argmax(1)] == list(frame["predicted"])


def test_events_are_one_object_per_line(experiment: dict[str, Any]) -> None:
    lines = (Path(experiment["folder"]) / "plain" / "seed-1" / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert events[0]["event"] == "started"
    assert events[-1]["event"] == "finished"
    evaluations = [event for event in events if event["event"] == "evaluation"]
    assert [event["epoch"] for event in evaluations] == [1.0, 2.0, 3.0]
    best = max(event["metrics"]["macro_f1"] for event in evaluations)
    result = json.loads((Path(experiment["folder"]) / "plain" / "seed-1" / "result.json").read_text())
    assert result["metrics"]["validation"]["macro_f1"] == best


def test_counts_of_the_data_add_up(experiment: dict[str, Any]) -> None:
    counts = experiment["variants"]["plain"]["data"]["splits"]["train"]
    assert counts["read"] == 240
    assert counts["read"] == sum(counts.values()) - counts["read"]


def test_variants_and_seeds_share_the_rows(experiment: dict[str, Any]) -> None:
    frames = [
        pd.read_parquet(Path(experiment["folder"]) / variant / f"seed-{seed}" / "predictions.parquet")
        for variant in ("plain", "focal")
        for seed in (1, 2)
    ]
    for frame in frames[1:]:
        assert list(frame["row"]) == list(frames[0]["row"])
    assert len({tuple(frame["confidence"]) for frame in frames}) == 4


def test_resolved_spec_gives_the_same_metrics_to_the_last_digit(experiment: dict[str, Any], tmp_path: Path) -> None:
    result = kexp("run", Path(experiment["folder"]) / "spec.toml", "--runs-dir", tmp_path, "--json", "--quiet")
    again = json.loads(result.stdout)
    assert result.stderr == ""
    assert again["folder"] != experiment["folder"]
    assert Path(again["folder"]).parent.name == "reviews"
    for name, variant in experiment["variants"].items():
        assert again["variants"][name]["metrics"] == variant["metrics"]
        assert again["variants"][name]["baselines"] == variant["baselines"]


def test_runs_are_listed(experiment: dict[str, Any]) -> None:
    runs_dir = Path(experiment["folder"]).parent.parent
    rows = json.loads(kexp("runs", "--runs-dir", runs_dir, "--json").stdout)
    assert [(row["experiment"], row["status"], row["folder"]) for row in rows] == [
        ("reviews", "done", experiment["folder"])
    ]
    means = experiment["variants"]["focal"]["metrics"]["test"]
    assert rows[0]["test"]["focal"]["accuracy"] == means["accuracy"]["mean"]
    assert experiment["folder"] in kexp("runs", "--runs-dir", runs_dir).stdout


def test_table_of_results_is_tab_separated_in_a_pipe(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(SPEC.format(data=reviews))
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--variant", "plain", "--seeds", "1", "--quiet")
    lines = result.stdout.splitlines()
    header = next(line for line in lines if line.startswith("model\t"))
    rows = [line.split("\t") for line in lines[lines.index(header) + 1 :][:3]]
    assert header.split("\t")[:4] == ["model", "runs", "accuracy", "macro_f1"]
    assert [row[0].strip() for row in rows] == ["plain", "majority", "tfidf-logreg"]
    assert lines[-1] == str(next((tmp_path / "runs" / "spec").iterdir()))


def test_dry_run_creates_nothing(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    command = ("run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path / "runs", "--dry-run", "--quiet")
    result = kexp(*command, "--json")
    assert result.exit_code == 0
    data = json.loads(result.stdout)["variants"]["focal"]["data"]
    assert data["splits"]["train"]["read"] == 240
    shown = kexp(*command).stdout.splitlines()
    assert shown[0] == "plain, focal: train 192 rows (24 taken for test, 24 taken for validation)"
    counts = {line.split("\t")[0]: line.split("\t")[1:] for line in shown if "\t" in line}
    assert [*map(int, counts["좋음"])] == [data["labels"][split]["좋음"] for split in ("train", "validation", "test")]
    assert float(counts["longest"][0]) == data["tokens"]["train"]["longest"] <= 16
    # No row of these is cut, so that both lengths are equal; with fewer tokens they are not.
    assert float(counts["longest before cutting"][0]) == data["tokens"]["train"]["longest before cutting"]
    short = kexp(*command, "--json", "--set", "training.max_length=6")
    tokens = json.loads(short.stdout)["variants"]["focal"]["data"]["tokens"]["train"]
    assert tokens["longest"] == 6
    assert [tokens[f"{name} before cutting"] for name in ("median", "95 %", "longest")] == [
        data["tokens"]["train"][f"{name} before cutting"] for name in ("median", "95 %", "longest")
    ]
    assert tokens["longest before cutting"] > 6
    assert shown[-1] == "4 runs would be trained; nothing was made"
    assert not (tmp_path / "runs").exists()


def test_labelled_rows_and_augmentation_reach_training(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    text = SPEC.format(data=reviews).partition("[variants.plain]")[0] + (
        "[labelled]\nper_class = 10\n[augmentation]\nlabelled = {use = 'random-deletion', p = 0.3}\n"
    )
    result = kexp("run", write_spec(text), "--runs-dir", tmp_path, "--json", "--quiet", "--seeds", "1")
    data = json.loads(result.stdout)["variants"]["default"]["data"]
    assert data["labels"]["train"] == {"나쁨": 10, "보통": 10, "좋음": 10}
    assert data["splits"]["train"]["unlabelled"] == 240 - 48 - 30


def test_one_label_can_choose_the_model(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    text = SPEC.format(data=reviews).partition("[variants.plain]")[0]
    metrics = 'evaluation.metrics=["macro_f1", {use = "f1", label = "좋음"}]'
    command = ("run", write_spec(text), "--runs-dir", tmp_path, "--json", "--quiet", "--seeds", "1", "--set", metrics)
    result = kexp(*command, "--set", "training.monitor=f1")
    assert result.exit_code == 0, result.stderr
    folder = Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"
    done = json.loads((folder / "result.json").read_text())
    assert done["monitor"] == "f1"
    assert done["metrics"]["test"]["f1"] == pytest.approx(done["per_class"]["test"][done["labels"].index("좋음")]["f1"])
    refused = kexp(*command[:-1], metrics.replace("좋음", "최고"))
    assert 'evaluation.metrics: there is no label "최고"; known: 나쁨, 보통, 좋음' in refused.stderr


# --- what bad input gets --------------------------------------------------------------------------------------------


def refused(*arguments: str | Path, runs: Path) -> str:
    result = kexp("run", *arguments, "--runs-dir", runs, "--quiet")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert not runs.exists()
    return result.stderr.strip()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "{spec}: dataset.path: {data}: the file is empty"),
        (
            b"text,label\n" + b"a,x\n" * 5,
            'dataset: every train row has the label "x"; expected at least two labels',
        ),
        (b"body,label\na,1\n", "{spec}: dataset.text: {data}: no column 'text'; the columns are body, label"),
        (
            "text,label\n가,1\n나,0\n".encode("cp949"),
            '{data}: line 2: byte 0xb0 is not utf-8-sig; the file is cp949; set encoding = "cp949"',
        ),
        (
            b"text,label\na,1\nb,0,9\n",
            "{data}: line 3: found 3 cells, expected 2; check the separator",
        ),
        (
            b"text,label\na,1\nb,\n",
            '{data}: data row 2 has no label (1 such rows); fill them in, or leave them out with cleaning.unlabelled = "drop"',
        ),
        (
            b"text,label\n" + b"".join(b"text %d,%d\n" % (n, n % 2) for n in range(40)) + b"alone,7\n",
            'split.test: too small to stratify: label "7" has 1 row of 41; set split.stratify = false, or add data',
        ),
    ],
)
def test_unusable_data_is_told_before_anything_is_created(
    write_spec: Write, tmp_path: Path, content: bytes, expected: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_bytes(content)
    spec = write_spec(SPEC.format(data=data))
    assert refused(spec, runs=tmp_path / "runs") == expected.format(data=data, spec=spec)


def test_without_a_test_split_everything_is_on_validation_and_says_so(
    write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    spec = write_spec(SPEC.format(data=reviews))
    command = ("run", spec, "--runs-dir", tmp_path / "runs", "--set", "split.test=0", "--seeds", "1")
    done = kexp(*command)
    assert done.exit_code == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    results = "their results are on the validation rows, by which the models were chosen too"
    remark = f"plain, focal: no test split (split.test = 0); {results}"
    lines = done.stdout.splitlines()
    assert lines[0] == "plain, focal: train 216 rows (24 taken for validation)"
    assert lines.count(remark) == 1
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert (summary["status"], summary["tests"], summary["remarks"]) == ("done", [], [remark])
    assert list(summary["variants"]["plain"]["data"]["splits"]) == ["train", "validation"]
    result = json.loads((folder / "plain" / "seed-1" / "result.json").read_text("utf-8"))
    assert list(result["metrics"]) == list(result["confusion_matrix"]) == ["validation"]
    rows = [line.split("\t") for line in lines if "\t" in line]
    assert [row[0].strip() for row in rows] == ["model", "plain", "focal", "majority", "tfidf-logreg"]
    assert rows[1][2] == f"{result['metrics']['validation']['accuracy']:.4f}"
    frame = pd.read_parquet(folder / "plain" / "seed-1" / "predictions.parquet")
    assert set(frame["split"]) == {"validation"}
    report = (folder / "report.html").read_text("utf-8")
    assert report.count(remark) == 1
    assert "Validation split: mean" in report
    assert "Which differences are more than chance?" not in report
    # What reads run folders says the same.
    listed = kexp("runs", "--runs-dir", tmp_path / "runs").stdout
    assert "\tno test split\t" in listed
    assert remark in kexp("runs", "show", folder).stdout
    refusal = kexp("compare", folder)
    assert refusal.exit_code == 2
    assert "plain, focal: no test split (split.test = 0); compare with --split validation" in refusal.stderr
    compared = json.loads(kexp("compare", folder, "--split", "validation", "--json").stdout)
    assert compared["tests"]
    predicted = kexp("predict", folder / "plain" / "seed-1", "정말 최고 영화")
    assert "its run has no test split (split.test = 0), so this model was never tested" in predicted.stderr
    # A test split that the dataset brings stays.
    brought = kexp(*command, "--dry-run", "--set", f'dataset.test="{reviews}"', "--set", "cleaning.overlap=keep")
    assert "test 240 rows" in brought.stdout


def test_models_that_are_kept_are_not_predicted_again(
    write_spec: Write, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits: list[str] = []
    predict = AssembledRun.predict
    monkeypatch.setattr(AssembledRun, "predict", lambda run, split: [splits.append(split), predict(run, split)][1])
    command = ("run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path / "runs", "--variant", "plain")
    done = kexp(*command, "--seeds", "1", "--set", "training.keep=2")
    assert done.exit_code == 0, done.stderr
    (metrics,) = (tmp_path / "runs").glob("spec/*/plain/seed-1/metrics.jsonl")
    events = map(json.loads, metrics.read_text("utf-8").splitlines())
    evaluations = [event for event in events if event["event"] == "evaluation"]
    assert splits == ["validation"] * len(evaluations) + ["test"]


def test_best_models_are_kept_and_epochs_are_shown(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    settings = ("training.keep=2", "evaluation.train=true", 'evaluation.metrics=["accuracy", "macro_f1"]')
    command = ("run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path / "runs", "--variant", "plain")
    done = kexp(*command, "--seeds", "1", *(part for setting in settings for part in ("--set", setting)))
    assert done.exit_code == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    run = folder / "plain" / "seed-1"
    result = json.loads((run / "result.json").read_text("utf-8"))
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    found = [event for event in map(json.loads, lines) if event["event"] == "evaluation"]
    ordered = sorted(found, key=lambda event: (-event["metrics"]["macro_f1"], event["step"]))[:2]
    assert [(kept["step"], kept["macro_f1"]) for kept in result["kept_models"]] == [
        (event["step"], event["metrics"]["macro_f1"]) for event in ordered
    ]
    assert [kept["folder"] for kept in result["kept_models"]] == ["model", "model-2"]
    # Each is a model like any other: its predictions give the metric of its evaluation.
    frame = pd.read_parquet(run / "predictions.parquet")
    texts = frame[frame["split"] == "validation"].drop(columns="predicted")
    texts.to_csv(tmp_path / "validation.csv", index=False)
    for kept in result["kept_models"]:
        measured = kexp("evaluate", run / kept["folder"], "--data", tmp_path / "validation.csv", "--json")
        assert json.loads(measured.stdout)["metrics"]["macro_f1"] == pytest.approx(kept["macro_f1"])
    averaged = kexp("predict", run / "model", run / "model-2", "정말 최고 영화", "--json")
    assert averaged.exit_code == 0, averaged.stderr
    # Train is measured as it stands, without augmentation; by the last epoch it is learnt.
    assert [set(event["train_metrics"]) for event in found] == [{"accuracy", "macro_f1"}] * 3
    assert found[-1]["train_metrics"]["accuracy"] > 0.9
    # Validation loss is cross entropy also where that is no metric of the spec.
    best = next(event for event in found if event["step"] == result["best_step"])
    validation = frame[frame["split"] == "validation"]
    entropy = -np.log([row[f"probability:{row['label']}"] for _, row in validation.iterrows()]).mean()
    assert best["validation_loss"] == pytest.approx(entropy)
    header = [
        "epoch", "train loss", "validation loss", "accuracy", "macro_f1", "train accuracy", "train macro_f1",
        "train time", "validation time", "best",
    ]  # fmt: skip
    assert "\t".join(header) in done.stderr
    shown = [line.split("\t") for line in kexp("runs", "show", folder, "--epochs").stdout.splitlines()]
    assert shown[0] == ["run", *header]
    assert [row[:3] for row in shown[1:]] == [
        ["plain seed 1", f"{event['epoch']:g}", f"{event['train_loss']:.4f}"] for event in found
    ]
    assert [row[3] for row in shown[1:]] == [f"{event['validation_loss']:.4f}" for event in found]
    assert [row[6] for row in shown[1:]] == [f"{event['train_metrics']['accuracy']:.4f}" for event in found]
    assert [row[-1] for row in shown[1:]] == ["*" * event["best"] for event in found]
    report = (folder / "report.html").read_text("utf-8")
    assert '<th scope="col">train accuracy</th>' in report
    assert f"<td>{found[1]['train_metrics']['macro_f1']:.4f}</td>" in report
    (as_json,) = json.loads(kexp("runs", "show", folder, "--json").stdout)["runs"]
    assert [epoch["train_seconds"] for epoch in as_json["epochs"]] == [event["train_seconds"] for event in found]
    assert sum(epoch["train_seconds"] for epoch in as_json["epochs"]) == pytest.approx(result["train_seconds"])


@pytest.mark.parametrize(("keep", "kept"), [("best", 1), ("last", 3)])
def test_kept_model_is_named_beside_the_best_evaluation(
    write_spec: Write, reviews: Path, tmp_path: Path, keep: str, kept: int
) -> None:
    # Weights hardly move, so that no evaluation is better than the first.
    settings = ("training.learning_rate=1e-30", f"training.keep={keep}", "training.evaluate_every=12")
    done = kexp(
        "run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path, "--json", "--seeds", "1",
        "--variant", "plain", *(part for setting in settings for part in ("--set", setting)),
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    result = json.loads((folder / "plain" / "seed-1" / "result.json").read_text("utf-8"))
    # 192 rows of train are twelve steps of sixteen.
    assert (result["best_step"], result["best_epoch"], result["steps"]) == (12, 1.0, 36)
    assert (result["kept_step"], result["kept_epoch"]) == (12 * kept, kept)
    report = (folder / "report.html").read_text("utf-8")
    assert re.search(rf"chosen epoch\W+(?:\w+\W+){{1,3}}{kept}\b", report)
    (run,) = json.loads(kexp("runs", "show", folder, "--json").stdout)["runs"]
    assert (run["best_epoch"], run["kept_epoch"]) == (1.0, kept)


def test_label_that_only_test_has_is_named(write_spec: Write, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(40)))
    (tmp_path / "test.csv").write_text("text,label\nnew,0\nother,2\n")
    text = SPEC.format(data=tmp_path / "train.csv").replace("path =", f'test = "{tmp_path / "test.csv"}"\ntrain =')
    assert refused(write_spec(text), runs=tmp_path / "runs") == (
        'dataset: label "2" is in 1 row of the test split but not in train; add train rows with it, or remove these rows'
    )


def test_corrupt_model_folder_is_named_before_anything_is_created(
    write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 64}')
    (model / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    spec = write_spec(SPEC.format(data=reviews).partition("[variants")[0])
    message = refused(spec, "--set", "backbone.use=hf", "--set", f"backbone.path={model}", runs=tmp_path / "runs")
    assert message.startswith(f"{spec}: backbone.path: {model / 'model.safetensors'} is damaged: ")
    assert message.endswith("; download the model again")


def test_runs_folder_that_cannot_be_written_is_named(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = kexp("run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path / "file" / "runs", "--quiet")
    assert result.exit_code == 2
    assert "cannot be made: Not a directory; choose another place with --runs-dir or KEXP_RUNS_DIR" in result.stderr


def test_weights_per_class_must_fit_the_labels(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(SPEC.format(data=reviews))
    message = refused(spec, "--set", "objective.class_weights=[1.0, 2.0]", "--variant", "plain", runs=tmp_path / "runs")
    assert message == "spec: objective: 2 weights are given for 3 labels"


def test_failed_run_keeps_its_folder_and_the_others_go_on(
    write_spec: Write, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kexp.builtin.objectives import FocalOptions

    def full(self: FocalOptions, context: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FocalOptions, "build", full)
    result = kexp(
        "run", write_spec(SPEC.format(data=reviews)), "--runs-dir", tmp_path, "--json", "--quiet", "--seeds", "1"
    )
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["status"] == "failed"
    assert summary["variants"]["plain"]["status"] == {"1": "done"}
    failed = json.loads((Path(summary["folder"]) / "focal" / "seed-1" / "result.json").read_text())
    said = f'objective "focal" of kexp {version}: OSError: [Errno 28] No space left on device'
    assert (failed["status"], failed["reason"]) == ("failed", said)
    assert f"focal seed 1 failed: {said}" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in (Path(summary["folder"]) / "focal" / "seed-1" / "log.txt").read_text()
    assert (Path(summary["folder"]) / "report.html").is_file()


def test_run_that_failed_after_its_training_resumes_with_its_test(
    write_spec: Write, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec("seeds = [1]\nfreezing = 'all-but-head'\n" + tiny_spec().format(data=reviews))
    whole = json.loads(kexp("run", spec, "--runs-dir", tmp_path / "whole", "--json", "--quiet").stdout)

    def full(*given: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(one_run, "save_predictions", full)
        failed = json.loads(kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet").stdout)
    assert failed["status"] == "failed"
    resumed = json.loads(kexp("run", "--resume", failed["folder"], "--json", "--quiet").stdout)
    assert resumed["status"] == "done"

    def result(summary: dict[str, Any]) -> dict[str, Any]:
        found = json.loads((Path(summary["folder"]) / "default" / "seed-1" / "result.json").read_text())
        return {key: found[key] for key in ("metrics", "parameters", "steps", "best_step", "kept_step")}

    assert result(resumed) == result(whole)


@pytest.mark.parametrize(
    ("freezing", "frozen"),
    [("'none'", 0), ("{use = 'bottom-layers', layers = 1}", 1), ("'all-but-head'", 1)],
    ids=["nothing frozen", "half frozen", "all but the head frozen"],
)
def test_interrupted_experiment_resumes_to_the_same_digits(
    write_spec: Write, reviews: Path, tmp_path: Path, freezing: str, frozen: int
) -> None:
    text = SPEC.format(data=reviews).replace("epochs = 3", "epochs = 12").replace("layers = 1", "layers = 2")
    spec = write_spec(f"freezing = {freezing}\n{text}")
    command = [sys.executable, "-m", "kexp", "run", str(spec), "--variant", "plain"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [*command, "--runs-dir", str(tmp_path / "runs")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    metrics = "spec/*/plain/seed-1/metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = list((tmp_path / "runs").glob(metrics))
        if found and '"epoch": 2.0' in found[0].read_text():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr.decode()
    folder = next((tmp_path / "runs" / "spec").iterdir())
    assert f"continue with: kexp run --resume {folder}" in stderr.decode()
    assert json.loads((folder / "plain" / "seed-1" / "result.json").read_text())["status"] == "interrupted"

    resumed = json.loads(kexp("run", "--resume", folder, "--json", "--quiet").stdout)
    whole = json.loads(
        kexp("run", spec, "--variant", "plain", "--runs-dir", tmp_path / "whole", "--json", "--quiet").stdout
    )
    assert resumed["folder"] == str(folder)
    assert resumed["status"] == "done"
    assert resumed["variants"]["plain"]["metrics"] == whole["variants"]["plain"]["metrics"]

    def evaluations(summary: dict[str, Any]) -> list[Any]:
        lines = (Path(summary["folder"]) / "plain" / "seed-1" / "metrics.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [(e["step"], e["metrics"], e["train_loss"], e["best"]) for e in events if e["event"] == "evaluation"]

    def run(summary: dict[str, Any]) -> Path:
        return Path(summary["folder"]) / "plain" / "seed-1"

    assert evaluations(resumed) == evaluations(whole)
    for name in ("model/model.safetensors", "predictions.parquet"):
        assert (run(resumed) / name).read_bytes() == (run(whole) / name).read_bytes()
    # Hidden states are computed anew after the interruption.
    assert (run(whole) / "log.txt").read_text().count("were computed once and are kept") == frozen
    assert (run(resumed) / "log.txt").read_text().count("were computed once and are kept") == 2 * frozen
    assert "resumed" in json.loads((folder / "environment.json").read_text())


# --- real reviews, a real pre-trained model -------------------------------------------------------------------------


@pytest.mark.shared
def test_nsmc_experiment_runs_on_real_reviews(shared: Path, tmp_path: Path) -> None:
    spec = Path(__file__).parents[2] / "experiments" / "nsmc.toml"
    result = kexp(
        "run", spec, "--runs-dir", tmp_path, "--json", "--quiet", "--seeds", "1",
        "--set", f"dataset.path={shared / 'data' / 'nsmc'}",
        "--set", "backbone.use=hf", "--set", f"backbone.path={shared / 'models' / 'ko-mini'}",
        "--set", "dataset.limit={train = 1000, validation = 200, test = 500}",
        "--set", "training.epochs=2", "--set", "training.learning_rate=2e-4", "--set", "training.max_length=64",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["variants"]["default"]["metrics"]["test"]["accuracy"]["mean"] > 0.65
    data = summary["variants"]["default"]["data"]
    assert data["splits"]["train"]["kept"] == 1000
    assert data["tokens"]["train"]["unknown share"] < 0.02


# --- an unlabelled pool ---------------------------------------------------------------------------------------------

POOL = """
[labelled]
per_class = 8
[augmentation]
unlabelled = {{use = "random-deletion", p = 0.3}}
[objective]
use = "{objective}"
"""


def few_labels(reviews: Path, objective: str) -> str:
    spec = SPEC.format(data=reviews).partition("[variants")[0].replace("batch_size = 16", "batch_size = 4")
    return spec + POOL.format(objective=objective)


@pytest.mark.parametrize("objective", ["uda", "fixmatch", "mean-teacher", "vat"])
def test_objectives_with_a_pool_train_and_tell_of_it(
    write_spec: Write, reviews: Path, tmp_path: Path, objective: str
) -> None:
    spec = write_spec(few_labels(reviews, objective))
    result = kexp("run", spec, "--runs-dir", tmp_path, "--json", "--quiet", "--seeds", "1")
    assert result.exit_code == 0, result.stderr
    folder = Path(json.loads(result.stdout)["folder"])
    lines = (folder / "default" / "seed-1" / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["pool"].keys() for event in events if event["event"] == "evaluation"] == [
        {"oracle_accuracy", "confidence", "balance", "largest_share"}
    ] * 3
    logged = next(event for event in events if event["event"] == "step")["logs"]
    assert {"supervised_loss", "unsupervised_loss"} <= logged.keys()


def test_what_was_augmented_beforehand_comes_with_the_data(write_spec: Write, tmp_path: Path) -> None:
    rows = [
        f"영화 {n} {'최고' if n % 2 else '최악'},{n % 2},필름 {n} {'최고' if n % 2 else '최악'}" for n in range(120)
    ]
    (tmp_path / "pairs.csv").write_text("text,label,augmented\n" + "\n".join(rows) + "\n", encoding="utf-8")
    text = few_labels(tmp_path / "pairs.csv", "uda").replace('unlabelled = {use = "random-deletion", p = 0.3}\n', "")
    spec = write_spec(text.replace("path =", 'augmented = "augmented"\npath ='))
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet", "--seeds", "1")
    assert result.exit_code == 0, result.stderr


def write_pairs(folder: Path) -> str:
    """Write labelled rows without views, and unlabelled ones with views; return a spec that reads both."""
    rows = [f"영화 {n} {'최고' if n % 2 else '최악'}" for n in range(120)]
    (folder / "rows.csv").write_text(
        "text,label\n" + "".join(f"{row},{n % 2}\n" for n, row in enumerate(rows)), encoding="utf-8"
    )
    pairs = "".join(f"{row.replace('영화', '연극')},{row.replace('영화', '무대')}\n" for row in rows)
    (folder / "pairs.csv").write_text("text,augmented\n" + pairs, encoding="utf-8")
    text = few_labels(folder / "rows.csv", "uda").replace('unlabelled = {use = "random-deletion", p = 0.3}\n', "")
    return text.replace("path =", f'augmented = "augmented"\nunlabelled = "{folder / "pairs.csv"}"\npath =')


@pytest.mark.parametrize(("pool_from", "unlabelled", "missing"), [("all", 120, 80), ("file", 120, 0)])
def test_views_are_needed_in_the_file_of_unlabelled_rows_alone(
    write_spec: Write, tmp_path: Path, pool_from: str, unlabelled: int, missing: int
) -> None:
    spec = write_spec(write_pairs(tmp_path).replace("per_class = 8", f'per_class = 8\npool_from = "{pool_from}"'))
    command = ("run", spec, "--runs-dir", tmp_path / "runs", "--seeds", "1")
    result = kexp(*command, "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)["variants"]["default"]["data"]
    assert data["splits"]["unlabelled"]["kept"] == unlabelled
    assert data["splits"]["unlabelled"].get("without_augmented_view", 0) == missing
    warning = (
        "80 unlabelled rows have no augmented view and are left out; "
        'labelled.pool_from = "file" keeps the rest of train out'
    )
    assert data.get("warnings", []) == ([warning] if missing else [])
    assert (f"default seed 1  warning: {warning}" in result.stderr) == bool(missing)


def test_misspelt_column_of_views_is_refused(write_spec: Write, tmp_path: Path) -> None:
    text = write_pairs(tmp_path)
    unlabelled = write_spec(text.replace('augmented = "augmented"', 'augmented = "views"'))
    message = refused(unlabelled, runs=tmp_path / "runs")
    expected = f"{tmp_path}/pairs.csv: no column 'views'; the columns are text, augmented"
    assert message == f"{unlabelled}: dataset.augmented: {expected}"
    alone = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("unlabelled = "))
    message = refused(write_spec(alone), runs=tmp_path / "runs")
    expected = 'dataset.augmented: no column "augmented" in the rows that are unlabelled; check its name'
    assert message == f"spec: {expected}"


@pytest.mark.parametrize("order", ["by label", "two files", "shuffled"])
def test_rows_in_blocks_of_one_label_are_warned_of_where_their_order_is_kept(
    write_spec: Write, tmp_path: Path, order: str
) -> None:
    labels = {
        "by label": [0] * 60 + [1] * 60,
        "two files": ([0] * 30 + [1] * 30) * 2,
        "shuffled": np.random.default_rng(1).permutation([0, 1] * 60).tolist(),
    }[order]
    rows = "".join(f"영화 {n} {'최고' if label else '최악'},{label}\n" for n, label in enumerate(labels))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows, encoding="utf-8")
    text = tiny_spec('sampler = "sequential"', "[evaluation]\nbaselines = []", epochs=1, length_bucketing="false")
    command = ("run", write_spec(text.format(data=tmp_path / "rows.csv")), "--runs-dir", tmp_path / "runs")
    result = kexp(*command)
    assert result.exit_code == 0, result.stderr
    blocks = order != "shuffled"
    changes = {"by label": 1, "two files": 3, "shuffled": 0}[order]
    warning = f"the label changes {changes:,} times in 96 rows, about 48 times in a random order"
    assert (warning in result.stderr) == (warning in result.stdout) == blocks
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    assert (warning in (folder / "report.html").read_text("utf-8")) == blocks
    assert "warning" not in kexp(*command, "--set", "sampler.use=random", "--dry-run").stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[labelled]\nper_class = 8\n", ""), "spec: objective: needs unlabelled rows, but there are none; set labelled.n or labelled.per_class, or use a dataset with an unlabelled split"),
        (('unlabelled = {use = "random-deletion", p = 0.3}\n', ""), "spec: augmentation.unlabelled: the objective needs an augmented view of every unlabelled row; name an augmenter, or a column of the dataset with dataset.augmented"),
        (("batch_size = 4", "batch_size = 64"), "spec: training.unlabelled_ratio: a step takes 192 unlabelled rows, but there are 168; lower it, or training.batch_size"),
    ],
)  # fmt: skip
def test_pool_that_is_missing_or_too_small_is_told(
    write_spec: Write, reviews: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = few_labels(reviews, "uda")
    assert change[0] in text
    assert refused(write_spec(text.replace(*change)), runs=tmp_path / "runs") == message


SEED_LOGGING = """
import torch
from kexp import hookimpl
from kexp.builtin.objectives import CrossEntropy
from kexp.contracts import ObjectiveOptions, StepLoss

class SeedLogging(CrossEntropy):
    def __init__(self, seed):
        super().__init__(0.0, None)
        self.seed = seed

    def step(self, model, labelled, unlabelled, progress):
        loss = super().step(model, labelled, unlabelled, progress).loss
        return StepLoss(loss, {"seed": torch.tensor(float(self.seed))})

class SeedLoggingOptions(ObjectiveOptions):
    def build(self, context):
        return SeedLogging(context.seed)

@hookimpl
def kexp_objectives():
    return {"seed-logging": SeedLoggingOptions}
"""


def test_an_objective_is_built_with_the_seed_of_its_run(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(SEED_LOGGING, encoding="utf-8")
    text = SPEC.format(data=reviews).partition("[variants")[0].replace("epochs = 3", "epochs = 1")
    spec = write_spec(text + '[objective]\nuse = "seed-logging"\n[plugins]\nlocal = ["own.py"]\n')
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet", "--allow-local-code")
    assert result.exit_code == 0, result.stderr
    folder = Path(json.loads(result.stdout)["folder"])
    for seed in (1, 2):
        lines = (folder / "default" / f"seed-{seed}" / "metrics.jsonl").read_text().splitlines()
        steps = [event for event in map(json.loads, lines) if event["event"] == "step"]
        assert {event["logs"]["seed"] for event in steps} == {seed}
