"""Objectives that train on the model's own most probable class: pseudo-labels and FixMatch, and what others share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from kexp.contracts import (
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    Progress,
    StepLoss,
    SupervisedObjective,
    UnlabelledBatch,
)
from kexp.errors import Problem
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
    Stateful,
    ViewLogits,
    agreement,
    confidence_warnings,
    full_confidence_warnings,
    require_unlabelled,
    target_logs,
    view_logits,
)

if TYPE_CHECKING:
    import torch

# --- consistency with weighted hard targets -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each unlabelled row counts, shape (rows,), from 0 to 1 and without gradient; and what to log of it."""

    values: torch.Tensor
    logs: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Weighting(Stateful, Protocol):
    """Decides from the predictions of the originals how much each row counts."""

    def __call__(self, probabilities: torch.Tensor, rows: torch.Tensor) -> Weights:
        """Weigh ``probabilities`` of shape (rows, classes); ``rows`` are their numbers among all unlabelled ones."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """The loss on one step's unlabelled rows, the weights it was made with, and what to log."""

    loss: torch.Tensor
    weights: torch.Tensor
    logs: Mapping[str, torch.Tensor]


def hard_consistency(views: ViewLogits, weighting: Weighting) -> Consistency:
    """Return ``1/N sum_u w_u H(argmax p(original), p(augmented))``: the mean over all N rows, not those that count."""
    from torch.nn.functional import cross_entropy, one_hot

    probabilities = views.original.softmax(-1)
    labels = probabilities.argmax(-1)
    weights = weighting(probabilities, views.rows)
    loss = (cross_entropy(views.augmented, labels, reduction="none") * weights.values).mean()
    target = one_hot(labels, probabilities.shape[-1]).to(probabilities.dtype)
    return Consistency(
        loss,
        weights.values,
        {
            "unsupervised_loss": loss.detach(),
            **target_logs(target, probabilities, weights.values),
            "agreement": agreement(probabilities, views.augmented),
            **weights.logs,
        },
    )


class HardTargets(SemiSupervisedObjective):
    """``mean supervised loss + coefficient * hard consistency``; what differs between methods is the weighting."""

    def __init__(self, supervised: SupervisedObjective, weighting: Weighting, coefficient: float) -> None:
        super().__init__(supervised, weighting=weighting)
        self.weighting = weighting
        self.coefficient = coefficient

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss of the labelled rows and of the unlabelled ones."""
        unlabelled = require_unlabelled(unlabelled)
        views = view_logits(model, labelled, unlabelled)
        supervised = self.supervised.row_losses(views.labelled, views.labels).mean()
        consistency = hard_consistency(views, self.weighting)
        logs = {"supervised_loss": supervised.detach(), **consistency.logs}
        return StepLoss(labelled.part(supervised + self.coefficient * consistency.loss), logs)


# --- FixMatch -------------------------------------------------------------------------------------------------------


class FixMatchOptions(SemiSupervisedOptions):
    """Confident predictions of the originals are the labels of the augmented texts (Sohn et al. 2020, equation 4).

    The original is the weakly augmented view, its augmented view the strongly augmented one.
    """

    uses_augmented: ClassVar[bool] = True
    several_processes: ClassVar[bool] = True

    confidence: float = Field(
        0.95, gt=0, le=1, description="Unlabelled rows count when their largest probability is at least this."
    )

    def warnings(self) -> Iterable[Problem]:
        """Yield a threshold that masks everything."""
        yield from super().warnings()
        yield from full_confidence_warnings(self.confidence)

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield a threshold that masks nothing."""
        yield from super().label_warnings(labels)
        yield from confidence_warnings(self.confidence, labels)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return HardTargets(self.build_supervised(context), FixedThreshold(self.confidence), self.coefficient)


class FixedThreshold:
    """Weight 1 for rows whose largest probability is at least ``threshold``, else 0."""

    def __init__(self, threshold: float | torch.Tensor) -> None:
        self.threshold = threshold

    def __call__(self, probabilities: torch.Tensor, rows: torch.Tensor) -> Weights:
        """Weigh each row."""
        return Weights((probabilities.max(-1).values >= self.threshold).to(probabilities.dtype))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return nothing: the threshold is given."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore nothing."""


# --- pseudo-labels --------------------------------------------------------------------------------------------------


class PseudoLabelOptions(SemiSupervisedOptions):
    """The most probable class of an unlabelled row is taken for its label (Lee 2013, equations 14 to 16)."""

    several_processes: ClassVar[bool] = True

    coefficient: float = Field(
        3.0, ge=0, allow_inf_nan=False, description="Weight of the unlabelled loss once it has risen (alpha_f)."
    )
    start: float = Field(0.1, ge=0, le=1, description="Share of training after which the weight rises from 0 (T1).")
    full: float = Field(0.6, ge=0, le=1, description="Share of training after which the weight is full (T2).")

    def problems(self) -> Iterable[Problem]:
        """Yield a ramp that runs backwards."""
        yield from super().problems()
        if self.full < self.start:
            yield Problem("full", f"{self.full:g} is before start, {self.start:g}")

    def warnings(self) -> Iterable[Problem]:
        """Yield a ramp that never begins."""
        yield from super().warnings()
        if self.start == 1:
            yield Problem("start", "with 1 training ends before the unlabelled rows are used")

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return PseudoLabel(self, self.build_supervised(context))


class PseudoLabel(SemiSupervisedObjective):
    """``mean supervised loss + alpha(t) / N sum_u H(argmax p_u, p_u)``.

    ``alpha(t)`` is 0 until ``start``, then rises linearly to the coefficient, which it has from ``full`` on. The paper
    gives T1 = 100 and T2 = 600 without the length of training; here both are shares of it.
    """

    def __init__(self, options: PseudoLabelOptions, supervised: SupervisedObjective) -> None:
        super().__init__(supervised)
        self.options = options

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss, from one forward pass; the unlabelled rows are left out of it while alpha is 0."""
        from torch.nn.functional import cross_entropy, one_hot

        unlabelled, alpha = require_unlabelled(unlabelled), self.alpha(progress)
        if alpha == 0:
            (logits,) = model.logits(labelled.inputs)
            logits, true = labelled.gather(model, logits, labelled.labels)
            supervised = self.supervised.row_losses(logits, true).mean()
            none = supervised.new_zeros(())
            return StepLoss(labelled.part(supervised), {"supervised_loss": supervised.detach(), "confident": none})
        logits, original = model.logits(labelled.inputs, unlabelled.original)
        logits, true = labelled.gather(model, logits, labelled.labels)
        (original,) = unlabelled.gather(model, original)
        supervised = self.supervised.row_losses(logits, true).mean()
        labels = original.detach().argmax(-1)
        unsupervised = cross_entropy(original, labels)
        probabilities = original.detach().softmax(-1)
        target = one_hot(labels, probabilities.shape[-1]).to(probabilities.dtype)
        return StepLoss(
            labelled.part(supervised + alpha * unsupervised),
            {
                "supervised_loss": supervised.detach(),
                "unsupervised_loss": unsupervised.detach(),
                **target_logs(target, probabilities, probabilities.new_ones(len(labels))),
                "coefficient": probabilities.new_full((), alpha),
            },
        )

    def alpha(self, progress: Progress) -> float:
        """Return the weight of the unlabelled loss at this step (equation 16)."""
        share, options = progress.step / progress.total_steps, self.options
        if share >= options.full:
            return options.coefficient
        if share <= options.start:
            return 0.0
        return options.coefficient * (share - options.start) / (options.full - options.start)
