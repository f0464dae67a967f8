"""``kexp publish RUN --to FOLDER``: the files, the card, what is refused, and what stays private."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from published_runs import trained
from support import kexp, tiny_spec
from transformers import pipeline

from kexp.inference.export import TOLERANCE
from kexp.publish import check, choose, public
from kexp.publish.card import md
from kexp.trained import load

TEXTS = ["3번째 영화 최고 배우 3 정말", "지루하다", "무난 " * 40, ""]


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(reviews, tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def published(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish once for all tests."""
    folder = tmp_path_factory.mktemp("published") / "리뷰 모델 (1)"
    result = kexp("publish", run, "--to", folder, "--licence", "apache-2.0", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["folder"] == str(folder)
    assert told["licence"] == "apache-2.0"
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may change."""
    return Path(shutil.copytree(run, tmp_path / "runs" / run.parent.name / run.name))


def refused(*arguments: str | Path, status: int = 2) -> str:
    result = kexp("publish", *arguments)
    assert result.exit_code == status, result.output
    return result.stderr


def best_seed(run: Path) -> int:
    scores = {}
    for seed in (1, 2, 3):
        found = json.loads((run / f"default/seed-{seed}/result.json").read_text("utf-8"))["metrics"]["validation"]
        scores[seed] = (-found["macro_f1"], found["cross_entropy"], seed)
    return min(scores, key=lambda seed: scores[seed])


def test_transformers_and_kexp_answer_as_the_run(run: Path, published: Path) -> None:
    expected = load(run / f"default/seed-{best_seed(run)}").predict(TEXTS)
    of_kexp = load(published)
    assert np.array_equal(of_kexp.predict(TEXTS), expected)
    classify: Any = pipeline("text-classification", model=str(published), device="cpu")
    for text, row in zip(TEXTS, expected, strict=True):
        found = {one["label"]: one["score"] for one in classify(text.strip(), truncation=True, top_k=None)}
        assert [found[label] for label in of_kexp.labels] == pytest.approx(row, abs=TOLERANCE)
    assert set(of_kexp.labels) == {"좋음", "나쁨", "보통"}
    assert "좋음" in (published / "config.json").read_text("utf-8")


def test_folder_holds_the_model_its_card_and_nothing_else(published: Path) -> None:
    assert sorted(path.name for path in published.iterdir()) == [
        "README.md", "checksums.json", "config.json", "model.safetensors", "spec.toml", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip


def test_metadata_is_what_the_hub_reads(run: Path, published: Path) -> None:
    card = ModelCard.load(published / "README.md", ignore_metadata_errors=False)
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert (data["language"], data["library_name"], data["pipeline_tag"]) == (
        "ko",
        "transformers",
        "text-classification",
    )
    # Nothing is claimed of a model on the hub where there was none.
    assert "base_model" not in data
    assert "datasets" not in data
    result = json.loads((run / f"default/seed-{best_seed(run)}/result.json").read_text("utf-8"))
    found = {
        (one.dataset_split, one.metric_name): (one.metric_type, one.metric_value) for one in card.data.eval_results
    }
    for split, scores in result["metrics"].items():
        assert {name: found[split, name][1] for name in scores} == scores
    assert found["test", "macro_f1"][0] == "f1"
    assert found["test", "mcc"][0] == "matthews_correlation"


def test_card_says_what_the_run_shows(run: Path, published: Path) -> None:
    card = (published / "README.md").read_text("utf-8")
    summary = json.loads((run / "summary.json").read_text("utf-8"))["variants"]["default"]
    assert "# 리뷰 모델 (1)\n" in card
    assert "영화 리뷰 (짧은 글) \\| 세 가지" in card
    labels = summary["data"]["labels"]
    for name in ("좋음", "나쁨", "보통"):
        assert (
            f"| {name} | {' | '.join(str(labels[split][name]) for split in ('train', 'validation', 'test'))} |" in card
        )
    mean = summary["metrics"]["test"]["accuracy"]
    interval = f"{mean['mean']:.4f} (95 % interval {mean['low']:.4f} to {mean['high']:.4f})"
    assert f"| mean over 3 seeds | {interval if mean['low'] is not None else mean['mean']}" in card
    for name, scores in summary["baselines"].items():
        assert f"| baseline {name} | {scores['test']['accuracy']:.4f} |" in card
    assert f"seed {best_seed(run)} of 3, the best on validation" in card
    assert (
        "Its weights were trained from scratch, and its vocabulary was made from the texts of the train split." in card
    )
    assert "the data (table): not known" in card
    spec = card.partition("```toml\n")[2].partition("\n```")[0]
    assert 'use = "tiny"' in spec
    assert "epochs = 2" in spec
    assert "[search" not in spec
    findings = [one["text"] for one in json.loads((run / "summary.json").read_text("utf-8"))["findings"]]
    assert findings
    for text in findings:
        assert f"- {md(text)}" in card


def test_best_seed_is_chosen_by_validation_and_said(run: Path, tmp_path: Path) -> None:
    result = kexp("publish", run.parent, "--to", tmp_path / "model", "--licence", "mit")
    assert result.exit_code == 0, result.output
    assert f"seed {best_seed(run)} of 3, the best on validation: validation macro_f1" in result.stderr
    assert f"seed-{best_seed(run)}, licence mit" in result.stdout


def test_a_seed_that_is_best_on_test_alone_is_not_chosen(copy: Path) -> None:
    for seed, (validation, test, loss) in {1: (0.7, 0.99, 0.1), 2: (0.8, 0.1, 0.4), 3: (0.8, 0.2, 0.3)}.items():
        path = copy / f"default/seed-{seed}/result.json"
        result = json.loads(path.read_text("utf-8"))
        del result["checksum"]
        result["metrics"]["validation"] |= {"macro_f1": validation, "cross_entropy": loss}
        result["metrics"]["test"]["macro_f1"] = test
        path.write_text(json.dumps(result), "utf-8")
    # Ties go to the lower loss on validation.
    assert choose.choose(copy).result["seed"] == 3
    assert choose.choose(copy / "default").result["seed"] == 3
    assert choose.choose(copy, seed=1).result["seed"] == 1


def test_what_names_no_single_model_is_refused(run: Path, copy: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copy, copy.with_name("20270101T000000Z-00000000")))
    assert f"holds 2 run folders: {copy.name}, {other.name}; name one" in refused(copy.parent, "--to", tmp_path / "x")
    shutil.copytree(copy / "default/seed-1/model", tmp_path / "plain")
    assert "is not the model of a run" in refused(tmp_path / "plain", "--to", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert "does not exist" in refused(tmp_path / "nothing", "--to", tmp_path / "x")


def test_existing_folders_are_kept(published: Path, run: Path, tmp_path: Path) -> None:
    arguments = (run, "--licence", "mit", "--seed", "1", "--to")
    assert "exists already; --force replaces it" in refused(*arguments, published)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years", "utf-8")
    assert "is no published model; choose another" in refused(*arguments, tmp_path / "mine", "--force")
    assert (tmp_path / "mine" / "thesis.txt").read_text("utf-8") == "three years"
    shutil.copytree(published, tmp_path / "again")
    result = kexp("publish", *arguments, tmp_path / "again", "--force")
    assert result.exit_code == 0, result.output
    assert ModelCard.load(tmp_path / "again" / "README.md").data.license == "mit"


def test_unknown_licence_asks_for_one(run: Path, tmp_path: Path) -> None:
    message = refused(run, "--to", tmp_path / "model", "--seed", "1")
    assert "the data (table): not known; if you may publish a model made from it" in message
    assert "--licence apache-2.0" in message
    assert not list(tmp_path.iterdir())
    assert 'unknown; did you mean "apache-2.0"?' in refused(run, "--to", tmp_path / "m", "--licence", "apache-2")
    result = kexp("publish", run, "--to", tmp_path / "model", "--seed", "1", "--despite-licence")
    assert result.exit_code == 0, result.output
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    assert ModelCard(card).data.license == "unknown"
    assert "The licence of this model is not stated." in card


def test_another_answer_of_transformers_is_an_error_that_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check._by_transformers

    def wrong(*arguments: Any) -> Any:
        probabilities = found(*arguments)
        probabilities[3, :2] += (0.001, -0.001)
        return probabilities

    monkeypatch.setattr(check, "_by_transformers", wrong)
    message = refused(run, "--to", tmp_path / "model", "--seed", "1", "--licence", "mit", status=1)
    assert "probabilities differ by 1.0e-03, expected at most 0.0001" in message
    assert not list(tmp_path.iterdir())


# --- what stays private -----------------------------------------------------------------------------------------------

SECRET = "hf_" + "Zq7" * 11
PLANTED = ("kim-cheolsu", "lab-server-07", SECRET, "s3cr3t-pass", "internal.example", "/data/", "private-project")


@pytest.fixture
def planted(reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run whose spec, files and surroundings hold what nobody else may see."""
    home = tmp_path / "data" / "kim-cheolsu"
    (home / "lab-server-07").mkdir(parents=True)
    data = Path(shutil.copy(reviews, home / "lab-server-07" / "평가.csv"))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr(getpass, "getuser", lambda: "kim-cheolsu")
    monkeypatch.setattr(platform, "node", lambda: "lab-server-07.internal.example")
    for remembered in (public._own_names, public._own_folders):
        remembered.cache_clear()
    top = f"""
description = '''Run by kim-cheolsu on lab-server-07, from {data}, with {SECRET}
and https://user:s3cr3t-pass@internal.example/x'''
"""
    tables = """
[[trackers]]
use = "mlflow"
experiment = "private-project"
uri = "http://user:s3cr3t-pass@internal.example:5000"
"""
    run = trained(data, home, spec=tiny_spec(top, "", epochs=1), name="실험")
    spec = run / "spec.toml"
    spec.write_text(spec.read_text("utf-8").replace("trackers = []\n", "", 1) + tables, "utf-8")
    model = run / "default/seed-1/model"
    shutil.copy(data, model / "train.txt")
    (model / "notes.json").write_text(json.dumps({"by": "kim-cheolsu"}), "utf-8")
    for name in ("config.json", "tokenizer_config.json"):
        config = json.loads((model / name).read_text("utf-8"))
        config |= {"_name_or_path": str(home / "base"), "name_or_path": "kim-cheolsu/x", "vocab_file": str(home / "v")}
        (model / name).write_text(json.dumps(config), "utf-8")
    (model / "checksums.json").unlink()
    yield run
    for remembered in (public._own_names, public._own_folders):
        remembered.cache_clear()


def test_nothing_private_is_published(planted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    result = kexp("publish", planted, "--to", folder, "--licence", "mit")
    assert result.exit_code == 0, result.output
    content = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(content) >= {"README.md", "spec.toml", "config.json", "model.safetensors", "tokenizer.json"}
    assert not {"train.txt", "notes.json"} & set(content)
    found = [(name, word) for name, of in content.items() for word in (*PLANTED, str(tmp_path)) if word.encode() in of]
    assert found == []
    texts = pd.read_parquet(planted / "default/seed-1/predictions.parquet")["text"]
    assert not [text for text in texts for name, of in content.items() if text.encode() in of]
    # What stays is what it was.
    assert 'path = "평가.csv"' in content["spec.toml"].decode()
    assert "Run by *** on ***, from 평가.csv, with ***" in content["spec.toml"].decode()
    assert yaml.safe_load(content["README.md"].decode().split("---")[1])["license"] == "mit"
