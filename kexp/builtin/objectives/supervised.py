"""Supervised objectives besides cross entropy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kexp.builtin.objectives.divergence import kl
from kexp.contracts import (
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    Progress,
    StepLoss,
    SupervisedObjective,
    SupervisedObjectiveOptions,
    UnlabelledBatch,
)
from kexp.cross_entropy import ClassWeights, SmoothedOptions, class_weights, weight_problems

if TYPE_CHECKING:
    import torch


class FocalOptions(SupervisedObjectiveOptions):
    """Focal loss for K classes: ``-alpha_y (1 - p_y)^gamma log p_y`` (Lin et al. 2017, equation 5)."""

    gamma: float = Field(
        2.0, ge=0, le=20, description="How strongly well-classified rows are discounted; 0 is cross entropy."
    )
    alpha: ClassWeights = Field("none", description="none, balanced, or one weight per label id.")

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights."""
        return weight_problems(self.alpha, labels)

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return Focal(self.gamma, class_weights(self.alpha, context))


class Focal(SupervisedObjective):
    """The focal loss per row."""

    def __init__(self, gamma: float, alpha: torch.Tensor | None) -> None:
        self.gamma = gamma
        self.alpha = alpha

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row."""
        log_probability = logits.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
        # 1 - p from the logarithm: exact near p = 1, where the gradient of a power of 1 - exp() would be noise.
        miss = -log_probability.expm1()
        losses = -(miss.clamp(min=1e-12) ** self.gamma) * log_probability
        return losses if self.alpha is None else losses * self.alpha.to(losses.device)[labels]


class RDropOptions(SmoothedOptions):
    """Cross entropy of two passes with different dropout, and their divergence (Liang et al. 2021, equation 4)."""

    several_processes: ClassVar[bool] = True

    alpha: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="Weight of the divergence; the paper tries 0.1, 0.5 and 1 on GLUE."
    )

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return RDrop(self.cross_entropy(context), self.alpha)


class RDrop(Objective):
    """``mean of (CE_1 + CE_2) / 2 + alpha (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2`` over the rows.

    The mean of the two cross entropies is that of the authors' code; the paper writes their sum, whose alpha is half as
    strong. It is no loss per row, since it takes two predictions of each, so that other objectives cannot nest it.
    """

    def __init__(self, supervised: SupervisedObjective, alpha: float) -> None:
        self.supervised = supervised
        self.alpha = alpha

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss; the rows go through one forward pass twice, each time with dropout of their own."""
        first, second = model.logits(labelled.inputs, labelled.inputs)
        first, second, labels = labelled.gather(model, first, second, labelled.labels)
        losses = self.supervised.losses(first, labels) + self.supervised.losses(second, labels)
        supervised = losses.mean() / 2
        one, two = first.log_softmax(-1), second.log_softmax(-1)
        divergence = (kl(one, two) + kl(two, one)).mean() / 2
        logs = {"supervised_loss": supervised.detach(), "divergence": divergence.detach()}
        return StepLoss(labelled.part(supervised + self.alpha * divergence), logs)


class MeanSquaredErrorOptions(SupervisedObjectiveOptions):
    """Squared error between the probabilities and the one-hot label: ``w_y / K sum_k (p_k - [k = y])^2``.

    With ``reduction = "sum"``, and no weights, it is the score of Brier (1950). Where the model is certain and wrong,
    its gradient vanishes, unlike that of cross entropy.
    """

    reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Over the K labels of a row: mean is the metric mse, sum is K times as much, the Brier score.",
    )
    class_weights: ClassWeights = Field(
        "none", description="none, balanced (inverse to the class's rows), or one weight per label id."
    )

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights."""
        return weight_problems(self.class_weights, labels)

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return MeanSquaredError(self.reduction, class_weights(self.class_weights, context))


class MeanSquaredError(SupervisedObjective):
    """The squared error per row; a step takes its mean over the rows."""

    def __init__(self, reduction: Literal["mean", "sum"], weights: torch.Tensor | None) -> None:
        self.reduction = reduction
        self.weights = weights

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, weighted by its own class."""
        from torch.nn.functional import one_hot

        errors = (logits.softmax(-1) - one_hot(labels, logits.shape[-1])) ** 2
        losses = errors.mean(-1) if self.reduction == "mean" else errors.sum(-1)
        return losses if self.weights is None else losses * self.weights.to(losses.device)[labels]
