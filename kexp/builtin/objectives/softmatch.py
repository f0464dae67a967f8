"""SoftMatch: unsure rows count less instead of not at all (Chen et al. 2023, arXiv 2301.10921)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kexp.builtin.objectives.hard_targets import HardTargets, Weights
from kexp.contracts import Objective, ObjectiveContext
from kexp.semi_supervised import SemiSupervisedOptions, momentum_warnings

if TYPE_CHECKING:
    import torch


class SoftMatchOptions(SemiSupervisedOptions):
    """Pseudo-labels weighted by a truncated Gaussian of their confidence (Chen et al. 2023)."""

    uses_augmented: ClassVar[bool] = True
    several_processes: ClassVar[bool] = True

    momentum: float = Field(0.999, ge=0, lt=1, description="Of the running mean and variance of the confidence (m).")
    sigmas: float = Field(
        2.0,
        gt=0,
        allow_inf_nan=False,
        description="The variance is divided by its square; 1 is the equation as printed, 2 the authors' code.",
    )
    uniform_alignment: bool = Field(True, description="Weigh by predictions rescaled to equal class shares.")

    def step_warnings(self, steps: int, batches: int) -> Iterable[str]:
        """Yield a momentum that cannot act."""
        yield from super().step_warnings(steps, batches)
        yield from momentum_warnings("momentum", self.momentum, batches)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        weighting = TruncatedGaussian(self, len(context.class_counts))
        return HardTargets(self.build_supervised(context), weighting, self.coefficient)


class TruncatedGaussian:
    """Weight ``exp(-(c - mu)^2 / (2 sigma^2))`` for rows whose confidence c is below ``mu``, 1 for those above.

    ``mu`` and ``sigma^2`` are exponential moving averages of the batches' mean and unbiased variance of c, begun at 1/K
    and 1. With uniform alignment, c is the largest entry of ``p / E[p]``, normalised. E[p] is a moving average that
    begins with the first batch, as in the authors' code; the label itself stays that of p.
    """

    def __init__(self, options: SoftMatchOptions, labels: int) -> None:
        import torch

        self.options = options
        self.mean = torch.tensor(1 / labels)
        self.variance = torch.tensor(1.0)
        self.shares: torch.Tensor | None = None

    def __call__(self, probabilities: torch.Tensor, rows: torch.Tensor) -> Weights:
        """Move the averages by this batch, then weigh each row."""
        confidence = self._aligned(probabilities).max(-1).values
        self._update(confidence)
        below = (confidence - self.mean).clamp(max=0)
        # The variance can come down to 0 when all rows are alike.
        spread = (2 * self.variance / self.options.sigmas**2).clamp(min=1e-12)
        return Weights(
            (-(below**2) / spread).exp(),
            {"confidence_mean": self.mean, "confidence_deviation": self.variance.sqrt()},
        )

    def _aligned(self, probabilities: torch.Tensor) -> torch.Tensor:
        if not self.options.uniform_alignment:
            return probabilities
        batch = probabilities.mean(0)
        last = batch if self.shares is None else self.shares.to(batch.device)
        self.shares = self._moved(last, batch)
        aligned = probabilities / self.shares.clamp(min=1e-6)
        return aligned / aligned.sum(-1, keepdim=True)

    def _update(self, confidence: torch.Tensor) -> None:
        rows = len(confidence)
        self.mean = self._moved(self.mean.to(confidence.device), confidence.mean())
        # One row has no variance.
        if rows > 1:
            self.variance = self._moved(self.variance.to(confidence.device), confidence.var())

    def _moved(self, last: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        momentum = self.options.momentum
        return momentum * last + (1 - momentum) * batch

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the moving averages."""
        shares = {} if self.shares is None else {"shares": self.shares}
        return {"mean": self.mean, "variance": self.variance, **shares}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore them."""
        self.mean, self.variance, self.shares = state["mean"], state["variance"], state.get("shares")
