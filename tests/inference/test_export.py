"""``kexp export``: a model in ONNX, which onnxruntime runs with the same result."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from support import kexp, tiny_spec
from tokenizers import Tokenizer
from typer.testing import Result

from kexp.inference import export as exporting
from kexp.inference import onnx as graphs
from kexp.inference.model_folders import find
from kexp.trained import load

SPEC = tiny_spec(layers=2, max_length=24)
TEXTS = ["최고", "정말 최고 영화 " * 9, "3번째 영화 별로 배우", "", "무난 정말 " * 3]
FILES = {"model.onnx", "config.json", "kexp.json", "README.md", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "reviews.toml").write_text(SPEC.format(data=reviews), encoding="utf-8")
    result = kexp("run", folder / "reviews.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"


@pytest.fixture(scope="module")
def exported(run: Path) -> Result:
    """Export once for all tests."""
    result = kexp("export", run)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def quick(run: Path, exported: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let later exports take the graph that is there, since making it takes seconds."""
    monkeypatch.setattr(graphs, "write_graph", lambda path, *rest: shutil.copy(run / "onnx" / "model.onnx", path))


def predicted(folder: Path, texts: list[str]) -> np.ndarray:
    """Predict with onnxruntime and tokenizers alone, as somebody without kexp would."""
    about = json.loads((folder / "kexp.json").read_text("utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(about["max_length"])
    tokenizer.enable_padding(pad_id=about["pad_id"])
    rows = tokenizer.encode_batch(texts)
    given = {
        "input_ids": [row.ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
    }
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {name: np.array(given[name]) for name in about["inputs"]})
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_graph_takes_any_number_of_rows_and_any_length(run: Path, exported: Result) -> None:
    expected = load(run).predict(TEXTS)
    assert predicted(run / "onnx", TEXTS) == pytest.approx(expected, abs=1e-5)
    for number, text in enumerate(TEXTS):
        assert predicted(run / "onnx", [text])[0] == pytest.approx(expected[number], abs=1e-5)
    many = TEXTS * 11
    assert predicted(run / "onnx", many) == pytest.approx(np.tile(expected, (11, 1)), abs=1e-5)
    graph = onnx.load(run / "onnx" / "model.onnx").graph
    axes = {value.name: [axis.dim_param for axis in value.type.tensor_type.shape.dim] for value in graph.input}
    assert axes == {name: ["rows", "tokens"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    onnx.checker.check_model(str(run / "onnx" / "model.onnx"))


def test_folder_says_what_it_holds(run: Path, exported: Result) -> None:
    assert {path.name for path in (run / "onnx").iterdir()} == FILES
    about = json.loads((run / "onnx" / "kexp.json").read_text("utf-8"))
    assert about["labels"] == ["나쁨", "보통", "좋음"]
    assert (about["max_length"], about["truncation"], about["quantize"]) == (24, "right", None)
    assert about["inputs"] == ["input_ids", "attention_mask", "token_type_ids"]
    assert about["run"] == {"experiment": "reviews", "variant": "default", "seed": 1}
    assert about["check"]["longest"] == 24
    assert about["check"]["shortest"] < 15
    assert about["check"]["largest_difference"] < 1e-5
    assert not list(run.glob(".*"))
    refused = kexp("predict", run / "onnx", "최고")
    assert refused.stderr == f"{run / 'onnx'} is an export; give the model that was exported\n"
    assert re.fullmatch(
        rf"{re.escape(str(run / 'onnx'))}: \d+ texts of \d+ to 24 tokens, onnxruntime against PyTorch: "
        r"largest difference of probabilities \d\.\de-\d\d, equal labels 100.0%\n",
        exported.stdout,
    )


def test_readme_of_the_export_works(
    run: Path, exported: Result, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (run / "onnx" / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(run / "onnx")
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["predict"](TEXTS) == pytest.approx(load(run).predict(TEXTS), abs=1e-5)
    assert capsys.readouterr().out.startswith("정말 재미있다 ")


@pytest.mark.usefixtures("quick")
def test_int8_is_smaller_and_says_how_it_agrees(run: Path, tmp_path: Path) -> None:
    result = kexp("export", run, "--quantize", "int8", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    folder = Path(told["folder"])
    assert folder == run / "onnx-int8"
    assert {path.name for path in folder.iterdir()} == FILES
    frame = pd.read_parquet(run / "predictions.parquet")
    texts = list(frame.loc[frame["split"] == "test", "text"])
    whole, small = load(run).predict(texts), predicted(folder, texts)
    assert 0 < np.abs(whole - small).max() < 0.1
    assert (whole.argmax(1) == small.argmax(1)).mean() >= 0.95
    assert told["check"]["equal_labels"] >= 0.95
    operators = {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}
    assert operators & {"MatMulInteger", "DynamicQuantizeLinear"}


@pytest.mark.usefixtures("quick")
def test_model_without_its_run_is_compared_on_made_up_texts(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "alone")
    result = kexp("export", tmp_path / "alone")
    assert result.exit_code == 0, result.output
    about = json.loads((tmp_path / "alone-onnx" / "kexp.json").read_text("utf-8"))
    assert about["check"]["texts"] > 50
    assert (about["check"]["longest"], about["run"]) == (24, None)
    assert about["check"]["shortest"] < 8


def failed(*arguments: str | Path) -> str:
    result = kexp("export", *arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("quick")
def test_graph_of_another_model_is_found_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(path: Path, *rest: object) -> None:
        model = onnx.load(run / "onnx" / "model.onnx")
        (bias,) = [tensor for tensor in model.graph.initializer if tensor.name.endswith("classifier.bias")]
        shifted = onnx.numpy_helper.to_array(bias) + np.array([0, 0.01, 0], np.float32)
        bias.CopyFrom(onnx.numpy_helper.from_array(shifted, bias.name))
        onnx.save(model, path)

    monkeypatch.setattr(graphs, "write_graph", spoilt)
    message = failed(run, "--output", tmp_path / "made")
    assert message.startswith("the export differs from the model: ")
    assert message.endswith("; expected at most 0.0001")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_int8_that_changes_labels_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "AGREEMENT", 1.01)
    message = failed(run, "--quantize", "int8", "--output", tmp_path / "made")
    assert message.startswith("weights in int8 change the model too much: ")
    assert message.endswith("export without --quantize")
    assert list(tmp_path.iterdir()) == []


def test_model_that_the_exporter_cannot_do_is_told(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def unable(*given: object, **options: object) -> None:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(torch.onnx, "export", unable)
    result = kexp("export", run, "--output", tmp_path / "made")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "bert cannot be exported by PyTorch: no such operator",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_laid_to_the_exporter(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*given: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch.onnx, "export", full)
    result = kexp("export", run, "--output", tmp_path / "made")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        f"--output {tmp_path / 'made'}: cannot be written: No space left on device; free some space",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_export_that_exists_is_replaced_only_when_told_so(run: Path, tmp_path: Path) -> None:
    def refused(*arguments: str | Path) -> str:
        result = kexp("export", run, *arguments)
        assert result.exit_code == 2
        return result.stderr.strip()

    made = run / "onnx"
    assert refused() == f"--output {made} exists already; --force replaces it"
    (tmp_path / "own.txt").write_text("precious")
    for force in ([], ["--force"]):
        assert refused("--output", tmp_path, *force) == (
            f"--output {tmp_path} exists already; it is not an export; choose another"
        )
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    assert refused("--output", link) == f"--output {link} exists already; it is not an export; choose another"
    again = tmp_path / "again"
    for options in ([], ["--force"]):
        assert kexp("export", run, "--output", again, *options).exit_code == 0
    assert {path.name for path in again.iterdir()} == FILES
    assert refused("--format", "tflite") == "--format tflite: expected onnx"
    assert refused("--quantize", "int4") == "--quantize int4: expected int8"


def test_missing_packages_are_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    result = kexp("export", run)
    assert result.exit_code == 2
    assert result.stderr.strip() == "kexp export needs onnxruntime; pip install 'kexp[onnx]'"


@pytest.mark.usefixtures("quick")
def test_cleaning_of_the_backbone_is_told(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kexp.builtin.backbones import TinyBackbone

    monkeypatch.setattr(TinyBackbone, "clean", lambda self, text: text)
    messages: list[str] = []
    made = exporting.export(find(run), tmp_path / "made", quantize=None, force=False, progress=messages.append)
    assert made["cleaning"] == "TinyBackbone"
    assert "kexp's backbone TinyBackbone had cleaned first" in (tmp_path / "made" / "README.md").read_text("utf-8")
    assert messages == [f"exporting {run}", "comparing with PyTorch"]
