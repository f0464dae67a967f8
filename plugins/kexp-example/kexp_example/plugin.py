"""What this package registers with kexp: the module that `[project.entry-points.kexp]` names."""

from __future__ import annotations

from collections.abc import Mapping

import kexp
from kexp.contracts import AugmenterOptions, ObjectiveOptions
from kexp_example.diary import kexp_epoch_ended, kexp_run_ended, kexp_run_failed, kexp_run_started
from kexp_example.particles import DropParticles
from kexp_example.robust import GeneralizedCrossEntropy

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""

# kexp finds hooks by their marks in this module; those of the diary are marked where they are written.
__all__ = [
    "kexp_augmenters",
    "kexp_epoch_ended",
    "kexp_objectives",
    "kexp_run_ended",
    "kexp_run_failed",
    "kexp_run_started",
]


@kexp.hookimpl
def kexp_objectives() -> Mapping[str, type[ObjectiveOptions]]:
    """Name the objectives of this package."""
    return {"generalized-cross-entropy": GeneralizedCrossEntropy}


@kexp.hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters of this package."""
    return {"drop-particles": DropParticles}
