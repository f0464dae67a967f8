"""Device and precision through accelerate."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kexp.errors import KexpError

if TYPE_CHECKING:
    from accelerate import Accelerator


def make_accelerator(device: str, precision: str) -> Accelerator:
    """Return an accelerator on the device (auto, cpu, cuda, cuda:N, mps) in the precision (auto, fp32, bf16, fp16).

    Raises ``KexpError`` when this machine lacks what is asked for.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    chosen = torch_device(device)
    mixed = _precision(precision, chosen)
    # accelerate keeps one state per process, but the runs of an experiment may differ in precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    with _environment("ACCELERATE_TORCH_DEVICE", chosen):
        accelerator = Accelerator(cpu=chosen == "cpu", mixed_precision={"fp32": "no"}.get(mixed, mixed))
    if accelerator.device.type == "cuda":
        # Equal bits for equal specs; kernels without a deterministic form warn in the run's log.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.cuda.set_device(accelerator.device)
        torch.cuda.reset_peak_memory_stats()
    return accelerator


def torch_device(asked: str) -> str:
    """Return PyTorch's word for a device as a spec states it; raises ``KexpError`` when this machine has it not."""
    import torch

    if asked == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if asked.startswith("cuda"):
        count = torch.cuda.device_count()
        number = int(asked.partition(":")[2] or 0)
        if number >= count:
            seen = f'device "{asked}" is not there, PyTorch sees {count} CUDA devices'
            raise KexpError(f'training.device: {seen}; use "auto" or "cpu"')
    if asked == "mps" and not torch.backends.mps.is_available():
        raise KexpError('training.device: device "mps" is not available on this machine; use "auto" or "cpu"')
    return asked


def _precision(asked: str, device: str) -> str:
    import torch

    if asked == "auto":
        return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"
    if asked == "fp16" and device == "cpu":
        raise KexpError('training.precision: fp16 needs a GPU; use "bf16" or "fp32" on a CPU')
    return asked


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def precision_of(accelerator: Accelerator) -> str:
    """Return the precision in kexp's words."""
    precision = str(accelerator.mixed_precision)
    return "fp32" if precision == "no" else precision


def peak_memory_mib(accelerator: Accelerator) -> float:
    """Return the peak memory in MiB: of the GPU's allocator, else of this process."""
    import torch

    if accelerator.device.type == "cuda":
        return torch.cuda.max_memory_allocated(accelerator.device) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
