"""Pruners: which trials end early. All are Optuna's; a step is an evaluation, for ``wilcoxon`` a seed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from kexp.contracts import PrunerContext, PrunerOptions
from kexp.errors import Problem

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class NoPruner(PrunerOptions):
    """End no trial early."""

    def build(self, context: PrunerContext) -> BasePruner:
        """Return the pruner."""
        from optuna.pruners import NopPruner

        return NopPruner()


class Median(PrunerOptions):
    """End a trial whose best value so far is below the median of the others at the same evaluation."""

    startup_trials: int = Field(5, ge=0, description="Finished trials before any is pruned.")
    warmup: int = Field(0, ge=0, description="Evaluations of a trial before it may be pruned.")

    def build(self, context: PrunerContext) -> BasePruner:
        """Return the pruner."""
        from optuna.pruners import MedianPruner

        # Optuna counts steps from 0, and evaluations are counted from 1.
        return MedianPruner(n_startup_trials=self.startup_trials, n_warmup_steps=self.warmup + 1)


class Hyperband(PrunerOptions):
    """Several successive halvings side by side, from eager to patient (Li et al. 2018)."""

    min_evaluations: PositiveInt = Field(1, description="Evaluations that every trial may make.")
    max_evaluations: PositiveInt | Literal["auto"] = Field(
        "auto", description="Evaluations of a whole trial; auto takes the most that the first finished trial made."
    )
    reduction: int = Field(3, ge=2, description="One in this many trials goes on to the next rung.")

    def problems(self) -> Iterable[Problem]:
        """Yield bounds that leave no rung."""
        if self.max_evaluations != "auto" and self.max_evaluations < self.min_evaluations:
            yield Problem("max_evaluations", f"{self.max_evaluations} is below min_evaluations, {self.min_evaluations}")

    def build(self, context: PrunerContext) -> BasePruner:
        """Return the pruner."""
        from optuna.pruners import HyperbandPruner

        return HyperbandPruner(
            min_resource=self.min_evaluations, max_resource=self.max_evaluations, reduction_factor=self.reduction
        )


class SuccessiveHalving(PrunerOptions):
    """One in ``reduction`` trials goes on at every rung (asynchronous successive halving, Li et al. 2020)."""

    min_evaluations: PositiveInt | Literal["auto"] = Field(
        "auto", description="Evaluations before the first rung; auto takes a hundredth of a whole trial."
    )
    reduction: int = Field(4, ge=2, description="One in this many trials goes on to the next rung.")
    rate: int = Field(0, ge=0, description="Rungs without pruning (min_early_stopping_rate).")

    def build(self, context: PrunerContext) -> BasePruner:
        """Return the pruner."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(
            min_resource=self.min_evaluations, reduction_factor=self.reduction, min_early_stopping_rate=self.rate
        )


class Wilcoxon(PrunerOptions):
    """End a trial whose seeds are worse than the best trial's by a signed-rank test (Wilcoxon 1945)."""

    compares_seeds: ClassVar[bool] = True

    p_threshold: float = Field(0.1, gt=0, lt=1, description="Largest p-value at which a trial is ended.")
    startup_seeds: int = Field(2, ge=0, description="Seeds of a trial before it may be ended.")

    def seed_problems(self, seeds: int) -> Iterable[str]:
        """Yield that the test cannot reach its threshold: n seeds that all are worse give 1 / 2^n."""
        if 0.5**seeds > self.p_threshold:
            yield f"{seeds} seeds of a trial cannot give a p-value of {self.p_threshold:g}, the least is {0.5**seeds:g}"

    def build(self, context: PrunerContext) -> BasePruner:
        """Return the pruner."""
        from optuna.pruners import WilcoxonPruner

        return WilcoxonPruner(p_threshold=self.p_threshold, n_startup_steps=self.startup_seeds)
