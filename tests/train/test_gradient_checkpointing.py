"""Activations that are computed again: equal bits, fewer bytes held, and models that cannot do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import CLASSES, ROWS, FixedStream, Pairs, bits, model, trainer
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, AutoModelForSequenceClassification

from kexp.builtin.freezing import FreezeBottomLayers, GradualUnfreezing, NoFreezing
from kexp.builtin.objectives import CrossEntropy, MeanTeacherOptions, RDropOptions, UdaOptions, VatOptions
from kexp.contracts import FreezingOptions, Objective, ObjectiveContext, Progress
from kexp.errors import KexpError, RunInterrupted
from kexp.model.recomputation import recompute_activations
from kexp.train.loop import Trainer
from kexp.train.step import to_device

OBJECTIVES = {"uda": UdaOptions, "vat": VatOptions, "mean-teacher": MeanTeacherOptions, "r-drop": RDropOptions}


def objective(name: str) -> Objective:
    if name == "cross-entropy":
        return CrossEntropy(0.0, None)
    return OBJECTIVES[name]().build(ObjectiveContext([1] * CLASSES, ROWS, 7))


def stream(name: str) -> FixedStream:
    return FixedStream() if name in ("cross-entropy", "r-drop") else Pairs()


def held(run: Trainer, *rows: Any) -> int:
    """Return how many bytes of activations are kept for the backward pass of a loss."""
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = run.step.objective.step(run.step.classifier, *rows, Progress(0, 5)).loss
    assert loss.requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("name", ["cross-entropy", *OBJECTIVES])
@pytest.mark.parametrize("way", ["flat", "padded"])
def test_every_objective_ends_at_the_same_bits(tmp_path: Path, way: str, name: str) -> None:
    ended = []
    for recompute in (False, True):
        net = model(0.3, way)
        run = trainer(
            tmp_path / str(recompute), net=net, objective=objective(name), stream=stream(name), epochs=2, keep="last",
            gradient_checkpointing=recompute,
        )  # fmt: skip
        list(run.events())
        ended.append(bits(net))
    assert ended[0] == ended[1]


@pytest.mark.parametrize("name", ["cross-entropy", *OBJECTIVES])
@pytest.mark.parametrize("way", ["flat", "padded"])
def test_fewer_bytes_wait_for_the_backward_pass(tmp_path: Path, way: str, name: str) -> None:
    sizes = []
    for recompute in (False, True):
        run = trainer(
            tmp_path, net=model(0.3, way), objective=objective(name), stream=stream(name), epochs=1,
            gradient_checkpointing=recompute,
        )  # fmt: skip
        run.blocks.apply_freezing(())
        (batch,) = next(run.stream.epoch(0))
        sizes.append(held(run, *to_device(batch, torch.device("cpu"))))
    # The embeddings, the head and what enters a layer are kept. Where rows are padded, passes without dropout are kept.
    assert sizes[1] < sizes[0] * (0.9 if (way, name) == ("padded", "vat") else 0.5)


@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_layers_are_run_once(layers: int, tmp_path: Path) -> None:
    net = model(0.3)
    counts = [0, 0]

    def count(number: int) -> None:
        counts[number] += 1

    for number, layer in enumerate(net.bert.encoder.layer):
        layer.output.register_forward_pre_hook(lambda *given, number=number: count(number))
    run = trainer(tmp_path, FreezeBottomLayers(layers=layers), net=net, epochs=1, gradient_checkpointing=True)
    run._unfreeze(0)
    for batches in run.stream.epoch(0):
        run.step(batches, run.state, run.window)
    assert counts == {1: [5, 10], 2: [5, 5]}[layers]


@pytest.mark.parametrize("policy", [NoFreezing(), FreezeBottomLayers(layers=1), GradualUnfreezing()])
def test_freezing_ends_at_the_same_bits(policy: FreezingOptions, tmp_path: Path) -> None:
    ended = []
    for recompute in (False, True):
        run = trainer(tmp_path / str(recompute), policy, epochs=3, gradient_checkpointing=recompute)
        list(run.events())
        ended.append((bits(run.model), run.state.best))
    assert ended[0] == ended[1]


def test_a_resumed_run_and_smaller_passes_have_the_same_bits(tmp_path: Path) -> None:
    def run(folder: str, *, recompute: bool) -> Trainer:
        net = model(0.3)

        def check(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if module.training and len(given[0]) > 40:
                raise MemoryError

        # Inside a layer, where the backward pass comes by as well.
        net.bert.encoder.layer[1].intermediate.register_forward_pre_hook(check)
        net.bert.encoder.layer[0].intermediate.register_forward_pre_hook(check)
        return trainer(tmp_path / folder, net=net, epochs=2, gradient_checkpointing=recompute)

    plain = run("plain", recompute=False)
    list(plain.events())
    assert plain.state.passes == 2
    first = run("parts", recompute=False)
    with pytest.raises(RunInterrupted):
        list(first.events(lambda: first.state.step == 4))
    # It may be switched on where a run goes on.
    second = run("parts", recompute=True)
    assert second.resume() == 4
    list(second.events())
    assert bits(second.model) == bits(plain.model)


def test_evaluation_computes_nothing_again_and_the_saved_model_says_nothing(tmp_path: Path) -> None:
    net = model()
    before = net.config.to_dict()
    run = trainer(tmp_path, net=net, epochs=1, gradient_checkpointing=True)
    calls = []
    for layer in net.bert.encoder.layer:
        layer._gradient_checkpointing_func = lambda *given: calls.append(1)
    run.evaluate()
    assert calls == []
    assert net.config.to_dict() == before
    net.save_pretrained(tmp_path / "model")
    assert "checkpointing" not in (tmp_path / "model" / "config.json").read_text("utf-8")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert not any(getattr(part, "gradient_checkpointing", False) for part in loaded.modules())


def test_a_model_that_does_not_support_it_is_refused() -> None:
    config = AutoConfig.for_model(
        "mpnet", vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(KexpError) as refusal:
        recompute_activations(AutoModelForSequenceClassification.from_config(config))
    assert str(refusal.value) == (
        "training.gradient_checkpointing: MPNetForSequenceClassification does not support it; leave it out, or use "
        "another backbone"
    )
