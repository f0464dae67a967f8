"""Two processes train what one trains with the same batches, to the rounding of sums: weights, losses and metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from distributed.launched import Ended, torchrun
from distributed.plain_model import without_dropout
from safetensors.torch import load_file
from support import kexp

TOLERANCE = 2e-5

SPEC = """
seeds = [1]
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "hf"
path = "{model}"
[training]
epochs = 2
max_length = 12
learning_rate = 3e-3
log_every = 1
[evaluation]
baselines = []
batch_size = 7

[variants.accumulation]
training = {{batch_size = 13, gradient_accumulation = 3, ema = 0.9, keep = 2}}
evaluation = {{calibrate = true, train = true}}
[variants.one-row]
# Of the rows of a batch the second process has none.
training = {{batch_size = 1, steps = 6, evaluate_every = 3, length_bucketing = false}}
[variants.tokens]
training = {{batch_tokens = 90, average = 2}}
[variants.uda]
labelled = {{n = 31}}
augmentation = {{unlabelled = "random-deletion"}}
objective = {{use = "uda", tsa = "linear", confidence = 0.34, temperature = 0.5}}
training = {{batch_size = 5, unlabelled_ratio = 3}}
[variants.freematch]
labelled = {{n = 31}}
augmentation = {{unlabelled = "random-deletion"}}
objective = {{use = "freematch", momentum = 0.9}}
training = {{batch_size = 5, unlabelled_ratio = 3}}
[variants.gradual]
freezing = "gradual"
training = {{batch_size = 13, epochs = 3}}
[variants.frozen]
freezing = {{use = "bottom-layers", layers = 1}}
training = {{batch_size = 13}}
[variants.adapter]
backbone = {{adapter = {{use = "lora", target = "all-linear"}}}}
freezing = {{use = "bottom-layers", layers = 1}}
training = {{batch_size = 13}}
[variants.pretrained]
pretraining = {{steps = 5, batch_size = 11, learning_rate = 1e-3}}
training = {{batch_size = 13}}
"""
"""Variants whose batches have odd numbers of rows, so that the two processes have different ones."""

VARIANTS = ("accumulation", "one-row", "tokens", "uda", "freematch", "gradual", "frozen", "adapter", "pretrained")


@dataclass(frozen=True, slots=True)
class Experiment:
    """The folder of an experiment, by what it was run in."""

    folder: Path
    ended: Ended | None = None

    def run(self, variant: str) -> Path:
        return self.folder / variant / "seed-1"

    def result(self, variant: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.run(variant) / "result.json").read_text())
        assert result["status"] == "done", result
        return result

    def events(self, variant: str, name: str) -> list[dict[str, Any]]:
        events = map(json.loads, (self.run(variant) / "metrics.jsonl").read_text().splitlines())
        return [event for event in events if event["event"] == name]

    def weights(self, variant: str, model: str = "model") -> Mapping[str, torch.Tensor]:
        return load_file(self.run(variant) / model / "model.safetensors")


@pytest.fixture(scope="module")
def spec(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("equal")
    table = pd.read_csv(reviews).iloc[:140]
    table.to_csv(folder / "data.csv", index=False)
    without_dropout(folder / "plain", table["text"].tolist())
    path = folder / "equal.toml"
    path.write_text(SPEC.format(data=folder / "data.csv", model=folder / "plain"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def alone(spec: Path) -> Experiment:
    # Of its own: what is stored in a cache would be taken from there, and not made by two processes.
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KEXP_CACHE_DIR", str(spec.parent / "cache of one"))
        ended = kexp("run", spec, "--runs-dir", spec.parent / "one", "--quiet")
    assert ended.exit_code == 0, ended.output
    (folder,) = (spec.parent / "one" / "equal").iterdir()
    return Experiment(folder)


@pytest.fixture(scope="module")
def both(spec: Path) -> Experiment:
    own = {"KEXP_CACHE_DIR": str(spec.parent / "cache of two")}
    ended = torchrun("-m", "kexp", "run", spec, "--runs-dir", spec.parent / "two", "--quiet", environment=own)
    assert ended.status == 0, ended.errors
    (folder,) = (spec.parent / "two" / "equal").iterdir()
    return Experiment(folder, ended)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_train_what_one_trains(variant: str, alone: Experiment, both: Experiment) -> None:
    one, two = alone.result(variant), both.result(variant)
    models = ["model", "model-2"] if variant == "accumulation" else ["model"]
    for model in models:
        weights, expected = both.weights(variant, model), alone.weights(variant, model)
        assert weights.keys() == expected.keys()
        for name, values in expected.items():
            torch.testing.assert_close(weights[name], values, atol=TOLERANCE, rtol=0, msg=f"{variant} {model} {name}")
    for split in one["metrics"]:
        assert two["metrics"][split] == pytest.approx(one["metrics"][split], abs=1e-4), split
    assert (two["steps"], two["kept_step"]) == (one["steps"], one["kept_step"])
    assert two.get("kept_models", [])[:1] == [] or len(two["kept_models"]) == len(one["kept_models"])
    assert two["processes"] == 2
    assert "processes" not in one
    for name in ("loss", "gradient_norm", "learning_rate"):
        found, expected = ([event[name] for event in run.events(variant, "step")] for run in (both, alone))
        assert found == pytest.approx(expected, abs=2e-4), name
    logs, expected = ([event["logs"] for event in run.events(variant, "step")] for run in (both, alone))
    assert len(logs) == len(expected)
    for found, known in zip(logs, expected, strict=True):
        assert found == pytest.approx(known, abs=2e-4)


def test_rows_and_tokens_of_a_step_are_those_of_all_processes(alone: Experiment, both: Experiment) -> None:
    for variant in ("accumulation", "uda"):
        found, expected = (run.result(variant) for run in (both, alone))
        counts = [result["examples_per_second"] * result["train_seconds"] for result in (found, expected)]
        assert counts[0] == pytest.approx(counts[1])


def test_hidden_states_and_pretraining_are_made_once_and_used_by_both(alone: Experiment, both: Experiment) -> None:
    for variant in ("gradual", "frozen"):
        found, expected = (run.result(variant)["hidden_states"] for run in (both, alone))
        assert found == expected
    assert both.result("pretrained")["pretraining"]["stored"] is False
    losses = [run.result("pretrained")["pretraining"]["train_loss_after"] for run in (both, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_one_process_writes_and_shows(both: Experiment) -> None:
    assert both.ended is not None
    assert both.ended.output.count(str(both.folder)) == 1
    names = [path.name for path in both.folder.iterdir()]
    assert sorted(names) == sorted(
        [".lock", *VARIANTS, "environment.json", "report.html", "rows.npz", "spec.toml", "summary.json"]
    )
    assert json.loads((both.folder / "environment.json").read_text())["processes"] == 2
    for variant in VARIANTS:
        steps = [event["step"] for event in both.events(variant, "step")]
        assert steps == sorted(set(steps))


def test_predictions_are_of_all_rows_in_their_order(alone: Experiment, both: Experiment) -> None:
    found, expected = (pd.read_parquet(run.run("uda") / "predictions.parquet") for run in (both, alone))
    assert found["row"].tolist() == expected["row"].tolist()
    assert found["label"].tolist() == expected["label"].tolist()
    numbers = [name for name in found if name.startswith("probability:")]
    pd.testing.assert_frame_equal(found[numbers], expected[numbers], atol=1e-4, check_exact=False)
