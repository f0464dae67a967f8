"""Devices and precisions that machines have and lack, and the memory of a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from kexp.devices import (
    BF16_UNITS,
    Hardware,
    bf16_warning,
    choose,
    multiplies_bf16,
    not_deterministic,
    on_device,
    out_of_memory,
    torch_device,
)
from kexp.errors import KexpError

WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_forward_pass_has_the_precision_that_was_chosen(precision: str, dtype: torch.dtype) -> None:
    hardware = choose("cpu", precision)
    assert (str(hardware.device), hardware.precision) == ("cpu", precision)
    layer = torch.nn.Linear(4, 4)
    with hardware.autocast():
        assert layer(torch.ones(2, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32
    assert not hardware.gradient_scaler().is_enabled()


@WITHOUT_GPU
def test_auto_is_fp32_without_a_gpu() -> None:
    assert choose("auto", "auto").precision == "fp32"


@pytest.mark.parametrize("unit", [None, *BF16_UNITS])
def test_bf16_warns_on_a_processor_that_does_not_multiply_it(unit: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    units = {"avx2": True, **{name: name == unit for name in BF16_UNITS}}
    # On versions without the function too, which then have one.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    expected = "this processor does not multiply bf16 natively, which can be many times slower than fp32"
    assert bf16_warning("cpu", "bf16") == (None if unit else expected)
    for precision in ("auto", "fp32"):
        assert bf16_warning("cpu", precision) is None
    # The same on every processor, so that results do not depend on it.
    assert choose("cpu", "auto").precision == "fp32"


def test_an_older_pytorch_that_cannot_tell_warns_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert bf16_warning("cpu", "bf16") is None


def test_a_device_that_is_not_there_is_not_warned_of() -> None:
    assert bf16_warning("cuda:99", "bf16") is None


# --- GPUs that this machine need not have ----------------------------------------------------------------------------


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let PyTorch see a GPU of the Turing generation, and one of the Ampere generation after it."""
    capabilities = {"cuda": (7, 5), "cuda:0": (7, 5), "cuda:1": (8, 0)}
    current = ["cuda"]

    @contextmanager
    def entered(place: str) -> Iterator[None]:
        current.append(place)
        yield
        current.pop()

    def multiplies(including_emulation: bool = True) -> bool:
        return including_emulation or capabilities[current[-1]] >= (8, 0)

    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    for name, value in {
        "is_available": lambda: True, "device_count": lambda: 2, "device": entered, "is_bf16_supported": multiplies,
        "get_device_capability": lambda place: capabilities[str(place)],
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)


@pytest.mark.usefixtures("gpus")
def test_auto_is_bf16_on_a_gpu_that_multiplies_it_and_not_where_it_is_emulated() -> None:
    assert [choose(place, "auto").precision for place in ("cuda:0", "cuda:1")] == ["fp32", "bf16"]
    assert [multiplies_bf16(place) for place in ("cuda:0", "cuda:1")] == [False, True]
    assert bf16_warning("auto", "bf16") == (
        "this GPU does not multiply bf16 natively, which can be many times slower than fp32"
    )
    assert bf16_warning("cuda:1", "bf16") is None


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("device", "precision", "asked", "used"),
    [
        ("cuda:1", "fp32", True, True),
        ("cuda:1", "fp32", False, False),
        ("cuda:1", "bf16", True, False),
        ("cuda:1", "auto", True, False),
        ("cuda:0", "fp32", True, False),
        ("cpu", "fp32", True, False),
    ],
)
def test_tf32_is_used_where_the_device_has_it_and_restored(
    device: str, precision: str, asked: bool, used: bool
) -> None:
    hardware = choose(device, precision, tf32=asked)
    assert hardware.tf32 is used
    for before in ("highest", "medium"):
        torch.set_float32_matmul_precision(before)
        try:
            with hardware.matrix_products():
                within = torch.get_float32_matmul_precision()
            assert torch.get_float32_matmul_precision() == before
            with pytest.raises(KeyError), hardware.matrix_products():
                raise KeyError
            assert torch.get_float32_matmul_precision() == before
        finally:
            torch.set_float32_matmul_precision("highest")
        on_gpu_in_fp32 = device != "cpu" and hardware.precision == "fp32"
        assert within == (("high" if used else "highest") if on_gpu_in_fp32 else before)


@pytest.mark.usefixtures("gpus")
def test_tf32_that_is_switched_off_from_outside_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert not choose("cuda:1", "fp32", tf32=True).tf32
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert not choose("cuda:1", "fp32", tf32=True).tf32


@WITHOUT_GPU
@pytest.mark.parametrize("prefix", ["training.", "--"])
@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("tpu", "fp32", "device: expected auto, cpu, cuda, cuda:N or mps, found tpu"),
        ("cuda:1", "fp32", "device: cuda:1 is not available, PyTorch sees 0 CUDA devices; use auto or cpu"),
        ("cpu", "fp8", "precision: expected auto, fp32, bf16, fp16, found fp8"),
        ("cpu", "fp16", "precision: fp16 needs a GPU; use bf16 or fp32 on a CPU"),
    ],
)
def test_a_choice_that_cannot_be_met_names_its_option(prefix: str, device: str, precision: str, message: str) -> None:
    with pytest.raises(KexpError) as refused:
        choose(device, precision, prefix)
    assert str(refused.value) == prefix + message


@WITHOUT_GPU
def test_a_device_alone_names_the_option_that_holds_it() -> None:
    assert torch_device("cpu") == torch_device("auto") == "cpu"
    with pytest.raises(KexpError, match=r"^augmentation\.device: cuda is not available"):
        torch_device("cuda", "augmentation.device")


def test_only_errors_of_memory_are_out_of_memory() -> None:
    error = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
    assert out_of_memory(error, "use less") == "out of memory; use less (CUDA out of memory. Tried to allocate 2 GiB)"
    assert out_of_memory(RuntimeError("shapes differ"), "use less") is None


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a GPU be prepared that is not there, and restore PyTorch's flags."""
    for name in ("set_device", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *given: None)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    attention = torch.backends.cuda.cudnn_sdp_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.backends.cuda.enable_cudnn_sdp(attention)
    torch.utils.deterministic.fill_uninitialized_memory = fills
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("gpus", "flags")
def test_a_gpu_is_strictly_deterministic_unless_it_need_not_be() -> None:
    for asked in (True, False, True):
        hardware = choose("cuda:1", "auto", deterministic=asked)
        hardware.prepare_training()
        assert hardware.deterministic is asked
        assert torch.are_deterministic_algorithms_enabled() is asked
        # The backward pass of attention is deterministic only where nothing is merely warned of.
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_cpu_is_deterministic_whatever_was_asked() -> None:
    assert [choose("cpu", "fp32", deterministic=asked).deterministic for asked in (True, False)] == [True, True]


@pytest.mark.usefixtures("flags")
def test_an_operation_without_a_deterministic_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.use_deterministic_algorithms(True)
    with pytest.raises(RuntimeError) as raised:
        torch.ones(3).put_(torch.tensor([1]), torch.tensor([2.0]))
    option = "training.deterministic = false lets two runs of the same spec differ"
    named = f"put_ has no deterministic form on this device; {option}, or use another component"
    assert not_deterministic(raised.value) == named
    others = ValueError("a plugin's own words")
    others.__cause__ = raised.value
    assert not_deterministic(others) == named
    # As PyTorch says it on a GPU.
    error = RuntimeError(
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
        "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it uses CuBLAS "
        "and you have CUDA >= 10.2. To enable deterministic behavior in this case, you must set an environment variable "
        "before running your PyTorch application: CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8."
    )
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    found = "CUBLAS_WORKSPACE_CONFIG is :0:0, with which cuBLAS is not deterministic"
    assert not_deterministic(error) == f"{found}; unset it, or {option}"
    assert not_deterministic(RuntimeError("shapes differ")) is None


def test_arrays_are_copied_to_a_gpu_from_page_locked_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[torch.Tensor] = []
    moved: list[tuple[object, bool]] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: locked.append(tensor) or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, place, non_blocking: moved.append((place, non_blocking)))
    for place in ("cuda", "cpu"):
        on_device(np.arange(3), torch.device(place))
    assert [tensor.tolist() for tensor in locked] == [[0, 1, 2]]
    assert moved == [(torch.device("cuda"), True), (torch.device("cpu"), True)]


@pytest.mark.usefixtures("flags")
def test_attention_on_a_gpu_is_none_that_is_built_for_every_shape() -> None:
    kinds = torch.backends.cuda
    kinds.enable_cudnn_sdp(True)
    Hardware(torch.device("cuda", 0), "bf16").prepare_training()
    enabled = [kinds.cudnn_sdp_enabled(), kinds.flash_sdp_enabled(), kinds.mem_efficient_sdp_enabled()]
    assert enabled == [False, True, True]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system cannot forget a peak")
def test_the_peak_of_memory_is_that_since_training_was_prepared() -> None:
    size = 400
    hardware = choose("cpu", "fp32")
    block = np.ones((size, 2**20), np.uint8)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert hardware.peak_memory_mib() >= resident - 8
    del block
    hardware.prepare_training()
    assert hardware.peak_memory_mib() < resident - size / 2
