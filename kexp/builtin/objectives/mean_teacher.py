"""Mean teacher (Tarvainen and Valpola 2017, arXiv 1703.01780)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, ClassVar

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
from kexp.semi_supervised import (
    SemiSupervisedObjective,
    SemiSupervisedOptions,
    agreement,
    require_unlabelled,
    target_logs,
)

if TYPE_CHECKING:
    import torch


class MeanTeacherOptions(SemiSupervisedOptions):
    """A moving average of the model is the teacher of what it predicts (Tarvainen and Valpola 2017)."""

    uses_augmented: ClassVar[bool] = True

    coefficient: float = Field(
        100.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the consistency once it has risen; its error is a mean over the classes.",
    )
    rampup: float = Field(0.27, ge=0, le=1, description="Share of training in which coefficient and teacher settle.")
    rampup_decay: float = Field(0.99, ge=0, lt=1, description="Decay of the teacher's weights during the ramp-up.")
    decay: float = Field(0.999, ge=0, lt=1, description="Decay of the teacher's weights after it.")

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""
        return MeanTeacher(self, self.build_supervised(context))


class Teacher:
    """A moving average of the student: ``teacher = a teacher + (1 - a) student`` after every step.

    It is made when it is first used. As in the authors' code, a is at most 1 - 1/(n + 1) at the n-th move, so that
    the average is a true one before it is a moving one.
    """

    def __init__(self) -> None:
        self.module: torch.nn.Module | None = None
        self.moves = 0
        self._waiting: dict[str, torch.Tensor] = {}

    def of(self, student: torch.nn.Module) -> torch.nn.Module:
        """Return the teacher, at first a copy of the student or what a checkpoint holds."""
        if self.module is None:
            self.module = deepcopy(student).requires_grad_(False).eval()
            if self._waiting:
                self.module.load_state_dict(self._waiting)
                self._waiting = {}
        return self.module

    def update(self, student: torch.nn.Module, decay: float) -> None:
        """Move every weight towards the student's; what is no weight, such as a statistic, is copied."""
        import torch

        teacher = self.of(student)
        self.moves += 1
        share = max(1 - decay, 1 / (self.moves + 1))
        with torch.no_grad():
            for weight, current in zip(teacher.parameters(), student.parameters(), strict=True):
                weight.lerp_(current.to(weight.dtype), share)
            for statistic, copied in zip(teacher.buffers(), student.buffers(), strict=True):
                statistic.copy_(copied)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the teacher's weights, as they stand and not copied, and how often it has moved."""
        import torch

        weights = self._waiting if self.module is None else self.module.state_dict()
        moves = {"moves": torch.tensor(self.moves)} if weights else {}
        return {**moves, **{f"module.{name}": value for name, value in weights.items()}}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore them; the copy itself is made at the next step."""
        prefix = "module."
        self._waiting = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        self.moves = int(state["moves"]) if "moves" in state else 0
        self.module = None


class MeanTeacher(SemiSupervisedObjective):
    """``mean supervised loss + coefficient(t) / (N K) sum_u |p_student(augmented) - p_teacher(original)|^2``.

    The coefficient rises as ``exp(-5 (1 - x)^2)`` over the ramp-up. The teacher sees the original, without dropout and
    without gradient. The paper also applies the consistency to labelled rows; here, to the unlabelled ones alone.
    """

    def __init__(self, options: MeanTeacherOptions, supervised: SupervisedObjective) -> None:
        self.teacher = Teacher()
        super().__init__(supervised, teacher=self.teacher)
        self.options = options

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss, from one pass of the student and one of the teacher."""
        unlabelled = require_unlabelled(unlabelled)
        logits, augmented = model.logits(labelled.inputs, unlabelled.augmented)
        target = model.target_logits(unlabelled.original, self.teacher.of(model.module)).detach().log_softmax(-1)
        supervised = self.supervised.row_losses(logits, labelled.labels).mean()
        unsupervised = mse(target, augmented.log_softmax(-1)).mean() / augmented.shape[-1]
        coefficient, probabilities = self.coefficient(progress), target.exp()
        return StepLoss(
            supervised + coefficient * unsupervised,
            {
                "supervised_loss": supervised.detach(),
                "unsupervised_loss": unsupervised.detach(),
                **target_logs(probabilities, probabilities, probabilities.new_ones(len(probabilities))),
                "agreement": agreement(target, augmented),
                "coefficient": probabilities.new_full((), coefficient),
            },
        )

    def stepped(self, model: Model, progress: Progress) -> None:
        """Update the teacher."""
        super().stepped(model, progress)
        settling = progress.step < self.options.rampup * progress.total_steps
        self.teacher.update(model.module, self.options.rampup_decay if settling else self.options.decay)

    def coefficient(self, progress: Progress) -> float:
        """Return the weight of the consistency at this step."""
        rampup = self.options.rampup * progress.total_steps
        risen = min(progress.step / rampup, 1.0) if rampup else 1.0
        return self.options.coefficient * math.exp(-5 * (1 - risen) ** 2)
