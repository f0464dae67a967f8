"""An objective: what training minimises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import kexp
from kexp.contracts import ObjectiveContext, ObjectiveOptions, SupervisedObjective, SupervisedObjectiveOptions
from pydantic import Field

if TYPE_CHECKING:
    import torch


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyObjective(SupervisedObjectiveOptions):
    """Poly-1 loss (Leng et al. 2022): cross entropy plus ``epsilon`` times the probability that is missing.

    loss = -log p + epsilon (1 - p), with p the probability of the true label.
    """

    epsilon: float = Field(1.0, ge=-1, description="Weight of the first term of the polynomial; 0 is cross entropy.")

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective; ``context`` has the rows of each class, for losses that weight them."""
        return PolyLoss(self.epsilon)


@kexp.hookimpl
def kexp_objectives() -> Mapping[str, type[ObjectiveOptions]]:
    """Name the objectives of this package."""
    return {"my-name": MyObjective}


class PolyLoss(SupervisedObjective):
    """A loss per labelled row; one that learns from unlabelled rows too has a base in ``kexp.semi_supervised``."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (rows,), from fp32 logits of shape (rows, labels)."""
        # From logarithms, so that neither loss nor gradient overflows where the model is utterly wrong.
        log_p = logits.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
        return -log_p + self.epsilon * (1 - log_p.exp())
