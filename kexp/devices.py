"""Where a model runs and in which precision: one choice for training, prediction and plugins."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kexp.errors import KexpError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "alloc_failed",
)
"""What is said by torch.OutOfMemoryError, the allocators of the CPU, the operating system, cuBLAS and cuDNN."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

BF16_UNITS = ("avx512_bf16", "amx_bf16", "bf16")
"""PyTorch's names of what a processor multiplies bf16 with: AVX-512, AMX, and that of Arm."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device, and the precision (fp32, bf16, fp16) of forward passes on it; weights are always fp32.

    With ``tf32`` the factors of fp32 matrix products are rounded to TF32 in training. Where it is ``deterministic``,
    equal computations give equal bits: a CPU always does, a GPU in training if it is asked to.
    """

    device: torch.device
    precision: str
    tf32: bool = False
    deterministic: bool = True

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

    @contextmanager
    def matrix_products(self) -> Iterator[None]:
        """Let fp32 matrix products on CUDA use TF32, or keep them from it, and restore what held before."""
        import torch

        if self.device.type != "cuda" or self.precision != "fp32":
            yield
            return
        # Not torch.backends.cuda.matmul.fp32_precision: torch.compile reads this setting, and raises an error after
        # the other one was changed.
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    def prepare_training(self) -> None:
        """Make a GPU deterministic if it is to be so, and measure the peak of memory from here on."""
        import torch

        if self.device.type == "cuda":
            if self.deterministic:
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            # Strictly: where operations without a deterministic form only warn, attention is not deterministic either.
            torch.use_deterministic_algorithms(self.deterministic)
            # Else PyTorch writes to all memory that it allocates, for programs that read what nobody has written.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
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


def choose(
    device: str, precision: str, prefix: str = "training.", *, tf32: bool = False, deterministic: bool = True
) -> Hardware:
    """Return the hardware for a device (auto, cpu, cuda, cuda:N, mps) and a precision (auto, fp32, bf16, fp16).

    ``auto`` is the best device that PyTorch sees, and bf16 on an NVIDIA GPU that multiplies it natively, else fp32.
    ``tf32`` has an effect in fp32 on an NVIDIA GPU that has TF32, ``deterministic`` on an NVIDIA GPU. Raises
    ``KexpError`` for a choice that this machine cannot meet; ``prefix`` is what stands before the names of the two
    options in the message.
    """
    import torch

    place = torch_device(device, f"{prefix}device")
    if precision not in PRECISIONS:
        raise KexpError(f"{prefix}precision: expected {', '.join(PRECISIONS)}, found {precision}")
    if precision == "auto":
        precision = "bf16" if place.startswith("cuda") and multiplies_bf16(place) else "fp32"
    if precision == "fp16" and place == "cpu":
        raise KexpError(f"{prefix}precision: fp16 needs a GPU; use bf16 or fp32 on a CPU")
    return Hardware(
        torch.device(place),
        precision,
        tf32 and precision == "fp32" and _has_tf32(place),
        # PyTorch has no such choice for MPS.
        place == "cpu" or (deterministic and place.startswith("cuda")),
    )


def on_device(array: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Return an array of the host on a device; the program does not wait until a GPU has copied it."""
    import torch

    tensor = torch.from_numpy(array)
    # A copy from other memory waits for what the GPU was given to do before.
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def free_memory() -> None:
    """Give the memory of a run back that is over: objects in circles of references, and what PyTorch keeps on a GPU."""
    import torch

    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def multiplies_bf16(place: str) -> bool:
    """Return whether a device (cpu, cuda, cuda:N, mps) multiplies bf16 natively; True where PyTorch cannot tell."""
    import torch

    if place.startswith("cuda"):
        with torch.cuda.device(place):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of PyTorch do not say what a processor has.
    if place != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return True
    return any(torch.cpu.get_capabilities().get(unit) for unit in BF16_UNITS)


def bf16_warning(device: str, precision: str) -> str | None:
    """Return what is to be said of bf16 on a device that does not multiply it natively, None if there is nothing."""
    if precision != "bf16":
        return None
    # Another message says that a device is not there.
    with suppress(KexpError):
        place = torch_device(device)
        if not multiplies_bf16(place):
            what = "this processor" if place == "cpu" else "this GPU"
            return f"{what} does not multiply bf16 natively, which can be many times slower than fp32"
    return None


def _has_tf32(place: str) -> bool:
    """Return whether a device has TF32, and its products are not kept from it by NVIDIA's variable."""
    import torch

    if not place.startswith("cuda") or torch.version.hip or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return False
    return torch.cuda.get_device_capability(place) >= (8, 0)


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


def out_of_memory(error: BaseException, remedy: str, where: str = "") -> str | None:
    """Return the message for an out-of-memory error, with a remedy; None for other errors."""
    if not is_out_of_memory(error):
        return None
    text = str(error).strip() or type(error).__name__
    return f"{f'out of memory {where}'.rstrip()}; {remedy} ({text.splitlines()[0]})"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory of the GPU or the CPU was not enough, as PyTorch, its libraries and Python say it."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def not_deterministic(error: BaseException) -> str | None:
    """Return the message for an operation that has no deterministic form on a GPU, None for other errors."""
    text = str(error)
    option = "training.deterministic = false lets two runs of the same spec differ"
    if found := re.match(r"(\S+) does not have a deterministic implementation", text):
        return f"{found[1]} has no deterministic form on this device; {option}, or use another component"
    if text.startswith("Deterministic behavior was enabled") and "CUBLAS_WORKSPACE_CONFIG" in text:
        value = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
        found_value = "is not set" if value is None else f"is {value}"
        return f"CUBLAS_WORKSPACE_CONFIG {found_value}, with which cuBLAS is not deterministic; unset it, or {option}"
    return None if error.__cause__ is None else not_deterministic(error.__cause__)
