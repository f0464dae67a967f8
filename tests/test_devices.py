"""Devices and precisions that machines have and lack, and the memory of a process."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from kexp.devices import Hardware, choose, out_of_memory, torch_device
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


def test_attention_on_a_gpu_is_none_that_is_built_for_every_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in ("set_device", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *given: None)
    kinds, before = torch.backends.cuda, torch.backends.cuda.cudnn_sdp_enabled()
    try:
        kinds.enable_cudnn_sdp(True)
        Hardware(torch.device("cuda", 0), "bf16").prepare_training()
        enabled = [kinds.cudnn_sdp_enabled(), kinds.flash_sdp_enabled(), kinds.mem_efficient_sdp_enabled()]
    finally:
        kinds.enable_cudnn_sdp(before)
        torch.use_deterministic_algorithms(False)
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
