"""Trained models whose plugins are absent: what predicting does not need is not missed, what it needs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import kexp
from kexp.catalog import BrokenPlugin, Catalog, Owner
from kexp.cli import app
from kexp.inference import loading
from kexp.trained import load

TRAINING = """
from pathlib import Path

import kexp
from kexp.builtin.augmenters import RandomDeletion
from kexp.contracts import MetricOptions
from kexp.builtin.objectives import OBJECTIVES

(Path(__file__).parent / "ran").touch()

class Right(MetricOptions):
    "Share of right answers."
    def build(self, context):
        return lambda labels, probabilities: float((probabilities.argmax(1) == labels).mean())

class Mine(OBJECTIVES["cross-entropy"]):
    "Cross entropy under another name."

class Fewer(RandomDeletion):
    "Random deletion under another name."

@kexp.hookimpl
def kexp_metrics():
    return {"right": Right}

@kexp.hookimpl
def kexp_objectives():
    return {"mine": Mine}

@kexp.hookimpl
def kexp_augmenters():
    return {"fewer": Fewer}
"""
BACKBONE = """
import kexp
from kexp.builtin.backbones import TinyBackbone

class Loud(TinyBackbone):
    "A tiny backbone that does not read marks of exclamation."
    def clean(self, text):
        return text.replace("!", "")

@kexp.hookimpl
def kexp_backbones():
    return {"loud": Loud}
"""
SPEC = """
{more}
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "{backbone}"
layers = 1
hidden = 32
heads = 2
vocabulary = 300
[training]
epochs = 2
batch_size = 16
max_length = 16
learning_rate = 5e-3
[plugins]
local = ["plugin.py"]
"""
NEEDLESS = 'objective = "mine"\naugmentation.labelled = "fewer"\nevaluation.metrics = ["macro_f1", "right"]'
TEXTS = ["정말 최고 영화", "3번째 영화 별로", "무난"]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def refused(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.strip()


def train(folder: Path, plugin: str, spec: str) -> Path:
    (folder / "plugin.py").write_text(plugin, encoding="utf-8")
    (folder / "reviews.toml").write_text(spec, encoding="utf-8")
    asked = ("run", folder / "reviews.toml", "--runs-dir", folder / "runs", "--allow-local-code", "--json", "--quiet")
    result = call(*asked)
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"])


@pytest.fixture(scope="module")
def ordinary(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model for which a local file was needed in training only."""
    spec = SPEC.format(data=reviews, more=NEEDLESS, backbone="tiny")
    folder = train(tmp_path_factory.mktemp("ordinary"), TRAINING, spec)
    (folder.parents[2] / "ran").unlink()
    return folder


@pytest.fixture(scope="module")
def loud(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model whose backbone is in a local file."""
    return train(tmp_path_factory.mktemp("loud"), BACKBONE, SPEC.format(data=reviews, more="", backbone="loud"))


@pytest.fixture
def moved(loud: Path, tmp_path: Path) -> Callable[[str, str], Path]:
    """Return a function that copies the run folder and says where it is and who provided its backbone."""

    def move(old: str, new: str) -> Path:
        shutil.copytree(loud, tmp_path / "moved")
        for name in ("spec.toml", "environment.json"):
            path = tmp_path / "moved" / name
            path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
        return tmp_path / "moved"

    return move


def owner_of(folder: Path, component: str) -> str:
    owner: str = json.loads((folder / "environment.json").read_text("utf-8"))["components"][component]
    return owner


def test_predicting_misses_nothing_that_only_training_used(ordinary: Path) -> None:
    ran = ordinary.parents[2] / "ran"
    result = call("predict", ordinary, *TEXTS)
    assert result.exit_code == 0, result.output
    assert not ran.exists()
    assert call("predict", ordinary, *TEXTS, "--allow-local-code").stdout == result.stdout
    assert ran.exists()
    ran.unlink()
    found = [float(line.split("\t")[2]) for line in result.stdout.splitlines()[1:]]
    assert load(ordinary).predict(TEXTS).max(1) == pytest.approx(np.array(found), abs=1e-4)
    assert not ran.exists()


def test_measuring_needs_the_metrics_and_names_where_they_came_from(ordinary: Path, tmp_path: Path) -> None:
    pd.DataFrame({"text": TEXTS, "label": ["좋음", "나쁨", "나쁨"]}).to_csv(tmp_path / "data.csv", index=False)
    asked = ("evaluate", ordinary, "--data", tmp_path / "data.csv", "--json")
    plugin = ordinary.parents[2] / "plugin.py"
    assert refused(*asked) == (
        f'{ordinary / "spec.toml"}: evaluation: metric "right" is missing; the run had it from '
        f"{owner_of(ordinary, 'metric right')}; read {plugin}, then use --allow-local-code "
        "(in Python, allow_local_code=True)"
    )
    result = call(*asked, "--allow-local-code")
    assert result.exit_code == 0, result.output
    truth = np.array(["좋음", "나쁨", "나쁨"])
    model = load(ordinary)
    right = (np.array(model.labels)[model.predict(TEXTS).argmax(1)] == truth).mean()
    assert json.loads(result.stdout)["metrics"]["right"] == pytest.approx(right)


def test_backbone_of_a_local_file_is_used_when_somebody_allows_it(loud: Path) -> None:
    plugin = loud.parents[2] / "plugin.py"
    message = (
        f'{loud / "spec.toml"}: backbone: backbone "loud" is missing; the run had it from '
        f"{owner_of(loud, 'backbone loud')}; read {plugin}, then use --allow-local-code "
        "(in Python, allow_local_code=True)"
    )
    assert refused("predict", loud, *TEXTS) == message
    with pytest.raises(kexp.errors.KexpError) as caught:
        load(loud)
    assert str(caught.value) == message
    result = call("predict", loud, "최고!", "최고", "--allow-local-code", "--json")
    assert result.exit_code == 0, result.output
    marked, plain = (json.loads(line) for line in result.stdout.splitlines())
    assert marked["confidence"] == plain["confidence"]
    # Two models of one file are cleaned for alike, so that their texts are tokenised once.
    pair = load(loud, loud / "default" / "seed-1", allow_local_code=True)
    assert pair.members[0].pipeline == pair.members[1].pipeline


def test_exporting_takes_a_local_file_too(loud: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    assert 'backbone "loud" is missing' in refused("export", loud, "--output", tmp_path / "onnx")
    result = call("export", loud, "--output", tmp_path / "onnx", "--allow-local-code")
    assert result.exit_code == 0, result.output


def test_file_that_is_gone_or_has_changed_is_told(loud: Path, moved: Callable[[str, str], Path]) -> None:
    plugin = loud.parents[2] / "plugin.py"
    there = plugin.with_name("elsewhere.py").as_posix()
    source = moved(plugin.as_posix(), there)
    said = f'{source / "spec.toml"}: backbone: backbone "loud" is missing; the run had it from '
    owner = owner_of(source, "backbone loud")
    assert refused("predict", source, "x", "--allow-local-code") == f"{said}{owner}; name that file in plugins.local"
    environment = source / "environment.json"
    environment.write_text(environment.read_text("utf-8").replace("plugin.py", "elsewhere.py"), encoding="utf-8")
    said += owner.replace("plugin.py", "elsewhere.py")
    assert refused("predict", source, "x", "--allow-local-code") == (
        f"{said}; {there} does not exist: put it there, or change plugins.local"
    )
    Path(there).write_text(BACKBONE.replace('"loud"', '"quiet"'), encoding="utf-8")
    assert refused("predict", source, "x", "--allow-local-code") == f"{said}; {there} has changed since"


@pytest.mark.parametrize(
    ("broken", "disabled", "remedy"),
    [
        ([], [], "; install kexp-loud 1.2 from where its authors publish it"),
        (
            [BrokenPlugin("loud", Owner("kexp-loud", "2.0"), "ImportError: boom")],
            [],
            ", which could not be loaded: ImportError: boom",
        ),
        ([], [Owner("kexp-loud", "1.2")], ", which KEXP_DISABLE_PLUGINS or plugins.block leaves out"),
    ],
)
def test_missing_package_is_named_with_its_version(
    moved: Callable[[str, str], Path],
    loud: Path,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
    broken: list[BrokenPlugin],
    disabled: list[Owner],
    remedy: str,
) -> None:
    folder = moved(owner_of(loud, "backbone loud"), "kexp-loud 1.2")
    present = Catalog(catalog.registered, broken, disabled=disabled)
    monkeypatch.setattr(loading, "catalog_with", lambda plugins, allow_local_code: present)
    assert refused("predict", folder, "x") == (
        f'{folder / "spec.toml"}: backbone: backbone "loud" is missing; the run had it from kexp-loud 1.2{remedy}'
    )


def test_option_that_another_version_refuses_names_the_version_of_the_run(
    moved: Callable[[str, str], Path], loud: Path
) -> None:
    folder = moved("hidden = 32", "hiden = 32")
    assert refused("predict", folder, "x", "--allow-local-code") == (
        f'{folder / "spec.toml"}: backbone: unknown option of backbone "loud"; did you mean "hidden"?; '
        f"the run had it from {owner_of(loud, 'backbone loud')}"
    )
