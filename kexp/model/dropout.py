"""Forward passes without dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def without_dropout(module: torch.nn.Module) -> Iterator[None]:
    """Put a module into eval mode and give every part its own mode back: frozen parts never train."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
