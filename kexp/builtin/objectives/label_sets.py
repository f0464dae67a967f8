"""Losses of label sets: every label of a row is a yes or no of its own, whose logit is that of its probability.

Logits are of shape (rows, names), and so are the labels, 1 for those that a row has and 0 for the others. The loss of
a row is the mean over its labels unless a reduction says otherwise, so that a learning rate that fits few labels fits
many.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from kexp.contracts import ObjectiveContext, SupervisedObjective, SupervisedObjectiveOptions
from kexp.contracts.task import LABEL_SET
from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch

PositiveWeights = Literal["none", "balanced"] | tuple[float, ...]
Share = Annotated[float, Field(ge=0, le=1)]
Alpha = Literal["none"] | Share | tuple[Share, ...]
Reduction = Literal["mean", "sum"]

SMALLEST = 1e-12
"""Least base of a power, whose gradient at 0 would be infinite for an exponent below 1."""


class BinaryCrossEntropyOptions(SupervisedObjectiveOptions):
    """Binary cross entropy of every label: the mean of ``-w_k y_k log p_k - (1 - y_k) log(1 - p_k)`` over them.

    It is ``torch.nn.BCEWithLogitsLoss`` with its ``pos_weight``.
    """

    targets: ClassVar[Collection[str]] = (LABEL_SET,)

    pos_weight: PositiveWeights = Field(
        "none",
        description="Weight of a label where a row has it: none, balanced (rows without it by rows with it), or one "
        "number per label.",
    )

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights, and weights that leave a label out."""
        if not isinstance(self.pos_weight, tuple):
            return
        yield from _number_problems("pos_weight", len(self.pos_weight), labels)
        if not all(math.isfinite(weight) and weight > 0 for weight in self.pos_weight):
            yield "pos_weight: weights must be finite and above 0"

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective; raises ``KexpError`` where balanced weights lack the number of rows."""
        return BinaryCrossEntropy(positive_weights(self.pos_weight, context))


def positive_weights(weights: PositiveWeights, context: ObjectiveContext) -> torch.Tensor | None:
    """Return the weight of each label where a row has it, of shape (names,); None for 1.

    Balanced weights are ``(rows - count) / count``, with which a label's rows with and without it weigh as much
    altogether. Both numbers are at least 1: a label that all rows have keeps a small weight.
    """
    import torch

    if weights == "none":
        return None
    if weights == "balanced":
        counts = torch.tensor(context.class_counts, dtype=torch.float32)
        if context.rows < max(context.class_counts, default=0):
            found = f"rows is {context.rows:,} and class_counts up to {max(context.class_counts):,}"
            raise KexpError(f"objective.pos_weight: balanced needs the number of train rows, but {found}")
        return (context.rows - counts).clamp(min=1) / counts.clamp(min=1)
    return torch.tensor(weights, dtype=torch.float32)


class LabelSetObjective(SupervisedObjective):
    """Base of losses that are made of one loss per row and label."""

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = reduction

    @abstractmethod
    def label_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each label of each row, shape (rows, names); ``labels`` have the type of the logits."""

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, from labels of 0 and 1 of shape (rows, names)."""
        losses = self.label_losses(logits, labels.to(logits.dtype))
        return losses.mean(-1) if self.reduction == "mean" else losses.sum(-1)


class BinaryCrossEntropy(LabelSetObjective):
    """The binary cross entropy per row."""

    def __init__(self, weights: torch.Tensor | None) -> None:
        super().__init__()
        self.weights = weights

    def label_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the binary cross entropy of each label, weighted where the row has it."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        weights = None if self.weights is None else self.weights.to(logits)
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=weights, reduction="none")


class BinaryFocalOptions(SupervisedObjectiveOptions):
    """Focal loss of every label: the mean of ``-alpha_t (1 - p_t)^gamma log p_t`` (Lin et al. 2017, equation 5).

    ``p_t`` is the probability of what is right of a label, that the row has it or has it not; ``alpha_t`` is alpha
    where the row has it, else 1 - alpha.
    """

    targets: ClassVar[Collection[str]] = (LABEL_SET,)

    gamma: float = Field(
        2.0,
        ge=0,
        le=20,
        description="How strongly labels that are well predicted are discounted; 0 is binary cross entropy.",
    )
    alpha: Alpha = Field(
        "none",
        description="Weight of a label where a row has it, with 1 - alpha where it has it not: none (1 and 1), a "
        "number for all labels, in the paper 0.25, or one per label.",
    )

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield a wrong number of weights."""
        if isinstance(self.alpha, tuple):
            yield from _number_problems("alpha", len(self.alpha), labels)

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        import torch

        alpha = None if self.alpha == "none" else torch.tensor(self.alpha, dtype=torch.float32)
        return BinaryFocal(self.gamma, alpha)


class BinaryFocal(LabelSetObjective):
    """The focal loss per row, of labels each of which is a yes or no."""

    def __init__(self, gamma: float, alpha: torch.Tensor | None) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha

    def label_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the focal loss of each label."""
        from torch.nn.functional import logsigmoid

        right = (2 * labels - 1) * logits
        # The power as that of a logarithm, whose gradient is finite where 1 - p is 0 in fp32.
        losses = -(self.gamma * logsigmoid(-right)).exp() * logsigmoid(right)
        if self.alpha is None:
            return losses
        alpha = self.alpha.to(logits)
        return losses * (labels * alpha + (1 - labels) * (1 - alpha))


class AsymmetricOptions(SupervisedObjectiveOptions):
    """Asymmetric loss (Ridnik et al. 2021, section 2): labels that a row has not are discounted strongly.

    Of a label that the row has, ``-(1 - p)^gamma_positive log p``; of one that it has not, ``-q^gamma_negative
    log(1 - q)`` with the shifted probability ``q = max(p - clip, 0)``. The loss of a row is their sum, as in the paper.
    """

    targets: ClassVar[Collection[str]] = (LABEL_SET,)

    gamma_negative: float = Field(
        4.0,
        ge=0,
        le=20,
        description="How strongly labels that a row has not are discounted where they are not predicted.",
    )
    gamma_positive: float = Field(
        0.0, ge=0, le=20, description="How strongly labels that a row has are discounted where they are predicted."
    )
    clip: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Taken off the probability of labels that a row has not, which is at least 0.",
    )
    reduction: Reduction = Field(
        "sum",
        description="Over the labels of a row: sum as in the paper, or mean as in the other losses.",
    )

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return Asymmetric(self)


class Asymmetric(LabelSetObjective):
    """The asymmetric loss per row; gradients flow through the discounts too, as in the paper's analysis."""

    def __init__(self, options: AsymmetricOptions) -> None:
        super().__init__(options.reduction)
        self.options = options

    def label_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each label."""
        import torch
        from torch.nn.functional import logsigmoid

        log_yes, log_no = logsigmoid(logits), logsigmoid(-logits)
        positive = (self.options.gamma_positive * log_no).exp() * log_yes
        # log(1 - q) = log min(1 - p + clip, 1), in logarithms: finite where 1 - p is 0 in fp32.
        shift = log_no.new_full((), self.options.clip).log()
        log_shifted = torch.logaddexp(log_no, shift).clamp(max=0)
        shifted = -log_shifted.expm1()
        negative = shifted.clamp(min=SMALLEST) ** self.options.gamma_negative * log_shifted
        return -(labels * positive + (1 - labels) * negative)


def _number_problems(option: str, given: int, labels: int) -> Iterable[str]:
    if given != labels:
        yield f"{option}: {given} weights are given for {labels} labels"
