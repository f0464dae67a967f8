"""The runs folder as the page sees it, and what a page may not ask for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kexp.errors import KexpError
from kexp.evaluate.attributions import attribute_words
from kexp.ui.library import Library


def make_run(folder: Path, key: str, *, done: bool = True) -> Path:
    path = folder / key
    path.mkdir(parents=True)
    spec = (
        'name = "x"\n[objective]\nuse = "cross-entropy"\n[variants.focal]\nobjective = {use = "focal", gamma = 2.0}\n'
    )
    (path.parent.parent / "spec.toml").write_text(spec)
    experiment, variant, seed = key.split("/", maxsplit=1)[0], *key.split("/")[2:]
    events = [
        {"event": "started", "step": 0, "total_steps": 20},
        {"event": "step", "step": 10, "epoch": 0.5, "loss": 1.0, "learning_rate": 0.1},
        {
            "event": "evaluation",
            "step": 20,
            "epoch": 1.0,
            "train_loss": 0.9,
            "metrics": {"accuracy": 0.5},
            "best": True,
            "seconds": 0.1,
        },
    ]
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, events)) + '\n{"event": "st')
    if done:
        result = {
            "status": "done",
            "experiment": experiment,
            "variant": variant,
            "seed": int(seed.removeprefix("seed-")),
            "labels": ["a", "b"],
            "metrics": {"test": {"accuracy": 0.75}},
            "monitor": "accuracy",
            "train_seconds": 2.0,
        }
        (path / "result.json").write_text(json.dumps(result))
    return path


def test_runs_are_listed_newest_first_with_their_state(tmp_path: Path) -> None:
    make_run(tmp_path, "x/20260101T000000Z-aa/plain/seed-1")
    going = make_run(tmp_path, "x/20260102T000000Z-bb/focal/seed-3", done=False)
    left = make_run(tmp_path, "x/20260103T000000Z-cc/plain/seed-1", done=False)
    os.utime(left / "metrics.jsonl", (0, 0))
    runs = Library(tmp_path).runs()
    assert [(run.started, run.variant, run.seed, run.status) for run in runs] == [
        ("20260103T000000Z", "plain", 1, "interrupted"),
        ("20260102T000000Z", "focal", 3, "running"),
        ("20260101T000000Z", "plain", 1, "done"),
    ]
    assert (runs[1].step, runs[1].total_steps) == (20, 20)
    assert runs[2].metrics["test"]["accuracy"] == 0.75
    assert Library(tmp_path).result(runs[1].key) == {}
    assert going.name == "seed-3"


def test_curves_are_columns_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    make_run(tmp_path, "x/20260101T000000Z-aa/plain/seed-1")
    curves = Library(tmp_path).curves("x/20260101T000000Z-aa/plain/seed-1")
    assert curves["steps"] == {"epoch": [0.5], "loss": [1.0], "learning_rate": [0.1]}
    assert curves["evaluations"] == {"epoch": [1.0], "train_loss": [0.9], "accuracy": [0.5]}


def test_the_validation_loss_has_its_curve_where_it_is_no_metric(tmp_path: Path) -> None:
    key = "x/20260101T000000Z-aa/plain/seed-1"
    path = make_run(tmp_path, key) / "metrics.jsonl"
    event = {"event": "evaluation", "step": 20, "epoch": 1.0, "train_loss": 0.9, "validation_loss": 0.7, "best": True}
    for metrics, loss in (({"accuracy": 0.5}, 0.7), ({"accuracy": 0.5, "cross_entropy": 0.6}, 0.6)):
        path.write_text(json.dumps({**event, "metrics": metrics, "seconds": 0.1}) + "\n", "utf-8")
        assert Library(tmp_path).curves(key)["evaluations"]["cross_entropy"] == [loss]


def test_spec_of_a_run_has_the_changes_of_its_variant(tmp_path: Path) -> None:
    for variant in ("plain", "focal"):
        make_run(tmp_path, f"x/20260101T000000Z-aa/{variant}/seed-1")
    library = Library(tmp_path)
    specs = {variant: library.spec(f"x/20260101T000000Z-aa/{variant}/seed-1") for variant in ("plain", "focal")}
    assert specs["plain"]["objective"] == {"use": "cross-entropy"}
    assert specs["focal"]["objective"] == {"use": "focal", "gamma": 2.0}


@pytest.mark.parametrize(
    "key", ["", ".", "..", "x/../../etc", "/etc", "x/*/plain/seed-1", "x/20260101T000000Z-aa", "nothing"]
)
def test_keys_that_no_run_has_are_refused(tmp_path: Path, key: str) -> None:
    make_run(tmp_path, "x/20260101T000000Z-aa/plain/seed-1")
    with pytest.raises(KexpError, match="no run or study"):
        Library(tmp_path).path(key)


def test_explanation_is_what_each_word_adds() -> None:
    worth = {"정말": 0.5, "재미없다": -2.0, "배우": 0.0}

    def predict(texts):
        scores = np.array([sum(worth[word] for word in text.split()) for text in texts])
        positive = 1 / (1 + np.exp(-scores))
        return np.stack([positive, 1 - positive], axis=1)

    found = attribute_words("정말 재미없다 배우", predict)
    whole = 1 - 1 / (1 + np.exp(1.5))
    assert found.probabilities[1] == pytest.approx(whole)
    without = {"정말": 1 - 1 / (1 + np.exp(2.0)), "재미없다": 1 - 1 / (1 + np.exp(-0.5)), "배우": whole}
    assert [word for word, _ in found.words] == list(worth)
    for word, value in found.words:
        assert value == pytest.approx(whole - without[word])
    assert attribute_words("배우", predict).words == [("배우", 0.5)]
