"""Where and how a run computes, as its spec and this machine have it."""

from __future__ import annotations

from kexp.devices import Hardware, choose
from kexp.model.compiled import need_compiler
from kexp.spec.training_section import Training
from kexp.train.optimizers import need_device


def hardware_of(training: Training) -> Hardware:
    """Return the device and precision of a training; raises ``KexpError`` for what this machine does not have."""
    hardware = choose(training.device, training.precision, tf32=training.tf32, deterministic=training.deterministic)
    need_device(training, hardware)
    if training.compile:
        need_compiler(hardware.device)
    return hardware
