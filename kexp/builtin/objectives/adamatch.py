"""AdaMatch: a threshold relative to the confidence on labelled rows (Berthelot et al. 2022, arXiv 2106.04732)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kexp.builtin.objectives.alignment import SMALLEST, WINDOW
from kexp.builtin.objectives.hard_targets import FixedThreshold, hard_consistency
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
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
    confidence_warnings,
    require_unlabelled,
    view_logits,
)

if TYPE_CHECKING:
    import torch


class AdaMatchOptions(SemiSupervisedOptions):
    """FixMatch with a relative threshold and labels aligned to the labelled rows (Berthelot et al. 2022, section 3).

    The original is the weakly augmented view, its augmented view the strongly augmented one.
    """

    uses_augmented: ClassVar[bool] = True
    several_processes: ClassVar[bool] = True

    confidence: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Unlabelled rows count when their largest probability is at least this share of the labelled "
        "rows' mean one (tau).",
    )

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield a threshold that masks nothing: that of a step is at most ``confidence``."""
        yield from super().label_warnings(labels)
        yield from confidence_warnings(self.confidence, labels)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return AdaMatch(self, self.build_supervised(context), ModelAlignment(len(context.class_counts)))


class ModelAlignment:
    """Multiplies a prediction by ``E[p(labelled)] / E[p(unlabelled)]`` and normalises it again (section 3.3).

    Both means are over the last ``WINDOW`` batches, this one included. The authors' code has this window for the
    unlabelled rows, and for the labelled ones an exponential average of momentum 0.999. Its windows begin as equal
    class shares; here a mean is that of the batches that have been, so that a short training is aligned too.
    """

    def __init__(self, labels: int) -> None:
        import torch

        self.means = torch.zeros(0, 2, labels)

    def __call__(self, labelled: torch.Tensor, unlabelled: torch.Tensor) -> torch.Tensor:
        """Return aligned logits of the unlabelled rows, shape (rows, classes), without gradient."""
        import torch

        batch = torch.stack([logits.detach().softmax(-1).mean(0) for logits in (labelled, unlabelled)])
        self.means = torch.cat([self.means.to(batch), batch[None]])[-WINDOW:]
        of_labelled, of_unlabelled = self.means.mean(0) + SMALLEST
        aligned: torch.Tensor = unlabelled.detach() + (of_labelled / of_unlabelled).log()
        return aligned

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the mean predictions of the last batches, of labelled and unlabelled rows: (batches, 2, classes)."""
        return {"means": self.means}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore them."""
        self.means = state["means"]


class AdaMatch(SemiSupervisedObjective):
    """``mean supervised loss + coefficient * mu(t) * hard consistency`` (section 3.5).

    The labels are the most probable classes of the aligned predictions, and the threshold of a step is ``confidence``
    times the mean largest probability of its labelled rows (section 3.4). ``mu(t) = 1/2 - cos(min(pi, 2 pi t/T))/2``
    is 1 from half of training on.

    Two parts of the paper are left out. Random logit interpolation (section 3.2) mixes predictions of labelled rows
    made with and without unlabelled rows beside them, which batch norm makes different; transformers have none. And
    labelled rows have one view, that of ``augmentation.labelled``, not a weak and a strong one.
    """

    def __init__(self, options: AdaMatchOptions, supervised: SupervisedObjective, alignment: ModelAlignment) -> None:
        super().__init__(supervised, alignment=alignment)
        self.options = options
        self.alignment = alignment

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss of the labelled rows and of the unlabelled ones."""
        unlabelled = require_unlabelled(unlabelled)
        views = view_logits(model, labelled, unlabelled)
        supervised = self.supervised.row_losses(views.labelled, views.labels).mean()
        threshold = self.options.confidence * views.labelled.detach().softmax(-1).max(-1).values.mean()
        aligned = replace(views, original=self.alignment(views.labelled, views.original))
        consistency = hard_consistency(aligned, FixedThreshold(threshold))
        coefficient = self.options.coefficient * warmup(progress)
        logs = {"threshold": threshold, "coefficient": threshold.new_full((), coefficient)}
        return StepLoss(
            labelled.part(supervised + coefficient * consistency.loss),
            {"supervised_loss": supervised.detach(), **consistency.logs, **logs},
        )


def warmup(progress: Progress) -> float:
    """Return mu(t), which rises from 0 to 1 along half a cosine over the first half of training."""
    return 0.5 - math.cos(min(math.pi, 2 * math.pi * progress.step / progress.total_steps)) / 2
