"""Bases of semi-supervised objectives: a loss on labelled rows, a loss on unlabelled rows, and what both log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from kexp.contracts import (
    AnyObjective,
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    SupervisedObjective,
    SupervisedObjectiveOptions,
    UnlabelledBatch,
)
from kexp.contracts.objective import build_objective
from kexp.contracts.task import CLASS, LABEL_SET
from kexp.cross_entropy import CrossEntropyOptions
from kexp.errors import KexpError, Problem
from kexp.moving_average import momentum_that_acts
from kexp.options import plugin_results

if TYPE_CHECKING:
    import torch


NOT_PER_ROW = "is not a loss per labelled row"
REMEDY = "name another objective, such as cross-entropy or focal"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a model says of a row as distributions over outcomes, of which exactly one is true.

    ``logits`` returns logits of shape (rows, ..., outcomes), whose softmax over the last axis are the probabilities,
    from those of the model; ``number`` is that of the outcomes for a number of labels.
    """

    logits: Callable[[torch.Tensor], torch.Tensor]
    number: Callable[[int], int]


def _yes_or_no(logits: torch.Tensor) -> torch.Tensor:
    """Return logits of shape (rows, labels, 2): softmax of (0, z) is (1 - p, p) with the sigmoid p of z."""
    import torch

    return torch.stack([torch.zeros_like(logits), logits], -1)


OUTCOMES: Mapping[str, Outcomes] = {
    CLASS: Outcomes(lambda logits: logits, lambda labels: labels),
    LABEL_SET: Outcomes(_yes_or_no, lambda labels: 2),
}
"""Outcomes by kind of targets: of classes one distribution per row, of label sets one of no and yes for each label."""


class SemiSupervisedOptions(ObjectiveOptions):
    """Base of objectives that add a loss on unlabelled rows to that of a supervised objective on labelled rows.

    A subclass sets ``uses_augmented`` to True where it needs an augmented view of every unlabelled row.
    """

    uses_unlabelled: ClassVar[bool] = True

    supervised: AnyObjective = Field(
        default_factory=CrossEntropyOptions,
        description="Objective of the labelled rows; one that is a loss per row.",
        json_schema_extra={"default": "cross-entropy"},
    )
    coefficient: float = Field(1.0, ge=0, allow_inf_nan=False, description="Weight of the loss on unlabelled rows.")

    def problems(self) -> Iterable[Problem]:
        """Yield a supervised objective that is not a loss per row."""
        if not isinstance(self.supervised, SupervisedObjectiveOptions):
            yield Problem("supervised", NOT_PER_ROW, REMEDY)

    def warnings(self) -> Iterable[Problem]:
        """Yield a coefficient with which the unlabelled rows have no effect."""
        if self.coefficient == 0:
            yield Problem("coefficient", "with 0 nothing is learnt from the unlabelled rows")

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield the problems of the supervised objective."""
        return [f"supervised: {message}" for message in plugin_results(self.supervised, "label_problems", str, labels)]

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield the warnings of the supervised objective."""
        return [f"supervised: {message}" for message in plugin_results(self.supervised, "label_warnings", str, labels)]

    def step_warnings(self, steps: int, batches: int) -> Iterable[str]:
        """Yield the warnings of the supervised objective."""
        found = plugin_results(self.supervised, "step_warnings", str, steps, batches)
        return [f"supervised: {message}" for message in found]

    @property
    def outcomes(self) -> Outcomes:
        """How the views of a row are compared, by what the supervised objective is a loss of.

        Raises ``KexpError`` for one whose targets this objective is not defined for.
        """
        for kind in self.supervised.targets:
            if kind in self.targets and kind in OUTCOMES:
                return OUTCOMES[kind]
        found, known = ", ".join(self.supervised.targets), " or ".join(self.targets)
        raise KexpError(f"objective.supervised: is a loss of {found}, expected one of {known}; name another objective")

    def build_supervised(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective of the labelled rows; raises ``KexpError`` when it is not a loss per row."""
        objective = build_objective(self.supervised, context)
        if not isinstance(objective, SupervisedObjective):
            raise KexpError(f"objective.supervised: {NOT_PER_ROW}; {REMEDY}")
        return objective


def confidence_warnings(confidence: float, labels: int) -> Iterator[str]:
    """Yield that a threshold masks nothing: the largest of K probabilities is never below 1/K."""
    if 0 < confidence <= 1 / labels:
        least = f"the largest of {labels} probabilities is at least {1 / labels:.3g}"
        yield f"confidence: {confidence:g} masks nothing; {least}"


def full_confidence_warnings(confidence: float) -> Iterator[Problem]:
    """Yield that a threshold masks everything."""
    if confidence >= 1:
        yield Problem("confidence", "1 masks everything: no probability is above it", "try 0.95")


def momentum_warnings(name: str, momentum: float, updates: int) -> Iterator[str]:
    """Yield that a running average with this momentum is mostly what it began with, even after half of its updates."""
    left = momentum ** (updates / 2)
    if left > 0.5:
        yield (
            f"{name}: with {momentum:g}, {left:.0%} of the running averages is still what they began with after half "
            f"of the {updates:,} batches; {momentum_that_acts(updates):g} would act"
        )


class Stateful(Protocol):
    """A part of an objective that has a state between steps."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what has to be saved."""

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore it."""


class SemiSupervisedObjective(Objective):
    """An objective made of a supervised one and of parts, each of whose states is saved under the name of the part.

    A subclass defines ``step``.
    """

    def __init__(self, supervised: SupervisedObjective, **parts: Stateful) -> None:
        self.supervised = supervised
        self._parts: dict[str, Stateful] = {"supervised": supervised, **parts}

    def stepped(self, model: Model, progress: Progress) -> None:
        """Call ``stepped`` of the supervised objective."""
        self.supervised.stepped(model, progress)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the parts' states, their keys prefixed by the part's name."""
        return {
            f"{name}.{key}": value for name, part in self._parts.items() for key, value in part.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore the state of each part."""
        for name, part in self._parts.items():
            own = f"{name}."
            part.load_state_dict({key.removeprefix(own): value for key, value in state.items() if key.startswith(own)})


# --- unlabelled rows in a step --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ViewLogits:
    """Logits of shape (rows, classes) of the labelled rows and of both views of the unlabelled ones.

    They are those of all processes, as are the ``labels`` of the labelled rows and the numbers ``rows`` of the
    unlabelled ones. Gradients go to the rows of this process; ``original`` has none.
    """

    labelled: torch.Tensor
    original: torch.Tensor
    augmented: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def gathered(
        cls,
        model: Model,
        labelled: Batch,
        unlabelled: UnlabelledBatch,
        logits: torch.Tensor,
        original: torch.Tensor,
        augmented: torch.Tensor,
    ) -> ViewLogits:
        """Gather what each process knows of its rows: the ``logits`` of labelled ones, and those of both views."""
        of_labelled, labels = labelled.gather(model, logits, labelled.labels)
        first, second, rows = unlabelled.gather(model, original.detach(), augmented, unlabelled.rows)
        return cls(of_labelled, first, second, labels, rows)


def require_unlabelled(unlabelled: UnlabelledBatch | None) -> UnlabelledBatch:
    """Return the unlabelled rows; raises ``KexpError`` when a step has none."""
    if unlabelled is None:
        raise KexpError(
            "the objective learns from unlabelled rows, and there are none; choose in [labelled] which train rows keep "
            "their labels, or use a dataset with an unlabelled split"
        )
    return unlabelled


def view_logits(model: Model, labelled: Batch, unlabelled: UnlabelledBatch) -> ViewLogits:
    """Send labelled rows and augmented views through the model together, and the originals without gradient.

    All are in training mode. What every process has made of its rows is gathered.

    One pass for all three would be one call less, but its backward pass would go through the originals too, a third of
    the work for gradients that are 0, and all rows would be padded to the longest of the three groups.
    """
    import torch

    with torch.no_grad():
        (original,) = model.logits(unlabelled.original)
    of_labelled, augmented = model.logits(labelled.inputs, unlabelled.augmented)
    return ViewLogits.gathered(model, labelled, unlabelled, of_labelled, original, augmented)


def target_logs(target: torch.Tensor, probabilities: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return logs that show early that training collapses.

    ``target`` are the distributions that are trained towards and ``probabilities`` those that the weights were chosen
    by, both of shape (rows, ..., outcomes); ``weights`` of shape (rows, ...) say how much each counts. ``confident`` is
    the share that counts, ``target_confidence`` the mean of the largest probability, ``target_balance`` the entropy of
    the mean target over log K: 1 when all outcomes are predicted equally often, 0 when every row is predicted as one.
    Of several distributions per row, it is the mean over them.
    """
    import torch

    mean = target.mean(0)
    return {
        "confident": weights.mean(),
        "target_confidence": probabilities.max(-1).values.mean(),
        "target_balance": torch.special.entr(mean).sum(-1).mean() / math.log(mean.shape[-1]),
    }


def agreement(original: torch.Tensor, augmented: torch.Tensor) -> torch.Tensor:
    """Return the share of distributions, of shape (rows, ..., outcomes), whose most probable outcome is the same."""
    return (original.argmax(-1) == augmented.detach().argmax(-1)).to(augmented.dtype).mean()
