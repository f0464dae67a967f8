"""A resumed experiment, and a continued study, must read what they began with."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import kexp, tiny_spec

Write = Callable[..., Path]

ROWS = [f"{number}번째 {'좋은' if number % 2 else '나쁜'} 영화,{number % 2}" for number in range(100)]


def write(data: Path, rows: list[str]) -> None:
    data.write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")


@pytest.fixture
def finished(write_spec: Write, tmp_path: Path) -> Path:
    """Run an experiment on ``data.csv`` in the test's folder and return its folder."""
    data = tmp_path / "data.csv"
    write(data, ROWS)
    spec = write_spec(tiny_spec(epochs=1, tables="[evaluation]\nbaselines = []").format(data=data))
    done = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    return Path(json.loads(done.stdout)["folder"])


def refusal(folder: Path) -> list[str]:
    """Resume an experiment, which must be refused without a change, and return the lines after the first."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = kexp("run", "--resume", folder, "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    first, *lines = result.stderr.strip().splitlines()
    remedy = f"restore it, or start a new experiment: kexp run {folder / 'spec.toml'}"
    assert first == f"{folder} cannot go on: what it reads has changed since it began; {remedy}"
    return [line.strip() for line in lines]


def test_what_is_unchanged_is_resumed(finished: Path) -> None:
    inputs = json.loads((finished / "environment.json").read_text("utf-8"))["inputs"]["default"]
    assert {split: of["rows"] for split, of in inputs["rows"].items()} == {"train": 80, "validation": 10, "test": 10}
    assert inputs["labels"] == ["0", "1"]
    resumed = kexp("run", "--resume", finished, "--json", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    environment = json.loads((finished / "environment.json").read_text("utf-8"))
    assert len(environment["resumed"]) == 1
    assert environment["inputs"]["default"] == inputs


def test_one_changed_label_is_found_in_its_split(finished: Path, tmp_path: Path) -> None:
    changed = [row[:-1] + str(1 - int(row[-1])) if number == 7 else row for number, row in enumerate(ROWS)]
    write(tmp_path / "data.csv", changed)
    lines = refusal(finished)
    # One label more of a class divides the rows otherwise: they move from split to split.
    assert any(line.startswith("default: train: 80 rows, 80 before; ") for line in lines)


def test_changed_file_of_a_split_is_named_with_its_rows(write_spec: Write, tmp_path: Path) -> None:
    for name, rows in (("data", ROWS[:80]), ("test", ROWS[80:])):
        write(tmp_path / f"{name}.csv", rows)
    text = tiny_spec(epochs=1, tables="[evaluation]\nbaselines = []", dataset=f'test = "{tmp_path}/test.csv"')
    spec = write_spec(text.format(data=tmp_path / "data.csv").replace("path =", "train ="))
    done = kexp("run", spec, "--runs-dir", tmp_path / "runs", "--json", "--quiet")
    folder = Path(json.loads(done.stdout)["folder"])
    write(tmp_path / "test.csv", [*ROWS[80:98], "다른 영화,0", "또 다른 영화,1", "하나 더,1"])
    assert refusal(folder) == ["default: test: 21 rows, 20 before; 3 are new or changed, 2 are gone"]
    write(tmp_path / "test.csv", [*reversed(ROWS[80:])])
    assert refusal(folder) == ["default: test: 20 rows, 20 before, the same in another order"]


def test_fewer_rows_are_counted(finished: Path, tmp_path: Path) -> None:
    write(tmp_path / "data.csv", ROWS[:60])
    found = [line.partition(" before")[0] for line in refusal(finished)]
    assert found[:3] == [
        "default: train: 48 rows, 80",
        "default: test: 6 rows, 10",
        "default: validation: 6 rows, 10",
    ]  # fmt: skip


@pytest.mark.parametrize("harm", ["gone", "cut", "flipped"])
def test_rows_are_compared_by_split_where_their_numbers_are_gone(finished: Path, tmp_path: Path, harm: str) -> None:
    path = finished / "rows.npz"
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        with np.load(path) as stored:
            np.savez_compressed(path, **{name: keys + np.uint64(1) for name, keys in stored.items()})
    write(tmp_path / "data.csv", [row.replace("영화", "연극") for row in ROWS])
    assert "default: test: 10 rows, 10 before, with other texts or labels" in refusal(finished)


def test_changed_weights_and_tokenizer_are_named(finished: Path, write_spec: Write, tmp_path: Path) -> None:
    model = tmp_path / "model"
    # Without its checksums, which would refuse what is changed below sooner.
    shutil.copytree(finished / "default" / "seed-1" / "model", model, ignore=shutil.ignore_patterns("checksums.json"))
    text = tiny_spec(epochs=1, tables="[evaluation]\nbaselines = []").format(data=tmp_path / "data.csv")
    head, _, rest = text.partition("[backbone]")
    spec = write_spec(f'{head}[backbone]\nuse = "hf"\npath = "{model}"\n[training]{rest.partition("[training]")[2]}')
    done = kexp("run", spec, "--runs-dir", tmp_path / "other", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if "word_embeddings" in name)
    save_file({**weights, name: weights[name] + torch.tensor(0.1)}, model / "model.safetensors", {"format": "pt"})
    assert refusal(folder) == ["default: the contents of backbone.path differ"]
    tokenizer = (model / "tokenizer.json").read_text("utf-8")
    (model / "tokenizer.json").write_text(tokenizer.replace("##영", "##엉"), "utf-8")
    assert refusal(folder) == ["default: the tokenizer is another one", "default: the contents of backbone.path differ"]


def test_a_changed_spec_is_refused_but_for_what_changes_no_step(finished: Path, tmp_path: Path) -> None:
    spec = finished / "spec.toml"
    text = spec.read_text("utf-8")
    spec.write_text(text.replace("learning_rate = 0.005", "learning_rate = 0.004"), "utf-8")
    result = kexp("run", "--resume", finished, "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"{spec} is not the one with which the experiment began; "
        f"restore it, or start a new experiment with it: kexp run {spec}\n"
    )
    moved = (tmp_path / "data.csv").rename(tmp_path / "moved.csv")
    other = text.replace(str(tmp_path / "data.csv"), str(moved))
    other = re.sub(r"(?m)^log_every = .*$", "log_every = 7", other)
    other = re.sub(r"(?m)^gradient_checkpointing = false$", "gradient_checkpointing = true", other)
    assert other.count("moved.csv") == other.count("log_every = 7\n") == other.count("checkpointing = true\n") == 1
    spec.write_text(other, "utf-8")
    resumed = kexp("run", "--resume", finished, "--quiet")
    assert resumed.exit_code == 0, resumed.stderr


def test_folder_without_digests_is_resumed(finished: Path) -> None:
    environment = json.loads((finished / "environment.json").read_text("utf-8"))
    del environment["inputs"]
    (finished / "environment.json").write_text(json.dumps(environment), "utf-8")
    assert kexp("run", "--resume", finished, "--quiet").exit_code == 0


def test_study_refuses_other_data(write_spec: Write, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    write(data, ROWS)
    tables = '[evaluation]\nbaselines = []\n[search]\ntrials = {}\n[search.space]\n"training.learning_rate" = '
    text = tiny_spec(epochs=1, tables=tables + "{{low = 1e-3, high = 1e-2}}")
    command = ("--runs-dir", tmp_path / "runs", "--study", "same")
    first = kexp("tune", write_spec(text.format(1, data=data)), *command, "--json")
    assert first.exit_code == 0, first.stderr
    # Only train rows change, by which the validation rows stay the same.
    write(data, [*ROWS, "새 영화,1"])
    result = kexp("tune", write_spec(text.format(2, data=data)), *command)
    assert result.exit_code == 2
    assert 'study "same" cannot go on: what it reads has changed since it began; restore it, or begin another ' in (
        result.stderr
    )
    assert "spec: train: 81 rows, 80 before; " in result.stderr
    write(data, ROWS)
    again = kexp("tune", write_spec(text.format(2, data=data)), *command, "--json")
    assert json.loads(again.stdout)["trials"]["complete"] == 2
