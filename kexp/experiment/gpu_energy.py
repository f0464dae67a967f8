"""The energy that a GPU uses while a run trains, by its own counter (NVML), where the package nvidia-ml-py is there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING

from kexp.train.checkpoint import TrainState
from kexp.train.events import Event

if TYPE_CHECKING:
    import torch

Counter = Callable[[], float | None]
"""Returns joules since some time in the past; None once the counter can no longer be read."""


def energy_counter(device: torch.device) -> Counter | None:
    """Return the energy counter of a GPU, in joules, that of other programs on it included.

    None for other devices, without nvidia-ml-py, and where the driver keeps no counter: GPUs before Volta, parts of a
    GPU (MIG), and those that are not NVIDIA's.
    """
    import torch

    if device.type != "cuda" or torch.version.hip:
        return None
    try:
        import pynvml
    except ImportError:
        return None

    def read() -> float | None:
        try:
            # In millijoules since the driver was loaded.
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
        except pynvml.NVMLError:
            return None

    try:
        pynvml.nvmlInit()
        # Numbers of devices differ between CUDA and NVML, where some are hidden.
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    except pynvml.NVMLError:
        return None
    return None if read() is None else read


def metered(events: Iterable[Event], state: TrainState, counter: Counter | None) -> Generator[Event, None, None]:
    """Yield the events of a training, and add to its ``state`` what the counter says has been used.

    A training that was begun without a counter is not measured in part: its ``joules`` stay None, as do those of one
    whose counter fails.
    """
    if counter is None or (state.step and state.joules is None):
        state.joules = None
        yield from events
        return
    used: float | None = state.joules or 0.0
    before = counter()
    for event in events:
        now = counter()
        used = None if used is None or before is None or now is None else used + now - before
        state.joules, before = used, now
        yield event
