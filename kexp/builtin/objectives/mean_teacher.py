"""Mean teacher (Tarvainen and Valpola 2017, arXiv 1703.01780)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kexp.builtin.objectives.divergence import mse
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
from kexp.moving_average import MovingAverage, decay_warnings
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
    ViewLogits,
    agreement,
    require_unlabelled,
    target_logs,
)

if TYPE_CHECKING:
    import torch


class MeanTeacherOptions(SemiSupervisedOptions):
    """A moving average of the model is the teacher of what it predicts (Tarvainen and Valpola 2017).

    With a supervised objective of label sets, the consistency is the mean over the labels of the squared difference of
    their probabilities, which are sigmoids.
    """

    uses_augmented: ClassVar[bool] = True
    targets: ClassVar[Collection[str]] = (CLASS, LABEL_SET)
    several_processes: ClassVar[bool] = True

    coefficient: float = Field(
        100.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the consistency once it has risen; its error is a mean over classes or labels.",
    )
    rampup: float = Field(0.27, ge=0, le=1, description="Share of training in which coefficient and teacher settle.")
    rampup_decay: float = Field(0.99, ge=0, lt=1, description="Decay of the teacher's weights during the ramp-up.")
    decay: float = Field(0.999, ge=0, lt=1, description="Decay of the teacher's weights after it.")
    evaluate: Literal["student", "teacher"] = Field(
        "student", description="Which of them is evaluated and kept; in the paper, the teacher."
    )

    @property
    def evaluates_average(self) -> bool:
        """Whether the teacher is evaluated."""
        return self.evaluate == "teacher"

    def step_warnings(self, steps: int, batches: int) -> Iterable[str]:
        """Yield a decay that is not reached."""
        yield from super().step_warnings(steps, batches)
        yield from decay_warnings("decay", self.decay, steps)

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return MeanTeacher(self, self.build_supervised(context))


class MeanTeacher(SemiSupervisedObjective):
    """``mean supervised loss + coefficient(t) / (N K) sum_u |p_student(augmented) - p_teacher(original)|^2``.

    The coefficient rises as ``exp(-5 (1 - x)^2)`` over the ramp-up. The teacher sees the original, without dropout and
    without gradient. The paper also applies the consistency to labelled rows; here, to the unlabelled ones alone.
    """

    def __init__(self, options: MeanTeacherOptions, supervised: SupervisedObjective) -> None:
        self.teacher = MovingAverage()
        super().__init__(supervised, teacher=self.teacher)
        self.options = options

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss, from one pass of the student and one of the teacher."""
        unlabelled = require_unlabelled(unlabelled)
        logits, augmented = model.logits(labelled.inputs, unlabelled.augmented)
        taught = model.target_logits(unlabelled.original, self.teacher.of(model.module))
        views = ViewLogits.gathered(model, labelled, unlabelled, logits, taught, augmented)
        outcomes = self.options.outcomes.logits
        target, augmented = outcomes(views.original).log_softmax(-1), outcomes(views.augmented)
        supervised = self.supervised.row_losses(views.labelled, views.labels).mean()
        unsupervised = mse(target, augmented.log_softmax(-1)).mean() / augmented.shape[-1]
        coefficient, probabilities = self.coefficient(progress), target.exp()
        return StepLoss(
            labelled.part(supervised + coefficient * unsupervised),
            {
                "supervised_loss": supervised.detach(),
                "unsupervised_loss": unsupervised.detach(),
                **target_logs(probabilities, probabilities, probabilities.new_ones(probabilities.shape[:-1])),
                "agreement": agreement(target, augmented),
                "coefficient": probabilities.new_full((), coefficient),
            },
        )

    def stepped(self, model: Model, progress: Progress) -> None:
        """Update the teacher."""
        super().stepped(model, progress)
        settling = progress.step < self.options.rampup * progress.total_steps
        self.teacher.update(model.module, self.options.rampup_decay if settling else self.options.decay)

    def averaged(self, model: Model) -> torch.nn.Module | None:
        """Return the teacher, where it is to be evaluated."""
        return self.teacher.of(model.module) if self.options.evaluates_average else None

    def coefficient(self, progress: Progress) -> float:
        """Return the weight of the consistency at this step."""
        rampup = self.options.rampup * progress.total_steps
        risen = min(progress.step / rampup, 1.0) if rampup else 1.0
        return self.options.coefficient * math.exp(-5 * (1 - risen) ** 2)
