"""Cross entropy and weights of classes: the objective of labelled rows unless a spec names another one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kexp.contracts import ObjectiveContext, ObjectiveOptions, SupervisedObjective, SupervisedObjectiveOptions

if TYPE_CHECKING:
    import torch

ClassWeights = Literal["none", "balanced"] | tuple[float, ...]


def class_weights(weights: ClassWeights, context: ObjectiveContext) -> torch.Tensor | None:
    """Return a weight per class with a mean of 1 over the rows: ``rows / (classes * count)`` when balanced."""
    import torch

    counts = torch.tensor(context.class_counts, dtype=torch.float32)
    if weights == "none":
        return None
    if weights == "balanced":
        return counts.sum() / (len(counts) * counts.clamp(min=1))
    return torch.tensor(weights, dtype=torch.float32)


def weight_problems(weights: ClassWeights, labels: int) -> Iterable[str]:
    """Yield what is wrong with the weights for this number of labels."""
    if isinstance(weights, tuple) and len(weights) != labels:
        yield f"{len(weights)} weights are given for {labels} labels"
    if isinstance(weights, tuple) and not all(map(math.isfinite, weights)):
        yield "weights must be finite"
    if isinstance(weights, tuple) and (min(weights, default=0) < 0 or sum(weights) == 0):
        yield "weights must not be negative, nor all 0"


class SmoothedOptions(ObjectiveOptions):
    """Base of objectives with a cross entropy: its label smoothing and class weights."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over all labels.")
    class_weights: ClassWeights = Field(
        "none", description="none, balanced (inverse to the class's rows), or one weight per label id."
    )

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights."""
        return weight_problems(self.class_weights, labels)

    def cross_entropy(self, context: ObjectiveContext) -> CrossEntropy:
        """Return the cross entropy of these options."""
        return CrossEntropy(self.label_smoothing, class_weights(self.class_weights, context))


class CrossEntropyOptions(SmoothedOptions, SupervisedObjectiveOptions):
    """Cross entropy, with label smoothing (Szegedy et al. 2016, section 7) and class weights."""

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return self.cross_entropy(context)


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
