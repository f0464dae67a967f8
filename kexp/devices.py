"""Where a model runs and in which precision: one choice for training, prediction and plugins."""

from __future__ import annotations

import os
import re
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch

OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
)
"""What is said by torch.OutOfMemoryError, the allocators of the CPU, the operating system, cuBLAS and cuDNN."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device, and the precision (fp32, bf16, fp16) of forward passes on it; weights are always fp32."""

    device: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context of a forward pass."""
        import torch

        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def gradient_scaler(self) -> torch.amp.GradScaler:
        """Return what keeps small gradients from vanishing in fp16; in other precisions it does nothing."""
        import torch

        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def prepare_training(self) -> None:
        """Make a GPU deterministic, and measure the peak of memory from here on."""
        import torch

        if self.device.type == "cuda":
            # Equal bits for equal specs; kernels without a deterministic form warn in the run's log.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
            # PyTorch prefers it on Hopper and Blackwell. It builds a plan for every number of rows and tokens, of which
            # nearly every batch has another one, and its backward pass has no deterministic form.
            torch.backends.cuda.enable_cudnn_sdp(False)
            torch.cuda.set_device(self.device)
            torch.cuda.reset_peak_memory_stats()
        else:
            # Linux forgets the peak of a process when 5 is written here (proc(5)); elsewhere there is no way.
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", "ascii")

    def peak_memory_mib(self) -> float:
        """Return the peak of memory in MiB since ``prepare_training``.

        On a GPU it is that of PyTorch's allocator. On a CPU it is the resident memory of the process, with Python, the
        libraries and the data; where the system cannot forget an earlier peak, it is the peak since the process began.
        """
        import torch

        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        with suppress(OSError):
            if found := re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text("utf-8")):
                return int(found[1]) / 2**10
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def choose(device: str, precision: str, prefix: str = "training.") -> Hardware:
    """Return the hardware for a device (auto, cpu, cuda, cuda:N, mps) and a precision (auto, fp32, bf16, fp16).

    ``auto`` is the best device that PyTorch sees, and bf16 on a GPU that has it, else fp32. Raises ``KexpError`` for a
    choice that this machine cannot meet; ``prefix`` is what stands before the names of the two options in the message.
    """
    import torch

    place = torch_device(device, f"{prefix}device")
    if precision not in PRECISIONS:
        raise KexpError(f"{prefix}precision: expected {', '.join(PRECISIONS)}, found {precision}")
    if precision == "auto":
        precision = "bf16" if place.startswith("cuda") and torch.cuda.is_bf16_supported() else "fp32"
    if precision == "fp16" and place == "cpu":
        raise KexpError(f"{prefix}precision: fp16 needs a GPU; use bf16 or fp32 on a CPU")
    return Hardware(torch.device(place), precision)


def torch_device(device: str, option: str = "training.device") -> str:
    """Return PyTorch's name of a device (auto, cpu, cuda, cuda:N, mps).

    Raises ``KexpError`` that names ``option`` when this machine does not have the device.
    """
    import torch

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise KexpError(f"{option}: expected auto, cpu, cuda, cuda:N or mps, found {device}")
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    count = torch.cuda.device_count()
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
        raise KexpError(f"{option}: {device} is not available, PyTorch sees {count} CUDA devices; use auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise KexpError(f"{option}: mps is not available on this machine; use auto or cpu")
    return device


def out_of_memory(error: BaseException, remedy: str) -> str | None:
    """Return the message for an out-of-memory error, with a remedy; None for other errors."""
    if not is_out_of_memory(error):
        return None
    text = str(error).strip() or type(error).__name__
    return f"out of memory; {remedy} ({text.splitlines()[0]})"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory of the GPU or the CPU was not enough, as PyTorch, its libraries and Python say it."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)
