"""Where and how a run computes, as its spec and this machine have it."""

from __future__ import annotations

import re

from kexp.devices import Hardware, choose, torch_device
from kexp.distributed import ALONE, World
from kexp.errors import KexpError
from kexp.model.compiled import need_compiler
from kexp.spec.training_section import Training
from kexp.train.optimizers import need_device


def hardware_of(training: Training, world: World = ALONE) -> Hardware:
    """Return the device and precision of a training; raises ``KexpError`` for what this machine does not have."""
    device = training.device if world.size == 1 else _own_device(training.device, world)
    hardware = choose(device, training.precision, tf32=training.tf32, deterministic=training.deterministic)
    need_device(training, hardware)
    if training.compile:
        need_compiler(hardware.device)
    return hardware


def _own_device(device: str, world: World) -> str:
    """Return the device of a process among several: a GPU of its own, or the CPU, which they share."""
    import torch

    found = torch_device(re.sub(r"^cuda:\d+$", "cuda", device))
    if found == "cpu":
        return found
    if device not in (found, "auto"):
        raise KexpError(
            f'training.device: {device} is one GPU, and {world.size} processes train; use "cuda", which gives each '
            "process a GPU of its own"
        )
    gpus = torch.cuda.device_count() if found == "cuda" else 0
    if world.local_size > gpus:
        most = f"torchrun --nproc_per_node {gpus}" if gpus > 1 else "one process, without torchrun"
        raise KexpError(
            f"training.device: {world.local_size} processes on this machine, of which each needs a GPU, and PyTorch "
            f'sees {gpus}; start {most}, or use device "cpu"'
        )
    return f"cuda:{world.local_rank}" if found == "cuda" else found
