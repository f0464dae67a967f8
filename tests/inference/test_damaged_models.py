"""Folders of trained models from which something is missing, or in which something is another model's."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import load_file, save_file
from support import kexp, tiny_spec

from kexp.errors import KexpError
from kexp.inference.loading import load
from kexp.model_files import CHECKSUMS

TEXTS = ["정말 최고 영화", "3번째 영화 별로"]


def train(folder: Path, reviews: Path, **options: float) -> Path:
    spec = folder / "reviews.toml"
    spec.write_text(tiny_spec("seeds = [1]", epochs=1, **options).format(data=reviews), encoding="utf-8")
    result = kexp("run", spec, "--runs-dir", folder / "runs", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["folder"]) / "default" / "seed-1"


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("one"), reviews)


@pytest.fixture(scope="module")
def other(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same data and sizes, whose weights differ."""
    return train(tmp_path_factory.mktemp("other"), reviews, learning_rate=1e-3)


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run / "model", tmp_path / "model"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def other_word(path: Path) -> None:
    """Give two pieces of a vocabulary each other's numbers, as another model's tokenizer does."""
    stated = json.loads(path.read_text("utf-8"))
    words = stated["model"]["vocab"]
    one, two = sorted(word for word in words if "가" <= word[-1] <= "힣")[:2]
    words[one], words[two] = words[two], words[one]
    path.write_text(json.dumps(stated, ensure_ascii=False), "utf-8")


def lose(path: Path, part: str) -> None:
    kept = {name: tensor for name, tensor in load_file(path).items() if part not in name}
    save_file(kept, path, metadata={"format": "pt"})


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no tokenizer": (
        lambda model: (model / "tokenizer.json").unlink(),
        "lacks tokenizer.json, which the model was saved with; copy the folder again",
    ),
    "no settings of the tokenizer": (
        lambda model: (model / "tokenizer_config.json").unlink(),
        "lacks tokenizer_config.json, which the model was saved with; copy the folder again",
    ),
    "another tokenizer": (
        lambda model: other_word(model / "tokenizer.json"),
        "tokenizer.json is not what the model was saved with; copy the folder again",
    ),
    "other settings of the tokenizer": (
        lambda model: change(model / "tokenizer_config.json", tokenize_chinese_chars=True),
        "tokenizer_config.json is not what the model was saved with",
    ),
    "a configuration of another size": (
        lambda model: change(model / "config.json", hidden_size=64),
        "weights of another shape: ",
    ),
    "a configuration of as many weights": (
        lambda model: change(model / "config.json", num_attention_heads=4),
        "config.json is not what the model was saved with; copy the folder again",
    ),
    "a configuration with swapped labels": (
        lambda model: change(model / "config.json", id2label={"0": "좋음", "1": "보통", "2": "나쁨"}),
        "config.json is not what the model was saved with; copy the folder again",
    ),
    "a configuration of fewer layers": (
        lambda model: change(model / "config.json", num_hidden_layers=3),
        "config.json says 3 layers, the weights have those of number 0",
    ),
    "no head": (lambda model: lose(model / "model.safetensors", "classifier"), "its weights lack classifier.bias"),
    "half of the weights": (lambda model: half(model / "model.safetensors"), "model.safetensors is damaged"),
    "a flipped bit": (
        lambda model: flip(model / "model.safetensors"),
        "model.safetensors is not what the model was saved with",
    ),
    "sums that cannot be read": (lambda model: half(model / CHECKSUMS), f"{CHECKSUMS} cannot be read: "),
    "sums of another form": (lambda model: (model / CHECKSUMS).write_text('{"a": 1}'), f"{CHECKSUMS} cannot be read: "),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_by_name(model: Path, tmp_path: Path, damage: str) -> None:
    apply, expected = DAMAGES[damage]
    apply(model)
    result = kexp("predict", model, *TEXTS)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert expected in result.stderr
    assert str(model) in result.stderr
    with pytest.raises(KexpError) as caught:
        load(model)
    assert str(caught.value) == result.stderr.strip()
    (tmp_path / "data.csv").write_text("text,label\n최고,좋음\n", encoding="utf-8")
    assert expected in kexp("evaluate", model, "--data", tmp_path / "data.csv").stderr
    exported = kexp("export", model, "--output", tmp_path / "onnx")
    assert exported.exit_code == 2
    assert not (tmp_path / "onnx").exists()


def test_weights_of_another_run_are_refused(model: Path, other: Path) -> None:
    shutil.copy(other / "model" / "model.safetensors", model)
    with pytest.raises(KexpError, match=r"model\.safetensors is not what the model was saved with"):
        load(model)


def test_a_changed_model_is_no_backbone_either(model: Path, reviews: Path, tmp_path: Path) -> None:
    flip(model / "model.safetensors")
    spec = tmp_path / "spec.toml"
    text = tiny_spec("seeds = [1]", epochs=1).format(data=reviews)
    start, end = text.index("[backbone]"), text.index("[training]")
    spec.write_text(f'{text[:start]}[backbone]\nuse = "hf"\npath = "model"\n{text[end:]}', encoding="utf-8")
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 2
    assert "model.safetensors is not what the model was saved with" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_what_its_owner_may_change_is_no_damage(model: Path) -> None:
    expected = load(model).predict(TEXTS)
    change(model / "tokenizer_config.json", truncation_side="left", model_max_length=15)
    config = model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8"))), "utf-8")
    (model / "README.md").write_text("mine")
    assert np.array_equal(load(model).predict(TEXTS), expected)


def test_a_change_that_is_meant_needs_the_sums_removed(model: Path) -> None:
    labels = {"0": "bad", "1": "fair", "2": "good"}
    change(model / "config.json", id2label=labels)
    (model / CHECKSUMS).unlink()
    assert list(load(model).labels) == ["bad", "fair", "good"]


def test_a_model_that_states_to_return_tuples_predicts_all_the_same(model: Path) -> None:
    expected = load(model).predict(TEXTS)
    (model / CHECKSUMS).unlink()
    change(model / "config.json", return_dict=False)
    assert np.array_equal(load(model).predict(TEXTS), expected)


def test_a_folder_without_sums_needs_a_whole_tokenizer(model: Path) -> None:
    (model / CHECKSUMS).unlink()
    (model / "tokenizer_config.json").unlink()
    # Without its settings a tokenizer of BERT takes accents off, and syllables apart.
    with pytest.raises(KexpError, match="splits Hangul into letters, which its vocabulary lacks"):
        load(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(KexpError, match=r"has no tokenizer \(tokenizer\.json or vocab\.txt\); copy it there"):
        load(model)


@pytest.mark.parametrize("length", ["long", "", [], {}, True, 0, -1, 3.5, float("inf"), float("nan")])
def test_a_length_that_is_none_is_refused(model: Path, length: object) -> None:
    change(model / "tokenizer_config.json", model_max_length=length)
    result = kexp("predict", model, "최고")
    assert result.exit_code == 2
    assert f"tokenizer_config.json says model_max_length {length!r}; expected a whole number of tokens" in result.stderr


BROKEN = ["", "{", "[]", "null", "3", '"x"', "[" * 50_000, '{"weight_map": 3}', '{"weight_map": {"a": 3}}']


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
def test_files_that_are_no_json_of_their_kind_are_refused_in_one_line(model: Path, name: str, text: str) -> None:
    (model / CHECKSUMS).unlink()
    (model / name).write_text(text)
    result = kexp("predict", model, "최고")
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert str(model) in result.stderr


# --- what the run wrote beside the model -------------------------------------------------------------------------------


@pytest.fixture
def experiment(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run.parents[1], tmp_path / "experiment"))


def refused(experiment: Path) -> str:
    result = kexp("predict", experiment, "최고")
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize("section", ["dataset", "backbone"])
@pytest.mark.parametrize("found", ["", "{} = {{}}\n", "{} = 3\n", '{} = "x"\n', "{} = [1]\n"])
def test_a_spec_without_a_section_is_refused(experiment: Path, section: str, found: str) -> None:
    table = tomllib.loads((experiment / "spec.toml").read_text("utf-8"))
    del table[section]
    (experiment / "spec.toml").write_text(found.format(section) + tomli_w.dumps(table), "utf-8")
    message = refused(experiment)
    assert message.startswith(str(experiment / "spec.toml"))
    assert section in message


@pytest.mark.parametrize("value", [3, 3.5, True, [], [1], {"a": 1}])
@pytest.mark.parametrize("key", ["text", "join_with", "label", "leave_out", "format", "encoding", "header", "columns"])
def test_a_value_of_another_type_in_the_dataset_is_refused_by_its_key(experiment: Path, key: str, value: Any) -> None:
    if (key, value) in (("header", True), ("leave_out", []), ("columns", []), ("header", {})):
        return
    table = tomllib.loads((experiment / "spec.toml").read_text("utf-8"))
    table["dataset"][key] = value
    (experiment / "spec.toml").write_text(tomli_w.dumps(table), "utf-8")
    assert refused(experiment).startswith(f"{experiment / 'spec.toml'}: dataset.{key}")


@pytest.mark.parametrize("text", ["variants = 3\n", "variants = [1]\n", "variants = {default = 3}\n"])
def test_variants_that_are_no_tables_are_refused(experiment: Path, text: str) -> None:
    path = experiment / "spec.toml"
    path.write_text(text + path.read_text("utf-8"), "utf-8")
    assert refused(experiment).startswith(f"{path}: variants")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "[" * 50_000])
@pytest.mark.parametrize("name", ["environment.json", "default/seed-1/result.json"])
def test_a_record_that_is_none_is_refused(experiment: Path, name: str, text: str) -> None:
    (experiment / name).write_text(text)
    assert refused(experiment).startswith(f"{experiment / name}: ")


@pytest.mark.parametrize("labels", [None, 3.5, "x", {}])
def test_a_record_of_other_values_is_refused_by_its_key(experiment: Path, labels: Any) -> None:
    change(experiment / "default" / "seed-1" / "result.json", labels=labels)
    path = experiment / "default" / "seed-1" / "result.json"
    assert refused(experiment).startswith(f"{path}: labels is not as kexp writes it: ")
