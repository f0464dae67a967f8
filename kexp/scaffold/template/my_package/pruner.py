"""A pruner: which trials of `kexp tune` end early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import kexp
from kexp.contracts import PrunerContext, PrunerOptions
from pydantic import Field

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyPruner(PrunerOptions):
    """End a trial whose best value is not among the best ``percentile`` per cent at the same evaluation."""

    percentile: float = Field(25.0, gt=0, lt=100, description="Share of the trials that may go on, in per cent.")
    startup_trials: int = Field(5, ge=1, description="Finished trials before any is pruned.")

    def build(self, context: PrunerContext) -> BasePruner:
        """Return Optuna's pruner; a step is an evaluation, counted from 1."""
        from optuna.pruners import PercentilePruner

        return PercentilePruner(self.percentile, n_startup_trials=self.startup_trials)


@kexp.hookimpl
def kexp_pruners() -> Mapping[str, type[PrunerOptions]]:
    """Name the pruners of this package."""
    return {"my-name": MyPruner}
