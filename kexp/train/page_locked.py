"""Batches in page-locked memory, which a GPU copies while it computes and the program goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kexp.host_batches import MicroBatch

if TYPE_CHECKING:
    import torch


def page_locked(steps: Iterable[list[MicroBatch]], device: torch.device) -> Iterator[list[MicroBatch]]:
    """Yield the batches of steps, for a CUDA device in page-locked memory; others take them as they are."""
    import torch

    if device.type != "cuda":
        yield from steps
        return
    # Which device is the current one is known to each thread alone; memory is locked for that one.
    with torch.cuda.device(device):
        for batches in steps:
            yield [locked(batch) for batch in batches]


def locked(value: Any) -> Any:
    """Return a copy of a dataclass, and of those inside it, whose arrays and tensors are in page-locked memory."""
    import torch

    if isinstance(value, np.ndarray):
        return torch.tensor(value).pin_memory().numpy()
    if isinstance(value, torch.Tensor):
        return value.pin_memory()
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: locked(getattr(value, field.name)) for field in fields(value)})
    return value
