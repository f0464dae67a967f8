"""Runs with LoRA from the spec to the trained model, which needs neither peft nor the adapter."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import kexp, tiny_spec
from transformers import AutoModelForSequenceClassification

from kexp.inference.loading import load

Write = Callable[..., Path]


def adapted(
    adapter: str = 'adapter = {use = "lora", target = "all-linear"}', top: str = "", tables: str = "", **training: Any
) -> str:
    text = tiny_spec(f'name = "lora"\nseeds = [1]\n{top}', tables, layers=2, **{"learning_rate": 5e-3, **training})
    return text.replace("[training]", f"{adapter}\n[training]")


def folder_of(done: Any) -> Path:
    assert done.exit_code == 0, done.stderr
    return Path(json.loads(done.stdout)["folder"]) / "default" / "seed-1"


@pytest.fixture(scope="module")
def finished(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "spec.toml").write_text(adapted().replace("{data}", str(reviews)), "utf-8")
    done = kexp("run", folder / "spec.toml", "--runs-dir", folder / "runs", "--json")
    assert "LoRA of rank 8 beside 12 linear maps: " in done.stderr
    return folder_of(done)


def test_the_result_says_what_was_trained(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text("utf-8"))
    parameters = result["parameters"]
    # Twelve linear maps of 32 and 128, with a rank of 8; the pooler and the classifier.
    matrices = 2 * (4 * 8 * (32 + 32) + 2 * 8 * (32 + 128))
    assert parameters["trainable"] == matrices + 33 * 32 + 33 * 3
    assert parameters["total"] > parameters["trainable"]
    assert result["forward"] == "flat"
    assert "LoRA of rank 8" in (finished / "log.txt").read_text("utf-8")


def test_the_model_is_a_plain_one_that_predicts_what_the_run_predicted(finished: Path) -> None:
    stored = pd.read_parquet(finished / "predictions.parquet")
    model = load(finished, device="cpu", precision="fp32")
    found = model.predict(stored["text"].tolist())
    expected = stored[[f"probability:{label}" for label in model.labels]].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-3
    plain, info = AutoModelForSequenceClassification.from_pretrained(finished / "model", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert plain.config.dtype is None or str(plain.config.dtype).endswith("float32")
    assert not list((finished / "model").glob("adapter*"))


def test_predicting_and_exporting_do_not_import_peft(finished: Path, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["peft"] = None
from typer.testing import CliRunner
from kexp.cli import app
for command in (sys.argv[1:3] + ["최고 영화"], ["export", sys.argv[2], "--output", sys.argv[3], "--format", "onnx"]):
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    print(done.stdout)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", finished, tmp_path / "onnx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "좋음" in done.stdout
    assert json.loads((tmp_path / "onnx" / "kexp.json").read_text("utf-8"))["check"]["largest_difference"] < 1e-4


def test_equal_specs_give_equal_bits_and_reuse_of_frozen_blocks_changes_nothing_but_rounding(
    write_spec: Write, reviews: Path, tmp_path: Path
) -> None:
    top = 'freezing = {use = "bottom-layers", layers = 1}'
    runs = []
    for number, reuse in enumerate(("true", "true", "false")):
        spec = write_spec(adapted(top=top, reuse_frozen=reuse).replace("{data}", str(reviews)))
        runs.append(folder_of(kexp("run", spec, "--runs-dir", tmp_path / str(number), "--json", "--quiet")))
    one, same, other = runs
    assert (one / "model/model.safetensors").read_bytes() == (same / "model/model.safetensors").read_bytes()
    results = [json.loads((run / "result.json").read_text("utf-8")) for run in runs]
    assert [result.get("hidden_states", {}).get("frozen_up_to") for result in results] == ["layer.0", "layer.0", None]
    found, expected = (
        pd.read_parquet(run / "predictions.parquet")["probability:좋음"].to_numpy() for run in (one, other)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_pretraining_goes_on_below_the_adapter(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    text = adapted(adapter='adapter = "lora"', tables="[pretraining]\nsteps = 3\n", epochs=1).replace(
        "{data}", str(reviews)
    )
    run = folder_of(kexp("run", write_spec(text), "--runs-dir", tmp_path / "with", "--json", "--quiet"))
    plain = adapted(adapter="", tables="[pretraining]\nsteps = 3\n", epochs=1, learning_rate=1e-12).replace(
        "{data}", str(reviews)
    )
    other = folder_of(kexp("run", write_spec(plain), "--runs-dir", tmp_path / "without", "--json", "--quiet"))
    name = "bert.embeddings.word_embeddings.weight"
    weights, expected = (load_file(folder / "model" / "model.safetensors")[name] for folder in (run, other))
    np.testing.assert_allclose(weights.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.compile=true", "training.compile: a model with an adapter cannot be compiled"),
        ("freezing=\"all-but-head\"", "freezing: every layer is frozen, and so are the matrices of backbone.adapter"),
        ("freezing={use=\"bottom-layers\",layers=2}", "freezing: every layer is frozen"),
        ("backbone.adapter={use=\"lora\",base=\"bf16\"}", None),
        ("backbone.adapter={use=\"lora\",target=[\"q_proj\"]}", "no linear map q_proj in its layers; they have attention.self.query"),
        ("backbone.adapter={use=\"lora\",target=[]}", "backbone.adapter.target: names no module"),
        ("backbone.adapter={use=\"lora\",r=0}", "backbone.adapter.r"),
        ("backbone.adapter={use=\"lore\"}", "backbone.adapter.use"),
        ("backbone.adapter={use=\"lora\",rank=4}", "backbone.adapter.rank: unknown"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_a_folder_is_made(
    write_spec: Write, reviews: Path, tmp_path: Path, change: str, message: str | None
) -> None:
    spec = write_spec(adapted(precision='"fp32"').replace("{data}", str(reviews)))
    done = kexp("run", spec, "--set", change, "--runs-dir", tmp_path / "runs")
    assert done.exit_code == 2, done.stderr
    assert (message or 'a base in bf16 is for passes in bf16, and training.precision is "fp32"') in " ".join(
        done.stderr.split()
    )
    assert not (tmp_path / "runs").exists()


def test_a_base_in_bf16_is_refused_where_auto_is_fp32(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(
        adapted('adapter = {use = "lora", base = "bf16"}', device='"cpu"').replace("{data}", str(reviews))
    )
    done = kexp("run", spec, "--runs-dir", tmp_path / "runs")
    assert done.exit_code == 2, done.stderr
    assert '"bf16" needs training.precision "bf16", and this run computes in fp32' in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()


def test_gradual_unfreezing_is_allowed(write_spec: Write, reviews: Path) -> None:
    spec = write_spec(adapted(top='freezing = "gradual"').replace("{data}", str(reviews)))
    assert kexp("check", spec).exit_code == 0


def test_a_base_in_bf16_runs_and_is_saved_in_fp32(write_spec: Write, reviews: Path, tmp_path: Path) -> None:
    spec = write_spec(
        adapted('adapter = {use = "lora", base = "bf16"}', precision='"bf16"', epochs=1).replace("{data}", str(reviews))
    )
    run = folder_of(kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet"))
    plain = AutoModelForSequenceClassification.from_pretrained(run / "model")
    assert {str(weight.dtype) for weight in plain.parameters()} == {"torch.float32"}


def test_a_missing_package_is_named(write_spec: Write, reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kexp.packages.is_installed", lambda package: package != "peft")
    done = kexp("check", write_spec(adapted().replace("{data}", str(reviews))))
    assert done.exit_code == 2
    assert "backbone.adapter: needs the package peft; pip install 'kexp[lora]'" in " ".join(done.stderr.split())
