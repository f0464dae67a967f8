"""Models with Python code of their own: it runs where somebody says so, whatever a folder's spec says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from support import kexp
from transformers import BertConfig, BertModel

from kexp.builtin.backbones import cased_wordpiece
from kexp.errors import KexpError
from kexp.trained import load
from kexp.ui import serve
from kexp.ui.app import make_app

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "영화", "정말", "최고", "별로", "##다"]
CODE = """
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification

Path(r"{marker}").touch()

class OwnConfig(BertConfig):
    model_type = "{kind}"

class Own(BertForSequenceClassification):
    config_class = OwnConfig

    # Python remembers a module that ran once.
    def __init__(self, *given, **named):
        Path(r"{marker}").touch()
        super().__init__(*given, **named)
"""
SPEC = """
seeds = [1]
[dataset]
use = "table"
path = "data.csv"
[cleaning]
duplicates = "keep"
contradictions = "keep"
overlap = "keep"
[backbone]
use = "hf"
path = "model"
trust_remote_code = true
[training]
epochs = 1
max_length = 16
"""


def write_model(folder: Path, marker: Path, kind: str) -> None:
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(folder)
    cased_wordpiece({token: number for number, token in enumerate(VOCABULARY)}).save_pretrained(folder)
    stated = json.loads((folder / "config.json").read_text("utf-8"))
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.Own"}
    (folder / "config.json").write_text(json.dumps({**stated, "model_type": kind, "auto_map": own}), "utf-8")
    (folder / "own.py").write_text(CODE.format(marker=marker, kind=kind), encoding="utf-8")


@pytest.fixture(scope="module", params=["own", "bert"], ids=["of-its-own-kind", "of-a-known-kind"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model has code; the marker beside the spec says that the code ran."""
    folder = tmp_path_factory.mktemp("own")
    write_model(folder / "model", folder / "ran", request.param)
    rows = [f"영화 {'정말 ' * (number % 4)}최고,{'가' if number % 2 else '나'}" for number in range(40)]
    (folder / "data.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    (folder / "spec.toml").write_text(SPEC, encoding="utf-8")
    result = kexp("run", folder / "spec.toml", "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    assert (folder / "ran").exists()
    return Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"


@pytest.fixture
def marker(run: Path) -> Path:
    path = run.parents[4] / "ran"
    path.unlink(missing_ok=True)
    return path


def refusal(run: Path) -> str:
    return (
        f"{run.parents[1] / 'spec.toml'}: backbone.trust_remote_code: the model runs Python code of its own: own.py; "
        f"read it in {run / 'model'}, then use --trust-remote-code (in Python, trust_remote_code=True)"
    )


@pytest.mark.parametrize("command", ["predict", "evaluate", "export", "publish"])
def test_no_command_runs_it_unasked(run: Path, marker: Path, command: str, tmp_path: Path) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "predict": ("영화 최고",),
        "evaluate": ("--data", marker.with_name("data.csv")),
        "export": ("--output", tmp_path / "onnx"),
        "publish": ("--to", tmp_path / "onnx", "--licence", "mit"),
    }
    for folder in (run, run / "model", run.parents[1]):
        result = kexp(command, folder, *arguments[command])
        assert result.exit_code == 2
        assert result.stderr.strip().replace(str(run.resolve()), str(run)) == refusal(run)
    assert not marker.exists()
    assert not (tmp_path / "onnx").exists()
    result = kexp(command, run, *arguments[command], "--trust-remote-code")
    assert result.exit_code == 0, result.output
    assert marker.exists()
    if command == "publish":
        assert "the model's own Python code is published as it is: own.py" in result.stderr
        card = (tmp_path / "onnx" / "README.md").read_text("utf-8")
        assert "The model runs Python code of its own, own.py" in card
        assert 'model="FOLDER", trust_remote_code=True)' in card
        expected = load(run, trust_remote_code=True).predict(["영화 최고"])
        assert np.array_equal(load(tmp_path / "onnx", trust_remote_code=True).predict(["영화 최고"]), expected)


def test_python_runs_it_on_request_alone(run: Path, marker: Path) -> None:
    with pytest.raises(KexpError) as caught:
        load(run)
    assert str(caught.value) == refusal(run)
    assert not marker.exists()
    assert load(run, trust_remote_code=True).predict(["영화 최고"]).sum() == pytest.approx(1)
    assert marker.exists()


def test_the_page_runs_it_on_request_alone(run: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = run.parents[3]
    key = run.relative_to(runs).as_posix()
    clients = []

    def served(runs_dir: Path, host: str, port: int, open_browser: bool, load: Any, page: str) -> None:
        clients.append(TestClient(make_app(runs_dir, load, ["testserver"])))

    monkeypatch.setattr(serve, "serve", served)
    for options in ((), ("--trust-remote-code",)):
        assert kexp("ui", "--runs-dir", runs, *options).exit_code == 0
    asked = {"text": "영화 최고", "runs": [key]}
    assert "use --trust-remote-code" in clients[0].post("/data/predict", json=asked).text
    assert not marker.exists()
    assert clients[1].post("/data/predict", json=asked).status_code == 200
    assert marker.exists()


def test_a_model_without_a_spec_runs_it_only_where_it_has_to(run: Path, marker: Path, tmp_path: Path) -> None:
    known = json.loads((run / "model" / "config.json").read_text("utf-8"))["model_type"] == "bert"
    shutil.copytree(run / "model", tmp_path / "model")
    result = kexp("predict", tmp_path / "model", "영화 최고")
    assert not marker.exists()
    assert result.exit_code == (0 if known else 2)
    if not known:
        assert result.stderr.strip() == (
            f"{tmp_path / 'model'}: the model runs Python code of its own: own.py; "
            f"read it in {tmp_path / 'model'}, then use --trust-remote-code (in Python, trust_remote_code=True)"
        )
    trusted = load(tmp_path / "model", trust_remote_code=True).predict(["영화 최고"])
    assert marker.exists()
    assert np.allclose(trusted, load(run, trust_remote_code=True).predict(["영화 최고"]), atol=1e-6)


def test_a_model_that_was_trained_without_its_code_is_asked_without_it(run: Path, marker: Path, tmp_path: Path) -> None:
    if json.loads((run / "model" / "config.json").read_text("utf-8"))["model_type"] != "bert":
        pytest.skip("a model of its own kind cannot be trained without its code")
    moved = Path(shutil.copytree(run.parents[1], tmp_path / "moved"))
    spec = (moved / "spec.toml").read_text("utf-8")
    (moved / "spec.toml").write_text(spec.replace("trust_remote_code = true", "trust_remote_code = false"), "utf-8")
    for options in ((), ("--trust-remote-code",)):
        assert kexp("predict", moved, "영화 최고", *options).exit_code == 0
    assert not marker.exists()
