"""A model as blocks from the input upwards, for freezing and for learning rates by layer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.contracts.freezing import block_names
from kexp.trained_weights import fixed_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Blocks:
    """Block names in order (embeddings, layer.0 ... layer.n, head) and the block of every module of the model."""

    names: tuple[str, ...]
    block_of: Mapping[str, str]
    model: PreTrainedModel

    def apply_freezing(self, frozen: Collection[str]) -> int:
        """Freeze these blocks, in eval mode, and train all others; return the number of trainable parameters.

        Weights that an adapter fixes are never trained.
        """
        for name, module in self.model.named_modules():
            module.training = self.block_of[name] not in frozen
        trainable, fixed = 0, fixed_weights(self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name not in fixed and self.block_of[name.rpartition(".")[0]] not in frozen)
            trainable += parameter.numel() if parameter.requires_grad else 0
        return trainable

    def parameter_groups(self, learning_rate: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
        """Return groups of an optimiser: ``learning_rate * layer_decay ** distance`` to the head.

        Biases and norms have no weight decay. Weights that an adapter fixes are in no group. What has the same rate and
        decay is one group, so that a GPU updates it in a few launches: two groups without layer decay. Layer-wise decay
        as in ELECTRA's fine-tuning (Clark et al. 2020, appendix B), also known as discriminative fine-tuning (Howard &
        Ruder 2018, section 3.2).
        """
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for block, parameter in self.parameters():
            rate = learning_rate * layer_decay ** (len(self.names) - 1 - block)
            groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
        return [
            {"params": parameters, "base_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]

    def parameters(self) -> list[tuple[int, torch.nn.Parameter]]:
        """Return the number of its block with every parameter: by block, and in each what is no matrix first.

        Weights that an adapter fixes are left out.
        """
        fixed = fixed_weights(self.model)
        found = [
            (self.names.index(self.block_of[name.rpartition(".")[0]]), parameter)
            for name, parameter in self.model.named_parameters()
            if name not in fixed
        ]
        return sorted(found, key=lambda one: (one[0], one[1].ndim > 1))


def find_blocks(model: PreTrainedModel) -> Blocks:
    """Find the embeddings, the layers and the head of any encoder of transformers.

    The layers are the list of ``num_hidden_layers`` modules inside the base model, or of ``num_hidden_groups`` where
    layers share their weights (ALBERT), or several such lists beside each other (XLM). What stands beside the lists
    belongs to the block that it is a part of.
    """
    import torch

    base = f"{model.base_model_prefix}."
    count = getattr(model.config, "num_hidden_groups", model.config.num_hidden_layers)
    modules = dict(model.named_modules())
    lists = [
        f"{name}."
        for name, module in modules.items()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and name.startswith(base)
    ]
    # XLM has a list for each part of its layers, all beside the first one; other lists are parts of a layer.
    stacks = [name for name in lists if name.count(".") == lists[0].count(".")]
    names = block_names(count if stacks else 0)
    block_of = {}
    for name, module in modules.items():
        if stack := next((one for one in stacks if name.startswith(one)), None):
            block_of[name] = f"layer.{name.removeprefix(stack).split('.')[0]}"
        elif name.startswith(base):
            relative = f"{name.rpartition('.')[0]}.rel_embeddings" in modules
            # Some are called by their tables' letters alone, such as GPT-2's "wte".
            table = isinstance(module, torch.nn.Embedding)
            path = name.removeprefix(base)
            block_of[name] = names[0] if table else _block_beside_layers(path, names, relative=relative)
        else:
            block_of[name] = "head"
    return Blocks(names, block_of, model)


def _block_beside_layers(path: str, names: Sequence[str], *, relative: bool) -> str:
    """Return the block of a module of the base model that is in no layer; ``relative`` if beside relative positions."""
    # Projections of embeddings and positions that layers share are embeddings, and so is DeBERTa's norm of the latter.
    if "emb" in path or "relative_attention_bias" in path or (relative and path.endswith("LayerNorm")):
        return "embeddings"
    _, *layers, head = names
    # DeBERTa-v2 adds a convolution to what its first layer returns.
    if layers and path.startswith("encoder.conv"):
        return layers[0]
    # A norm after the last layer belongs to it: it is pre-trained with it, and other families have it inside the layer.
    if layers and ("norm" in path.lower() or re.search(r"(^|\.)ln(_f)?$", path)) and "pooler" not in path:
        return layers[-1]
    return head
