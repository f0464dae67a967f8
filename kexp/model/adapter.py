"""LoRA in a classifier: matrices beside its linear maps, and the plain model that the two together are."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.contracts.adapter import Adapter
from kexp.devices import Hardware
from kexp.errors import KexpError
from kexp.model.blocks import find_blocks
from kexp.seeds import derive
from kexp.trained_weights import fix_weights, fixed_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

OPTION = "backbone.adapter"
PARTS = "lora_"
"""What the names of the modules of matrices begin with."""


def need_precision(adapter: Adapter | None, hardware: Hardware) -> None:
    """Raise ``KexpError`` where passes are not in the type in which an adapter's base is kept."""
    if adapter is not None and adapter.base == "bf16" and hardware.precision != "bf16":
        found = f'"bf16" needs training.precision "bf16", and this run computes in {hardware.precision}'
        raise KexpError(f'{OPTION}.base: {found}; set training.precision = "bf16", or leave base out')


def round_base(model: PreTrainedModel, adapter: Adapter | None) -> None:
    """Keep the linear maps of the layers in the type that the adapter says, which halves what they take in bf16.

    Passes in bf16 round them to this type anyway, so that logits stay the same to the bit.
    """
    import torch

    if adapter is not None and adapter.base == "bf16":
        for _, module in _linear_maps(model):
            for weight in module.parameters():
                weight.data = weight.data.to(torch.bfloat16)


def add_adapter(model: PreTrainedModel, adapter: Adapter, seed: int) -> str:
    """Put matrices beside the linear maps that the adapter names, and fix the other weights below the head.

    The matrices' product is zero at first, so that logits do not change. The model keeps its class and the names of its
    modules, and its head stays as it is: outside of what peft replaces, it is trained and saved like any other weight.
    Returns what was added, in words. Raises ``KexpError`` for targets that the layers do not have.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    targets = _targets(model, adapter)
    modules = dict(model.named_modules())
    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type]
        lora_dropout=adapter.dropout,
        target_modules=targets,
        use_rslora=adapter.rslora,
        use_dora=adapter.dora,
        # GPT-2's linear maps have transposed weights.
        fan_in_fan_out=isinstance(modules[targets[0]], Conv1D),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(derive(seed, "adapter"))
        inject_adapter_in_model(config, model)
    for name, weight in model.named_parameters():
        # peft gives them the type of the base.
        if f".{PARTS}" in name:
            weight.data = weight.data.float()
    block_of = find_blocks(model).block_of
    names = [name for name, _ in model.named_parameters()]
    matrices = [name for name in names if f".{PARTS}" in name]
    fix_weights(model, [n for n in names if f".{PARTS}" not in n and block_of[n.rpartition(".")[0]] != "head"])
    added = sum(model.get_parameter(name).numel() for name in matrices)
    trained = sum(weight.numel() for name, weight in model.named_parameters() if name not in fixed_weights(model))
    total = model.num_parameters()
    return (
        f"LoRA of rank {adapter.r} beside {len(targets):,} linear maps: {trained:,} of {total:,} parameters can be "
        f"trained ({trained / total:.2%}), {added:,} of the matrices and {trained - added:,} of the head"
    )


def save_classifier(model: PreTrainedModel, folder: Path) -> None:
    """Save a Hugging Face folder of the plain model, in fp32; matrices are added to the weights beside them."""
    if not fixed_weights(model):
        model.save_pretrained(folder)
    else:
        model.save_pretrained(folder, state_dict=merged_weights(model))


def merged_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights of the plain model by name, in fp32 on the CPU; the model itself is not changed."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    found = {}
    for name, value in model.state_dict().items():
        owner = next((one for one in _parents(name) if one in adapted), None)
        if owner is None:
            found[name] = value.cpu().float() if value.is_floating_point() else value.cpu()
    for name, module in adapted.items():
        # One layer at a time: a second model need not be in memory.
        layer: Any = deepcopy(module)
        layer.get_base_layer().float()
        layer.merge()
        for part, value in layer.get_base_layer().state_dict().items():
            found[f"{name}.{part}"] = value.cpu()
    return found


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _linear_maps(model: PreTrainedModel) -> list[tuple[str, torch.nn.Module]]:
    """Return the linear maps in layers by name."""
    import torch
    from transformers.pytorch_utils import Conv1D

    block_of = find_blocks(model).block_of
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and block_of[name].startswith("layer.")
    ]


def _targets(model: PreTrainedModel, adapter: Adapter) -> list[str]:
    names = [name for name, _ in _linear_maps(model)]
    title = f"{OPTION}.target: {type(model).__name__}"
    if not names:
        raise KexpError(f"{title} has no linear maps in layers that kexp knows; use another backbone")
    if adapter.target == "all-linear":
        return names
    inside = {name: _inside_layer(name) for name in names}
    if adapter.target == "attention":
        found = [name for name in names if re.search("attn|attention", name)]
        missing = [] if found else ["attention"]
    else:
        found = [name for name in names if any(f".{name}".endswith(f".{target}") for target in adapter.target)]
        missing = [target for target in adapter.target if not any(f".{name}".endswith(f".{target}") for name in names)]
    if missing:
        listed = ", ".join(dict.fromkeys(inside.values()))
        raise KexpError(f"{title} has no linear map {', '.join(missing)} in its layers; they have {listed}")
    return found


def _inside_layer(name: str) -> str:
    """Return the name of a module from its layer's number on."""
    return re.sub(r"^.*?\.\d+\.", "", name)
