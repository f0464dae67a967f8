"""Training with LoRA: the same bits after an interruption, averages, and files without what does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from small_training import Pairs, bits, model, trainer

from kexp.builtin.freezing import FreezeAllButHead, FreezeBottomLayers, GradualUnfreezing, NoFreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.builtin.objectives.mean_teacher import MeanTeacher, MeanTeacherOptions
from kexp.contracts import FreezingOptions
from kexp.contracts.adapter import Adapter
from kexp.errors import RunInterrupted
from kexp.model.adapter import add_adapter
from kexp.train.loop import Trainer
from kexp.trained_weights import fixed_weights

WAYS: dict[str, tuple[FreezingOptions, dict[str, Any]]] = {
    "plain": (NoFreezing(), {}),
    "gradual": (GradualUnfreezing(), {"layer_decay": 0.8}),
    "bottom": (FreezeBottomLayers(layers=1), {}),
    "ema": (NoFreezing(), {"ema": 0.9}),
    "average": (NoFreezing(), {"average": 2}),
    "recomputed": (NoFreezing(), {"gradient_checkpointing": True}),
    "several kept": (NoFreezing(), {"keep": 2}),
    "bf16": (NoFreezing(), {"precision": "bf16"}),
}


def adapted() -> torch.nn.Module:
    net = model()
    add_adapter(net, Adapter(use="lora", r=2, dropout=0.1, target="all-linear"), 3)
    return net


def run(folder: Path, way: str = "plain", **more: Any) -> Trainer:
    freezing, options = WAYS[way]
    net = adapted()
    return trainer(folder, freezing, net=net, **{"epochs": 3, "evaluate_every": 3, **options, **more})


@pytest.mark.parametrize("stop_after", [4, 11])
@pytest.mark.parametrize("way", WAYS)
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path: Path, way: str, stop_after: int) -> None:
    whole = run(tmp_path / "whole", way)
    start = bits(whole.model)
    list(whole.events())
    first = run(tmp_path / "parts", way)
    with pytest.raises(RunInterrupted):
        list(first.events(lambda: first.state.step == stop_after))
    second = run(tmp_path / "parts", way)
    assert second.resume() == stop_after
    list(second.events())
    assert bits(second.model) == bits(whole.model)
    second.restore_best()
    whole.restore_best()
    assert bits(second.model) == bits(whole.model)
    changed = {name for name, value in bits(whole.model).items() if value != start[name]}
    assert changed
    assert not changed & fixed_weights(whole.model)


@pytest.mark.parametrize("way", ["plain", "ema", "average", "several kept"])
def test_files_hold_no_weights_that_do_not_change(tmp_path: Path, way: str) -> None:
    trained = run(tmp_path, way)
    list(trained.events())
    files = [*tmp_path.glob("*.safetensors")]
    assert {path.name.split("-")[0] for path in files} == {"step", "weights"}
    sizes = {
        weight.shape for name, weight in trained.model.named_parameters() if name not in fixed_weights(trained.model)
    }
    large = trained.model.bert.embeddings.word_embeddings.weight.shape
    assert large not in sizes
    for path in files:
        with safe_open(path, "pt") as file:
            assert large not in {tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def test_the_optimiser_has_the_trained_parameters_alone(tmp_path: Path) -> None:
    trained = run(tmp_path)
    list(trained.events())
    expected = {id(w) for name, w in trained.model.named_parameters() if name not in fixed_weights(trained.model)}
    assert {id(weight) for group in trained.optimizer.param_groups for weight in group["params"]} == expected
    assert {id(weight) for weight in trained.optimizer.state} == expected
    assert trained.trainable == sum(w.numel() for w in trained.model.parameters() if id(w) in expected)


def test_a_frozen_block_keeps_its_matrices(tmp_path: Path) -> None:
    trained = run(tmp_path, "bottom")
    before = bits(trained.model)
    list(trained.events())
    moved = {name for name, value in bits(trained.model).items() if value != before[name]}
    assert not any("layer.0." in name for name in moved)
    assert any("layer.1." in name and "lora_B" in name for name in moved)
    assert any(name.startswith("classifier") for name in moved)
    assert any("pooler" in name for name in moved)
    head = trainer(None, FreezeAllButHead(), net=adapted(), epochs=1)  # type: ignore[arg-type]
    before = bits(head.model)
    list(head.events())
    assert not any("lora_" in name for name, value in bits(head.model).items() if value != before[name])


def test_a_teacher_is_a_copy_that_shares_what_does_not_change(tmp_path: Path) -> None:
    def make(folder: str) -> tuple[MeanTeacher, Trainer]:
        objective = MeanTeacher(MeanTeacherOptions(), CrossEntropy(0.0, None))
        return objective, trainer(tmp_path / folder, stream=Pairs(), objective=objective, net=adapted(), epochs=2)

    _, whole = make("whole")
    list(whole.events())
    _, first = make("parts")
    with pytest.raises(RunInterrupted):
        list(first.events(lambda: first.state.step == 4))
    objective, second = make("parts")
    second.resume()
    list(second.events())
    assert bits(second.model) == bits(whole.model)
    teacher = objective.teacher.of(second.model)
    fixed = fixed_weights(second.model)
    for name, weight in teacher.named_parameters():
        assert (weight is second.model.get_parameter(name)) == (name in fixed)
    assert any(not torch.equal(weight, second.model.get_parameter(name)) for name, weight in teacher.named_parameters())
