"""What a program would wait for a GPU for, counted on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "is_nonzero")
"""Operations whose result is read by the program, or has a shape that only the device knows."""


class Reads(TorchDispatchMode):
    """Counts operations for which a program would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__.rstrip("_")
        masks = any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in _indices(name, args))
        if name in READS or masks:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def _indices(name: str, args: tuple[Any, ...]) -> list[Any]:
    return list(args[1]) if name in ("index", "index_put", "_index_put_impl") else []
