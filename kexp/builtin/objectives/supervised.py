"""Supervised objectives."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kexp.builtin.objectives.divergence import kl
from kexp.contracts import (
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    StepLoss,
    SupervisedObjective,
    UnlabelledBatch,
)

if TYPE_CHECKING:
    import torch

ClassWeights = Literal["none", "balanced"] | tuple[float, ...]


def _class_weights(weights: ClassWeights, context: ObjectiveContext) -> torch.Tensor | None:
    """Return a weight per class with a mean of 1 over the rows: ``rows / (classes * count)`` when balanced."""
    import torch

    counts = torch.tensor(context.class_counts, dtype=torch.float32)
    if weights == "none":
        return None
    if weights == "balanced":
        return counts.sum() / (len(counts) * counts.clamp(min=1))
    return torch.tensor(weights, dtype=torch.float32)


def _check_weights(weights: ClassWeights, labels: int) -> Iterable[str]:
    if isinstance(weights, tuple) and len(weights) != labels:
        yield f"{len(weights)} weights are given for {labels} labels"
    if isinstance(weights, tuple) and not all(map(math.isfinite, weights)):
        yield "weights must be finite"
    if isinstance(weights, tuple) and (min(weights, default=0) < 0 or sum(weights) == 0):
        yield "weights must not be negative, nor all 0"


class CrossEntropyOptions(ObjectiveOptions):
    """Cross entropy, with label smoothing (Szegedy et al. 2016, section 7) and class weights."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over all labels.")
    class_weights: ClassWeights = Field(
        "none", description="none, balanced (inverse to the class's rows), or one weight per label id."
    )

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights."""
        return _check_weights(self.class_weights, labels)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return CrossEntropy(self.label_smoothing, _class_weights(self.class_weights, context))


class CrossEntropy(SupervisedObjective):
    """``w_y * (-(1 - s) log p_y - s / K sum_k log p_k)`` per row."""

    def __init__(self, smoothing: float, weights: torch.Tensor | None) -> None:
        self.smoothing = smoothing
        self.weights = weights

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, weighted by its own class."""
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        return losses if self.weights is None else losses * self.weights.to(losses.device)[labels]


class FocalOptions(ObjectiveOptions):
    """Focal loss for K classes: ``-alpha_y (1 - p_y)^gamma log p_y`` (Lin et al. 2017, equation 5)."""

    gamma: float = Field(
        2.0, ge=0, le=20, description="How strongly well-classified rows are discounted; 0 is cross entropy."
    )
    alpha: ClassWeights = Field("none", description="none, balanced, or one weight per label id.")

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights."""
        return _check_weights(self.alpha, labels)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return Focal(self.gamma, _class_weights(self.alpha, context))


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


class RDropOptions(CrossEntropyOptions):
    """Cross entropy of two passes with different dropout, and their divergence (Liang et al. 2021, equation 4)."""

    alpha: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="Weight of the divergence; the paper tries 0.1, 0.5 and 1 on GLUE."
    )

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return RDrop(CrossEntropy(self.label_smoothing, _class_weights(self.class_weights, context)), self.alpha)


class RDrop(Objective):
    """``mean of (CE_1 + CE_2) / 2 + alpha (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2`` over the rows.

    The mean of the two cross entropies is that of the authors' code; the paper writes their sum, whose alpha is half as
    strong. No loss per row of one prediction, so that other objectives cannot nest it.
    """

    def __init__(self, supervised: SupervisedObjective, alpha: float) -> None:
        self.supervised = supervised
        self.alpha = alpha

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss; the rows go through one forward pass twice, each time with dropout of their own."""
        first, second = model.logits(labelled.inputs, labelled.inputs)
        losses = self.supervised.losses(first, labelled.labels) + self.supervised.losses(second, labelled.labels)
        supervised = losses.mean() / 2
        one, two = first.log_softmax(-1), second.log_softmax(-1)
        divergence = (kl(one, two) + kl(two, one)).mean() / 2
        logs = {"supervised_loss": supervised.detach(), "divergence": divergence.detach()}
        return StepLoss(supervised + self.alpha * divergence, logs)
