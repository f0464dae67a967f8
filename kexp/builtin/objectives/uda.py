"""Unsupervised data augmentation (Xie et al. 2020, arXiv 1904.12848), computed as its authors' code for text does."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from kexp.builtin.objectives.alignment import WINDOW, Alignment, AlignmentName, class_prior
from kexp.builtin.objectives.divergence import DIVERGENCES, DivergenceName
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
from kexp.contracts.task import CLASS, LABEL_SET
from kexp.errors import Problem
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
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

Annealing = Literal["none", "linear", "log", "exp"]
Logs = dict[str, "torch.Tensor"]


class UdaOptions(SemiSupervisedOptions):
    """Unsupervised data augmentation: predict of an augmented text what the original predicts (Xie et al. 2020).

    With a supervised objective of label sets, every label is a task of its own with two classes, yes and no:
    temperature, confidence and divergence are those of its two probabilities, and the loss is the mean over the labels.
    """

    uses_augmented: ClassVar[bool] = True
    targets: ClassVar[Collection[str]] = (CLASS, LABEL_SET)
    several_processes: ClassVar[bool] = True

    tsa: Annealing = Field(
        "none",
        description="Training signal annealing: how the true-class probability rises that leaves a labelled row out.",
    )
    tsa_divisor: Literal["kept", "batch"] = Field(
        "kept",
        description="What divides the annealed loss: the rows that stay, as with the authors, or all of the batch.",
    )
    temperature: float = Field(
        1.0, ge=0.01, le=10, description="Divides the originals' logits; below 1 sharpens the targets, 1 leaves them."
    )
    confidence: float = Field(
        0.0, ge=0, le=1, description="Unlabelled rows count only where their largest probability is above it; 0 is off."
    )
    coefficient_rampup: NonNegativeInt = Field(
        0, description="Steps over which the coefficient rises linearly from 0, after supervised_warmup."
    )
    supervised_warmup: NonNegativeInt = Field(0, description="Steps of training on labelled rows alone at the start.")
    distribution_alignment: AlignmentName = Field(
        "none", description="Rescale the targets to equal class shares, or to those of the labelled rows."
    )
    divergence: DivergenceName = Field("kl", description="Kullback-Leibler, Jensen-Shannon, or squared distance.")
    target_mode: Literal["train", "eval"] = Field(
        "train", description="Whether dropout is active while the originals are predicted, as with the authors."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield what is defined for one class per row alone."""
        yield from super().problems()
        if CLASS in self.supervised.targets:
            return
        if self.tsa != "none":
            reason = "leaves out rows whose true class is probable; the labelled rows have no class"
            yield Problem("tsa", reason, 'set it to "none"')
        if self.distribution_alignment != "none":
            reason = "aligns the shares of classes, which add up to 1; the labelled rows have no class"
            yield Problem("distribution_alignment", reason, 'set it to "none"')

    def warnings(self) -> Iterable[Problem]:
        """Yield thresholds and temperatures that undo what they are for."""
        yield from super().warnings()
        yield from full_confidence_warnings(self.confidence)
        if self.temperature > 1:
            yield Problem("temperature", f"{self.temperature:g} flattens the targets; below 1 sharpens them")
        if self.tsa == "none" and self.tsa_divisor == "batch":
            yield Problem(
                "tsa_divisor", "has no effect without annealing, which leaves rows out", "set tsa, or remove it"
            )

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield a confidence that masks nothing, or that annealing keeps out of reach for most of training."""
        yield from super().label_warnings(labels)
        yield from confidence_warnings(self.confidence, self.outcomes.number(labels))
        share = reached_at(self.tsa, self.confidence, labels)
        if share > 0.5:
            yield (
                f"confidence: tsa {self.tsa} holds the labelled rows below {self.confidence:g} for the first "
                f"{share:.0%} of training; until then hardly an unlabelled row may count"
            )

    def step_warnings(self, steps: int, batches: int) -> Iterable[str]:
        """Yield a warm-up or ramp-up that leaves nothing, and an alignment that hardly begins."""
        yield from super().step_warnings(steps, batches)
        if self.supervised_warmup >= steps:
            yield f"supervised_warmup: training ends after {steps:,} steps, before the unlabelled rows are used"
        elif self.supervised_warmup + self.coefficient_rampup > steps:
            yield f"coefficient_rampup: training ends after {steps:,} steps, before the coefficient has risen"
        if self.distribution_alignment != "none" and batches < WINDOW / 2:
            yield (
                f"distribution_alignment: the mean prediction is that of {WINDOW} batches, of which {batches:,} are "
                "trained on and the others count as uniform; hardly anything is aligned"
            )

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        prior = class_prior(self.distribution_alignment, context)
        return Uda(self, self.build_supervised(context), Alignment(prior))


def tsa_threshold(schedule: Annealing, share: float, labels: int) -> float:
    """Return ``a (1 - 1/K) + 1/K`` with a of the schedule at ``share`` = t/T of training; 1 for none.

    Linear is a = x, exp is exp(5 (x - 1)), log is 1 - exp(-5 x).
    """
    if schedule == "none":
        return 1.0
    annealed = {"linear": share, "exp": math.exp(5 * (share - 1)), "log": 1 - math.exp(-5 * share)}[schedule]
    return annealed * (1 - 1 / labels) + 1 / labels


def reached_at(schedule: Annealing, threshold: float, labels: int) -> float:
    """Return the share of training after which the annealed threshold is above ``threshold``; 0 for at once."""
    annealed = (threshold - 1 / labels) / (1 - 1 / labels)
    if schedule == "none" or annealed <= 0:
        return 0.0
    if annealed >= 1 or schedule == "linear":
        return min(annealed, 1.0)
    inverse = 1 + math.log(annealed) / 5 if schedule == "exp" else -math.log(1 - annealed) / 5
    return min(max(inverse, 0.0), 1.0)


class Uda(SemiSupervisedObjective):
    """``sum(mask CE) / max(sum(mask), 1) + coefficient / N sum_u mask_u KL(p(original) || p(augmented))``."""

    def __init__(self, options: UdaOptions, supervised: SupervisedObjective, alignment: Alignment) -> None:
        super().__init__(supervised, alignment=alignment)
        self.options = options
        self.alignment = alignment

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss; labelled and augmented rows share a pass, the originals have one without gradient."""
        unlabelled = require_unlabelled(unlabelled)
        if progress.step < self.options.supervised_warmup:
            (logits,) = model.logits(labelled.inputs)
            logits, labels = labelled.gather(model, logits, labelled.labels)
            loss, logs = self._annealed(logits, labels, progress)
            return StepLoss(labelled.part(loss), logs | {"confident": loss.new_zeros(())})
        views = self._forward(model, labelled, unlabelled)
        supervised, logs = self._annealed(views.labelled, views.labels, progress)
        unsupervised, more = self._consistency(views)
        loss = supervised + self._coefficient(progress) * unsupervised
        return StepLoss(labelled.part(loss), logs | more)

    def _forward(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch) -> ViewLogits:
        """Predict the originals with dropout or without it."""
        if self.options.target_mode == "train":
            return view_logits(model, labelled, unlabelled)
        logits, augmented = model.logits(labelled.inputs, unlabelled.augmented)
        original = model.target_logits(unlabelled.original)
        return ViewLogits.gathered(model, labelled, unlabelled, logits, original, augmented)

    def _annealed(self, logits: torch.Tensor, labels: torch.Tensor, progress: Progress) -> tuple[torch.Tensor, Logs]:
        """Return the mean loss of the labelled rows that the model is not yet sure of (training signal annealing).

        A row is left out when the probability of its true class, not the largest one, is strictly above the threshold;
        the divisor is the number of rows that stay, at least 1, or with ``tsa_divisor`` that of all rows.
        """
        threshold, kept = 1.0, logits.new_ones(len(logits))
        if self.options.tsa != "none":
            threshold = tsa_threshold(self.options.tsa, progress.step / progress.total_steps, logits.shape[-1])
            true = logits.detach().softmax(-1).gather(1, labels[:, None])[:, 0]
            kept = (true <= threshold).to(logits.dtype)
        rows = kept.sum().clamp(min=1) if self.options.tsa_divisor == "kept" else len(kept)
        loss = (self.supervised.row_losses(logits, labels) * kept).sum() / rows
        return loss, {
            "supervised_loss": loss.detach(),
            "tsa_threshold": kept.new_full((), threshold),
            "tsa_left_out": 1 - kept.mean(),
        }

    def _consistency(self, views: ViewLogits) -> tuple[torch.Tensor, Logs]:
        """Return the mean divergence over all unlabelled rows, of which those below the confidence count as zero.

        Of label sets, over all labels of them, each of which counts or does not.

        Only the originals are aligned and sharpened. The mask looks at them aligned, but not sharpened.
        """
        outcomes = self.options.outcomes.logits
        scores, augmented = outcomes(self.alignment(views.original)), outcomes(views.augmented)
        probabilities = scores.softmax(-1)
        target = (scores / self.options.temperature).log_softmax(-1)
        kept = (probabilities.max(-1).values > self.options.confidence).to(scores.dtype)
        divergence = DIVERGENCES[self.options.divergence]
        loss = (divergence(target, augmented.log_softmax(-1)) * kept).mean()
        return loss, {
            "unsupervised_loss": loss.detach(),
            **target_logs(target.exp(), probabilities, kept),
            "agreement": agreement(outcomes(views.original), augmented),
        }

    def _coefficient(self, progress: Progress) -> float:
        """Return the coefficient, which rises over the steps that follow the supervised warm-up."""
        steps = self.options.coefficient_rampup
        risen = (progress.step - self.options.supervised_warmup) / steps if steps else 1.0
        return self.options.coefficient * min(risen, 1.0)
