"""The loss of ordered classes: a binary cross entropy for each question whether the label is above a class."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar, Literal

from kexp.builtin.tasks.ordinal import Ordinal
from kexp.contracts import ObjectiveContext, SupervisedObjective, SupervisedObjectiveOptions
from kexp.contracts.task import ORDERED_CLASS

if TYPE_CHECKING:
    import torch

Form = Literal["conditional", "cumulative"]


class OrdinalOptions(SupervisedObjectiveOptions):
    """Binary cross entropies of K - 1 logits, added up by row; the ``form`` of the task says what a logit asks.

    Conditional (CORN, Shi et al. 2021, equation 5): of class k, only rows that are above all classes before it are
    asked. The sum is then the negative log probability of the true class; the paper divides it by the number of
    questions of a batch, here it is divided by the rows. Cumulative (Niu et al. 2016, equation 5, with equal weights):
    every row is asked of every class.
    """

    targets: ClassVar[Collection[str]] = (ORDERED_CLASS,)

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return OrdinalLoss(context.task.form if isinstance(context.task, Ordinal) else "conditional")


class OrdinalLoss(SupervisedObjective):
    """The sum of the binary cross entropies per row."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row from logits of shape (rows, K - 1) and ids of shape (rows,)."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        classes = torch.arange(logits.shape[1], device=logits.device)
        above = (labels[:, None] > classes).to(logits.dtype)
        losses = binary_cross_entropy_with_logits(logits, above, reduction="none")
        if self.form == "conditional":
            losses = losses * (labels[:, None] >= classes)
        return losses.sum(1)
