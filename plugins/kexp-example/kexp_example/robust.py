"""Objective ``generalized-cross-entropy``: a loss that wrong labels mislead less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kexp.contracts import ObjectiveContext, SupervisedObjective, SupervisedObjectiveOptions

if TYPE_CHECKING:
    import torch


class GeneralizedCrossEntropy(SupervisedObjectiveOptions):
    """Generalized cross entropy (Zhang & Sabuncu 2018, equation 6), for labels some of which are wrong.

    loss = (1 - p^q) / q, with p the probability of the given label. It goes to cross entropy as q goes to 0, and is
    the mean absolute error at q = 1: the larger q, the less a row counts whose label the model does not believe.
    """

    q: float = Field(0.7, gt=0, le=1, description="Between cross entropy (towards 0) and mean absolute error (1).")

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return RobustLoss(self.q)


class RobustLoss(SupervisedObjective):
    """The loss per row; semi-supervised objectives such as ``uda`` can use it for their labelled rows."""

    def __init__(self, q: float) -> None:
        self.q = q

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (rows,), in [0, 1/q], from fp32 logits of shape (rows, labels)."""
        import torch

        log_p = logits.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
        # 1 - p^q loses all digits where p is near 1; expm1 keeps them.
        return -torch.expm1(self.q * log_p) / self.q
