"""Compiling parts of a model with ``torch.compile``, whatever way rows go through it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.model.blocks import find_blocks

if TYPE_CHECKING:
    import torch

    from kexp.model.forward import Classifier

OPTIONS: dict[str, Any] = {"fallback_random": True}
"""Of PyTorch's compiler: dropout draws what it draws without compilation."""


def compile_parts(classifier: Classifier) -> None:
    """Let the parts of a model be compiled when they are first called; names of weights stay as they are."""
    import torch

    # What was compiled for another model counts among the versions of a function, of which there may be a few.
    torch.compiler.reset()
    for part in compiled_parts(classifier).values():
        # Shapes differ from batch to batch.
        part.compile(dynamic=True, options=OPTIONS)


def compiled_parts(classifier: Classifier) -> dict[str, torch.nn.Module]:
    """Return the modules that are compiled, by name.

    Padded rows go through whole layers. Without padding, the parts of layers are called one by one, and those that see
    a token by itself are compiled: attention is another function there, for rows of any length.
    """
    blocks = find_blocks(classifier.module)
    modules = dict(classifier.module.named_modules())
    layers = {name: module for name, module in modules.items() if _is_layer(name, blocks.block_of)}
    if classifier.flat is None:
        return layers or {"": classifier.module}
    return {
        name: module
        for name, module in modules.items()
        if any(name.startswith(f"{layer}.") for layer in layers) and _joins_leaves(module)
    }


def _is_layer(name: str, block_of: Mapping[str, str]) -> bool:
    """Return whether a module is a whole layer, which stands in a list of them."""
    parent, _, number = name.rpartition(".")
    return number.isdecimal() and block_of[name] == f"layer.{number}" and block_of[parent] != block_of[name]


def _joins_leaves(module: torch.nn.Module) -> bool:
    """Return whether a module applies linear maps, norms and the like one after the other, to each token by itself."""
    children = list(module.children())
    kind = type(module).__name__
    return bool(children) and "Attention" not in kind and not any(list(child.children()) for child in children)


@cache
def need_compiler(device: torch.device) -> None:
    """Raise ``KexpError`` where PyTorch cannot compile for a device, before anything depends on it."""
    import torch

    def probe(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(values) + 1

    try:
        torch.compile(probe, options=OPTIONS)(torch.ones(8, device=device))
    # What goes wrong is as varied as compilers are.
    except Exception as error:
        needed = "a C++ compiler such as g++" if device.type == "cpu" else "the package triton and a C compiler"
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise KexpError(
            f"training.compile: PyTorch cannot compile for {device}: {reason}; install {needed}, or set it to false"
        ) from error
