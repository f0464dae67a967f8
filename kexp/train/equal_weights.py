"""Whether several processes still train the same model: a sum of the bits of every tensor, exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp.distributed import World
from kexp.errors import RunFailed

if TYPE_CHECKING:
    import torch


def need_equal(world: World, tensors: Mapping[str, torch.Tensor], when: str) -> None:
    """Raise ``RunFailed`` in every process where tensors are not equal, to the bit, in all; the first is named."""
    import torch

    if world.size == 1:
        return
    named = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    # As many in every process, whatever it has.
    counts = world.differing(torch.tensor([len(named)]))
    found = counts or world.differing(torch.stack([bits(tensor).cpu() for tensor in named.values()]))
    if found:
        first = "the number of tensors" if counts else f"{[*named][found[0]]}, and {len(found) - 1} more"
        raise RunFailed(
            f"the {world.size} processes have different weights {when} ({first}): sums of equal numbers differ between "
            "kinds of GPUs and versions of PyTorch, or a part of the run, such as an objective or a backbone of a "
            "plugin, draws numbers that are not those of its seed; use machines that are alike, or one process"
        )


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the sum of the bits of a tensor as whole numbers, which no order of the sum changes."""
    import torch

    whole = {4: torch.int32, 8: torch.int64, 2: torch.int16}.get(tensor.element_size(), torch.uint8)
    values = tensor.detach().contiguous().reshape(-1)
    return values.view(whole).sum(dtype=torch.int64)
