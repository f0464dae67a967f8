"""Activations that are computed again: equal bits, fewer bytes held, and models that cannot do it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import torch
from small_training import CLASSES, ROWS, FixedStream, Pairs, bits, model, trainer
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, AutoModelForSequenceClassification

from kexp.builtin.freezing import FreezeBottomLayers, GradualUnfreezing, NoFreezing
from kexp.builtin.objectives import CrossEntropy, MeanTeacherOptions, RDropOptions, UdaOptions, VatOptions
from kexp.contracts import FreezingOptions, Objective, ObjectiveContext, Progress
from kexp.errors import KexpError, RunInterrupted
from kexp.model.flat import Run
from kexp.model.forward import Classifier
from kexp.model.recomputation import recompute_activations
from kexp.model.token_rows import TokenRows
from kexp.train.loop import Trainer
from kexp.train.step import to_device

OBJECTIVES = {"uda": UdaOptions, "vat": VatOptions, "mean-teacher": MeanTeacherOptions, "r-drop": RDropOptions}


def objective(name: str) -> Objective:
    if name == "cross-entropy":
        return CrossEntropy(0.0, None)
    return OBJECTIVES[name]().build(ObjectiveContext([1] * CLASSES, ROWS, 7))


def stream(name: str) -> FixedStream:
    return FixedStream() if name in ("cross-entropy", "r-drop") else Pairs()


class Saved:
    """A tensor that a graph keeps for its backward pass."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def held(run: Trainer, *rows: Any) -> int:
    """Return how many bytes of activations are kept for the backward pass of a loss."""
    saved: WeakSet[Saved] = WeakSet()  # Graphs that end inside of the step, as those of VAT do, let go what they kept.

    def pack(tensor: torch.Tensor) -> Saved:
        kept = Saved(tensor)
        if not isinstance(tensor, torch.nn.Parameter):
            saved.add(kept)
        return kept

    with saved_tensors_hooks(pack, lambda kept: kept.tensor):
        loss = run.step.objective.step(run.step.classifier, *rows, Progress(0, 5)).loss
    assert loss.requires_grad
    gc.collect()
    storages = {kept.tensor.untyped_storage().data_ptr(): kept.tensor.untyped_storage().nbytes() for kept in saved}
    return sum(storages.values())


def watch(run: Trainer, check: Callable[[int, list[int]], None]) -> list[int]:
    """Return a list that gets the number of each layer that is run, forward or again; ``check`` is called before."""
    calls: list[int] = []
    for number, layer in enumerate(run.model.bert.encoder.layer):
        checkpoint = layer._gradient_checkpointing_func

        def watched(
            part: Run, hidden: torch.Tensor, number: int = number, checkpoint: Any = checkpoint
        ) -> torch.Tensor:
            def noted(hidden: torch.Tensor) -> torch.Tensor:
                calls.append(number)
                check(number, calls)
                return part(hidden)

            return checkpoint(noted, hidden)

        layer._gradient_checkpointing_func = watched
    return calls


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
    assert sizes[1] < sizes[0] * (0.8 if (way, name) == ("padded", "vat") else 0.25)


@pytest.mark.parametrize("way", ["flat", "padded"])
def test_bf16_ends_at_the_same_bits(tmp_path: Path, way: str) -> None:
    ended = []
    for recompute in (False, True):
        net = model(0.3, way)
        run = trainer(tmp_path / str(recompute), net=net, epochs=1, precision="bf16", gradient_checkpointing=recompute)
        list(run.events())
        ended.append(bits(net))
    assert ended[0] == ended[1]


def test_layers_after_known_hidden_states_have_the_same_gradients(tmp_path: Path) -> None:
    found = []
    for recompute in (False, True):
        run = trainer(
            tmp_path, FreezeBottomLayers(layers=1), net=model(0.3), epochs=1, gradient_checkpointing=recompute
        )
        run._unfreeze(0)
        (micro,) = next(run.stream.epoch(0))
        batch, _ = to_device(micro, torch.device("cpu"))
        classifier = replace(run.step.classifier, known_layers=1)
        rows = replace(batch.inputs, hidden=classifier.hidden(batch.inputs, 1))
        torch.manual_seed(0)
        classifier.logits(rows)[0].square().sum().backward()
        found.append({name: p.grad for name, p in run.model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert any("layer.1.attention" in name for name in found[0])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_memory_that_ends_in_the_backward_pass_halves_the_batch(tmp_path: Path) -> None:
    run = trainer(tmp_path, net=model(0.0), epochs=1, gradient_checkpointing=True)

    def check(layer: int, calls: list[int]) -> None:
        # Both layers go forward before one of them is run again.
        if len(calls) == 3:
            raise MemoryError

    watch(run, check)
    list(run.events())
    assert run.step.classifier.way == "flat"
    assert run.state.passes == 2


@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_layers_are_not_run_again(layers: int, tmp_path: Path) -> None:
    run = trainer(tmp_path, FreezeBottomLayers(layers=layers), net=model(0.3), epochs=1, gradient_checkpointing=True)
    run._unfreeze(0)
    calls = watch(run, lambda *given: None)
    for batches in run.stream.epoch(0):
        run.step(batches, run.state, run.window)
    assert run.step.classifier.way == "flat"
    assert calls == {1: [1, 1], 2: []}[layers] * 5


@pytest.mark.parametrize("policy", [NoFreezing(), FreezeBottomLayers(layers=1), GradualUnfreezing()])
def test_freezing_ends_at_the_same_bits(policy: FreezingOptions, tmp_path: Path) -> None:
    ended = []
    for recompute in (False, True):
        run = trainer(tmp_path / str(recompute), policy, epochs=3, gradient_checkpointing=recompute)
        list(run.events())
        ended.append((bits(run.model), run.state.best))
    assert ended[0] == ended[1]


def test_a_resumed_run_and_smaller_passes_have_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Classifier._forward

    def cramped(self: Classifier, module: torch.nn.Module, rows: TokenRows) -> torch.Tensor:
        if torch.is_grad_enabled() and len(rows) > 4:
            raise MemoryError
        return forward(self, module, rows)

    monkeypatch.setattr(Classifier, "_forward", cramped)

    def run(folder: str, *, recompute: bool) -> Trainer:
        return trainer(tmp_path / folder, net=model(0.3), epochs=2, gradient_checkpointing=recompute)

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


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
SPARSE = {**SIZES, "block_size": 2, "num_random_blocks": 1}
BART = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "eos_token_id": 3, "decoder_start_token_id": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "config"), [("big_bird", SPARSE), ("llama", SIZES), ("bart", BART), ("convbert", SIZES)]
)
def test_models_that_are_known_padded_alone_have_the_same_gradients(family: str, config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    stated = {"vocab_size": 30, "pad_token_id": 0, "max_position_embeddings": 40, **config}
    net = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **stated)).train()
    ids = torch.randint(4, 30, (3, 32))
    ids[:, -1] = 3

    def gradients() -> list[torch.Tensor]:
        torch.manual_seed(1)
        net.zero_grad()
        net(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.tanh().sum().backward()
        return [part.grad for part in net.parameters() if part.grad is not None]

    plain = gradients()
    recompute_activations(net)
    again = gradients()
    assert len(again) == len(plain) > 10
    assert all(torch.equal(one, other) for one, other in zip(again, plain, strict=True))


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
