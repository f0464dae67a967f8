"""The optimisers of a spec: steps of independent loops, the bytes that they keep, and all that a training can do."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_training import FixedStream, bits, model, trainer
from support import kexp, tiny_spec
from transformers import BertConfig, BertForSequenceClassification

from kexp.builtin.freezing import GradualUnfreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.contracts import Batch, Model, Progress, StepLoss, UnlabelledBatch
from kexp.devices import Hardware
from kexp.errors import KexpError, RunInterrupted
from kexp.model.blocks import Blocks, find_blocks
from kexp.model.token_rows import TokenRows
from kexp.seeds import derive
from kexp.spec.training_section import Training
from kexp.train.loop import Trainer
from kexp.train.optimizers import describe, make_optimizer, need_device, state_bytes

Array = NDArray[np.float64]

with_8_bits = pytest.param(
    "adamw-8bit",
    marks=pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes"),
)
every_optimizer = pytest.mark.parametrize("name", ["adamw", with_8_bits, "adafactor"])

# --- the steps -------------------------------------------------------------------------------------------------------


class PlainAdamW:
    """AdamW of one array (Loshchilov & Hutter 2019, algorithm 2)."""

    def __init__(self, decay: float) -> None:
        self.decay, self.step, self.first, self.second = decay, 0, 0.0, 0.0

    def moved(self, weights: Array, gradient: Array, rate: float) -> Array:
        self.step += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        first, second = self.first / (1 - 0.9**self.step), self.second / (1 - 0.999**self.step)
        return weights - rate * self.decay * weights - rate * first / (np.sqrt(second) + 1e-8)


class PlainAdafactor:
    """Adafactor of one array (Shazeer & Stern 2018, algorithms 4 and 5), with a stated rate and decoupled decay."""

    def __init__(self, decay: float) -> None:
        self.decay, self.step, self.rows, self.columns, self.second = decay, 0, 0.0, 0.0, 0.0

    def moved(self, weights: Array, gradient: Array, rate: float) -> Array:
        self.step += 1
        beta, squares = 1 - self.step**-0.8, gradient**2 + 1e-30
        if weights.ndim == 2:
            self.rows = beta * self.rows + (1 - beta) * squares.sum(1)
            self.columns = beta * self.columns + (1 - beta) * squares.sum(0)
            second = np.outer(self.rows, self.columns) / np.sum(self.rows)
        else:
            second = self.second = beta * self.second + (1 - beta) * squares
        update = gradient / np.sqrt(second)
        update /= max(1.0, np.sqrt(np.mean(update**2)) / 1.0)
        return weights - rate * self.decay * weights - rate * update


PLAIN = {"adamw": PlainAdamW, "adamw-8bit": PlainAdamW, "adafactor": PlainAdafactor}


def depth(name: str) -> int:
    """Return how many blocks lie between that of a parameter and the head, of a BERT with two layers."""
    if name.startswith("bert.embeddings"):
        return 3
    return 2 - int(name.split(".")[3]) if ".layer." in name else 0


@every_optimizer
def test_training_is_that_of_a_plain_loop(tmp_path: Path, name: str) -> None:
    run = trainer(
        tmp_path, net=model(0.0), epochs=2, optimizer=name, warmup_steps=3, gradient_clip=0.5, keep="last",
        weight_decay=0.1, layer_decay=0.8,
    )  # fmt: skip
    list(run.events())
    plain, stream = model(0.0).train(), FixedStream()
    state = {name_of: PLAIN[name](0.1 if p.ndim > 1 else 0.0) for name_of, p in plain.named_parameters()}
    step = 0
    for epoch in range(2):
        for (micro,) in stream.epoch(epoch):
            torch.manual_seed(derive(7, "dropout", step))
            inputs = TokenRows.of(micro.labelled.inputs, torch.device("cpu")).padded(0)
            loss = torch.nn.functional.cross_entropy(plain(**inputs).logits, torch.from_numpy(micro.labelled.labels))
            plain.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            factor = (step + 1) / 4 if step < 3 else 1 - (step - 3) / 7
            for name_of, parameter in plain.named_parameters():
                rate = 1e-2 * factor * 0.8 ** depth(name_of)
                found = state[name_of].moved(parameter.detach().double().numpy(), parameter.grad.double().numpy(), rate)
                parameter.data = torch.from_numpy(found).float()
            step += 1
    start = dict(model(0.0).named_parameters())
    for (name_of, ours), (_, theirs) in zip(run.model.named_parameters(), plain.named_parameters(), strict=True):
        if name_of.endswith("key.bias"):
            # Attention does not change with it: these are steps of rounding errors.
            continue
        if name == "adamw-8bit":
            moved = (theirs - start[name_of]).norm()
            assert (ours - theirs).norm() < 0.2 * moved, name_of
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=lambda text: f"{name_of}: {text}")  # noqa: B023


# --- the bytes -------------------------------------------------------------------------------------------------------


@every_optimizer
def test_bytes_per_parameter_are_those_of_the_documentation(name: str) -> None:
    config = BertConfig(
        vocab_size=100, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=256, num_labels=2
    )
    net = BertForSequenceClassification(config)
    options = Training(optimizer=name)
    optimizer = make_optimizer(find_blocks(net), options)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    embeddings = {id(module.weight) for module in net.modules() if isinstance(module, torch.nn.Embedding)}

    def expected(parameter: torch.nn.Parameter) -> float:
        count = parameter.numel()
        if name == "adafactor":
            return 4 * sum(parameter.shape)
        if name == "adamw" or id(parameter) in embeddings or count < 4096:
            return 8 * count
        return (2 + 8 / 256) * count

    known = {"adamw": 4, "adamw-8bit": 0, "adafactor": 4}[name] * len([*net.parameters()])
    # Of the two tables that say what the 256 numbers of 8 bits stand for.
    tables = 2 * 256 * 4 if name == "adamw-8bit" else 0
    assert state_bytes(optimizer) == sum(map(expected, net.parameters())) + known + tables
    assert describe(optimizer, options)["state_mib"] == state_bytes(optimizer) / 2**20


def test_the_class_of_an_optimizer_is_told() -> None:
    blocks = find_blocks(model())
    told = [
        describe(make_optimizer(blocks, options), options) for options in (Training(), Training(optimizer="adafactor"))
    ]
    assert told == [
        {"name": "adamw", "class": "torch.optim.adamw.AdamW", "state_mib": 0.0},
        {"name": "adafactor", "class": "transformers.optimization.Adafactor", "state_mib": 0.0},
    ]


# --- what a training does ----------------------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path: Path, name: str, stop_after: int) -> None:
    def run(folder: str) -> Trainer:
        # Large enough for states of 8 bits; embeddings, then more blocks, begin to train when it goes on.
        return trainer(tmp_path / folder, GradualUnfreezing(), net=wide(), epochs=2, optimizer=name, layer_decay=0.9)

    whole = run("whole")
    list(whole.events())
    first = run("parts")
    with pytest.raises(RunInterrupted):
        list(first.events(lambda: first.state.step == stop_after))
    second = run("parts")
    assert second.resume() == stop_after
    list(second.events())
    assert bits(second.model) == bits(whole.model)
    ours, theirs = (_tensors(of.optimizer.state_dict()["state"]) for of in (second, whole))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert any(value.dtype == torch.uint8 for value in ours) == (name == "adamw-8bit")


def test_what_has_the_same_rate_and_decay_is_one_group() -> None:
    blocks = find_blocks(model())
    parameters = [*blocks.model.parameters()]
    for options, count in [({}, 2), ({"weight_decay": 0}, 1), ({"layer_decay": 0.9}, 8)]:
        groups = make_optimizer(blocks, Training(**options)).param_groups
        assert len(groups) == count
        assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in parameters}
        assert sum(len(group["params"]) for group in groups) == len(parameters)
    decays = {p.ndim > 1: group["weight_decay"] for group in make_optimizer(blocks, Training()).param_groups for p in group["params"]}  # fmt: skip
    assert decays == {True: 0.01, False: 0.0}


def groups_by_block(blocks: Blocks, rate: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Return the groups of earlier versions: two of every block."""
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in blocks.model.named_parameters():
        block = blocks.names.index(blocks.block_of[name.rpartition(".")[0]])
        groups.setdefault((block, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": of,
            "base_lr": rate * layer_decay ** (len(blocks.names) - 1 - block),
            "weight_decay": weight_decay if is_matrix else 0.0,
        }
        for (block, is_matrix), of in sorted(groups.items(), key=lambda one: one[0])
    ]


@every_optimizer
@pytest.mark.parametrize("layer_decay", [1.0, 0.9])
def test_a_checkpoint_with_groups_by_block_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, layer_decay: float
) -> None:
    def run(folder: str) -> Trainer:
        options = {"epochs": 2, "optimizer": name, "layer_decay": layer_decay}
        return trainer(tmp_path / folder, GradualUnfreezing(), net=wide(), **options)

    with monkeypatch.context() as earlier:
        earlier.setattr(Blocks, "parameter_groups", groups_by_block)
        whole, first = run("whole"), run("parts")
        assert len(whole.optimizer.param_groups) == 6
        list(whole.events())
        with pytest.raises(RunInterrupted):
            list(first.events(lambda: first.state.step == 6))
    second = run("parts")
    assert len(second.optimizer.param_groups) == (2 if layer_decay == 1 else 6)
    assert second.resume() == 6
    list(second.events())
    assert bits(second.model) == bits(whole.model)


def wide() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16, num_labels=3,
    )  # fmt: skip
    return BertForSequenceClassification(config)


@every_optimizer
def test_nothing_is_kept_of_blocks_that_have_not_trained(tmp_path: Path, name: str) -> None:
    run = trainer(tmp_path, GradualUnfreezing(), net=model(), epochs=2, optimizer=name)
    before = bits(run.model)
    list(run.events())
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    kept = {names[id(parameter)] for parameter in run.optimizer.state}
    after = bits(run.model)
    # An attention's bias of keys has a gradient of rounding errors, which may be 0.
    assert {name for name in after if after[name] != before[name]} <= kept
    assert not {name for name in kept if name.startswith(("bert.embeddings", "bert.encoder.layer.0"))}
    assert any(name.startswith("bert.encoder.layer.1") for name in kept)


class Exploding(CrossEntropy):
    """Its gradient is not finite in these steps, counted from 1."""

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        found = super().step(model, labelled, unlabelled, progress)
        return StepLoss(found.loss * math.inf) if progress.step + 1 in (2, 7) else found


@every_optimizer
def test_steps_that_are_not_finite_leave_no_trace(tmp_path: Path, name: str) -> None:
    run = trainer(tmp_path, objective=Exploding(0.0, None), epochs=2, skip_bad_steps=2, optimizer=name)
    list(run.events())
    assert run.state.skipped == [2, 7]
    assert all(torch.isfinite(weights).all() for weights in run.model.state_dict().values())
    assert all(torch.isfinite(value).all() for value in _tensors(run.optimizer.state_dict()["state"]))


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


@every_optimizer
def test_two_runs_in_one_process_have_equal_bits(tmp_path: Path, name: str) -> None:
    ended = []
    for number in range(2):
        run = trainer(tmp_path / str(number), net=wide(), epochs=1, optimizer=name)
        list(run.events())
        ended.append(bits(run.model))
        del run
    assert ended[0] == ended[1]


# --- what is refused -------------------------------------------------------------------------------------------------


def told(**options: Any) -> list[str]:
    training = Training(**options)
    return [str(problem) for problem in (*training.problems(), *training.warnings())]


def test_what_does_not_go_with_an_optimizer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kexp.spec.training_section.is_installed", lambda package: package != "bitsandbytes")
    assert told(optimizer="adafactor") == []
    assert told(optimizer="adafactor", betas=(0.8, 0.99), epsilon=1e-6) == [
        "betas: adafactor has none; leave it out",
        "epsilon: adafactor has none; leave it out",
    ]
    missing = "optimizer: \"adamw-8bit\" needs the package bitsandbytes; pip install 'kexp[adamw-8bit]'"
    assert told(optimizer="adamw-8bit", betas=(0.8, 0.99)) == [missing]
    other = 'optimizer: "adamw-8bit" needs a CUDA device, not cpu; use "adafactor" or "adamw"'
    assert told(optimizer="adamw-8bit", device="cpu") == [other]
    monkeypatch.setattr("kexp.spec.training_section.is_installed", lambda package: True)
    assert told(optimizer="adamw-8bit") == []


def test_a_device_that_an_optimizer_does_not_work_on_is_refused() -> None:
    options = Training(optimizer="adamw-8bit")
    with pytest.raises(KexpError) as refusal:
        need_device(options, Hardware(torch.device("cpu"), "fp32"))
    assert str(refusal.value) == (
        'training.optimizer: "adamw-8bit" of bitsandbytes needs a CUDA device, and training runs on cpu; use '
        '"adafactor" or "adamw"'
    )
    need_device(options, Hardware(torch.device("cuda", 0), "bf16"))
    need_device(Training(optimizer="adafactor"), Hardware(torch.device("cpu"), "fp32"))


def test_nothing_is_written_for_a_device_that_an_optimizer_does_not_work_on(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kexp.spec.training_section.is_installed", lambda package: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    spec = tmp_path / "spec.toml"
    spec.write_text(tiny_spec(optimizer='"adamw-8bit"').format(data=reviews), encoding="utf-8")
    result = kexp("run", spec, "--runs-dir", tmp_path / "runs")
    assert result.exit_code == 2
    assert "needs a CUDA device, and training runs on cpu" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_search_may_choose_the_optimizer(reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, space = (
        tmp_path / "spec.toml",
        '[search]\ntrials = 2\nsampler = "grid"\n[search.space]\n"training.optimizer" = ',
    )
    text = tiny_spec("seeds = [1]", f'{space}{{{{choices = ["adamw", "adafactor"]}}}}', epochs=1).format(data=reviews)
    spec.write_text(text, encoding="utf-8")
    result = kexp("tune", spec, "--runs-dir", tmp_path / "runs", "--quiet")
    assert result.exit_code == 0, result.stderr
    (trials,) = (tmp_path / "runs").rglob("trials.csv")
    chosen = trials.read_text("utf-8")
    assert "adafactor" in chosen
    assert "adamw" in chosen
    monkeypatch.setattr("kexp.spec.training_section.is_installed", lambda package: False)
    spec.write_text(text.replace('"adafactor"]', '"adamw-8bit"]'), encoding="utf-8")
    result = kexp("check", spec)
    assert result.exit_code == 2
    assert "needs the package bitsandbytes; pip install 'kexp[adamw-8bit]'" in result.stderr
