"""The optimisers of a spec, each with the groups of parameters that a model has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kexp.devices import Hardware
from kexp.errors import KexpError
from kexp.model.blocks import Blocks
from kexp.spec.training_section import Training

if TYPE_CHECKING:
    import torch

Groups = list[dict[str, Any]]


def make_optimizer(blocks: Blocks, options: Training) -> torch.optim.Optimizer:
    """Return the optimiser with the learning rate and weight decay of each parameter."""
    groups = blocks.parameter_groups(options.learning_rate, options.weight_decay, options.layer_decay)
    makers = {"adamw": _adamw, "adamw-8bit": _adamw_8bit, "adafactor": _adafactor}
    return makers[options.optimizer](groups, options, blocks)


def need_device(options: Training, hardware: Hardware) -> None:
    """Raise ``KexpError`` where the optimiser does not work on a device."""
    device = hardware.device.type
    if options.optimizer == "adamw-8bit" and device != "cuda":
        found = f'"adamw-8bit" of bitsandbytes needs a CUDA device, and training runs on {device}'
        raise KexpError(f'training.optimizer: {found}; use "adafactor" or "adamw"')


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """What checkpoints hold of an optimiser."""

    optimizer: torch.optim.Optimizer
    blocks: Blocks

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every parameter and the options of every group."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it, also from a checkpoint of an earlier version, which had groups of every block by itself."""
        own = self.optimizer.state_dict()["param_groups"]
        if len(state["param_groups"]) != len(own):
            parameters = (parameter for group in self.optimizer.param_groups for parameter in group["params"])
            places = {id(parameter): place for place, parameter in enumerate(parameters)}
            by_block = [places[id(parameter)] for _, parameter in self.blocks.parameters()]
            state = {"state": {by_block[number]: of for number, of in state["state"].items()}, "param_groups": own}
        self.optimizer.load_state_dict(dict(state))


def describe(optimizer: torch.optim.Optimizer, options: Training) -> dict[str, Any]:
    """Return the name of an optimiser, the class that does its steps, and the MiB of its state."""
    kind = type(optimizer)
    return {
        "name": options.optimizer,
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "state_mib": state_bytes(optimizer) / 2**20,
    }


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the memory of what an optimiser keeps of the parameters that it has moved; shared tensors count once."""
    import torch

    tensors = {id(value): value for state in optimizer.state.values() for value in state.values()}
    return sum(value.nbytes for value in tensors.values() if isinstance(value, torch.Tensor))


def _adamw(groups: Groups, options: Training, blocks: Blocks) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas, eps=options.epsilon, fused=True)


def _adamw_8bit(groups: Groups, options: Training, blocks: Blocks) -> torch.optim.Optimizer:
    """Return AdamW with moments of 8 bits in blocks of 256 (Dettmers et al. 2022); those of embeddings have 32 bits."""
    import torch

    optim: Any = import_module("bitsandbytes.optim")
    optimizer: torch.optim.Optimizer = optim.AdamW8bit(
        groups, lr=options.learning_rate, betas=options.betas, eps=options.epsilon
    )
    # A manager of its own: that of the process knows parameters by addresses, which those of a later run may have.
    manager = object.__new__(optim.GlobalOptimManager)
    manager.initialize()
    embeddings = [module.weight for module in blocks.model.modules() if isinstance(module, torch.nn.Embedding)]
    manager.override_config(embeddings, "optim_bits", 32)
    manager.register_parameters(optimizer.param_groups)
    optimizer.mng = manager  # type: ignore[attr-defined]
    return optimizer


def _adafactor(groups: Groups, options: Training, blocks: Blocks) -> torch.optim.Optimizer:
    """Return Adafactor with the stated learning rate (Shazeer & Stern 2018, algorithms 4 and 5, without momentum).

    Not that of PyTorch, which multiplies the learning rate by the size of the weights and bounds it by 1/sqrt(t), adds
    no epsilon to squared gradients, and lets a GPU wait twice per parameter.
    """
    from transformers.optimization import Adafactor

    return Adafactor(groups, lr=options.learning_rate, scale_parameter=False, relative_step=False)  # type: ignore[no-untyped-call]
