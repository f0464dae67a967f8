"""What the objectives with an unlabelled pool share: the loss on labelled rows, the views, and what is watched."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import Field

from kexp.builtin.objectives.supervised import CrossEntropyOptions, RDropOptions
from kexp.contracts import (
    AnyObjective,
    Batch,
    Model,
    Objective,
    ObjectiveContext,
    ObjectiveOptions,
    Progress,
    SupervisedObjective,
    UnlabelledBatch,
)
from kexp.contracts.objective import build_objective
from kexp.errors import KexpError, Problem
from kexp.options import plugin_results

if TYPE_CHECKING:
    import torch


class PoolOptions(ObjectiveOptions):
    """Base of the objectives that add a loss on unlabelled rows to a supervised one."""

    uses_unlabelled: ClassVar[bool] = True

    supervised: AnyObjective = Field(
        default_factory=CrossEntropyOptions,
        description="Objective of the labelled rows; one that is a loss per row.",
        json_schema_extra={"default": "cross-entropy"},
    )
    coefficient: float = Field(1.0, ge=0, allow_inf_nan=False, description="Weight of the loss on unlabelled rows.")

    def problems(self) -> Iterable[Problem]:
        """Yield a supervised objective that is none."""
        if self.supervised.uses_unlabelled:
            yield Problem("supervised", "needs unlabelled rows itself", NAME_ANOTHER)
        if isinstance(self.supervised, RDropOptions):
            yield Problem("supervised", NO_LOSS_PER_ROW, NAME_ANOTHER)

    def warnings(self) -> Iterable[Problem]:
        """Yield a coefficient that makes the unlabelled rows useless."""
        if self.coefficient == 0:
            yield Problem("coefficient", "with 0 nothing is learnt from the unlabelled rows")

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield what is wrong with the supervised objective."""
        return [f"supervised: {message}" for message in plugin_results(self.supervised, "label_problems", str, labels)]

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield what is doubtful in the supervised objective."""
        return [f"supervised: {message}" for message in plugin_results(self.supervised, "label_warnings", str, labels)]

    def build_supervised(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective of the labelled rows; raises ``KexpError`` when it is no loss per row."""
        built = build_objective(self.supervised, context)
        if not isinstance(built, SupervisedObjective):
            # Of a plugin's objective this is known only now: nothing may load torch before.
            raise KexpError(f"objective.supervised: {NO_LOSS_PER_ROW}; {NAME_ANOTHER}")
        return built


NO_LOSS_PER_ROW = "is no loss per labelled row"
NAME_ANOTHER = "name another one, such as cross-entropy or focal"


def doubt_confidence(confidence: float, labels: int) -> Iterator[str]:
    """Yield that a threshold cannot mask anything: the largest of K probabilities is never below 1/K."""
    if 0 < confidence <= 1 / labels:
        least = f"the largest of {labels} probabilities is at least {1 / labels:.3g}"
        yield f"confidence: {confidence:g} masks nothing; {least}"


def doubt_full_confidence(confidence: float) -> Iterator[Problem]:
    """Yield that a threshold masks everything."""
    if confidence >= 1:
        yield Problem("confidence", "1 masks everything: no probability is above it", "try 0.95")


class Stateful(Protocol):
    """A part of an objective that remembers something between steps."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what has to be saved."""

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore it."""


class PoolObjective(Objective):
    """An objective made of a supervised one and of parts whose state is saved under their names."""

    def __init__(self, supervised: SupervisedObjective, **parts: Stateful) -> None:
        self.supervised = supervised
        self._parts: dict[str, Stateful] = {"supervised": supervised, **parts}

    def stepped(self, model: Model, progress: Progress) -> None:
        """Let the supervised objective follow the optimiser's step."""
        self.supervised.stepped(model, progress)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the parts' states, their keys prefixed by the part's name."""
        return {
            f"{name}.{key}": value for name, part in self._parts.items() for key, value in part.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Give each part its own state back."""
        for name, part in self._parts.items():
            own = f"{name}."
            part.load_state_dict({key.removeprefix(own): value for key, value in state.items() if key.startswith(own)})


# --- unlabelled rows in a step --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Views:
    """Logits in training mode, of shape (rows, classes); ``original`` takes no gradient."""

    labelled: torch.Tensor
    original: torch.Tensor
    augmented: torch.Tensor


def require_pool(unlabelled: UnlabelledBatch | None) -> UnlabelledBatch:
    """Return the unlabelled rows; raises ``KexpError`` when a step has none."""
    if unlabelled is None:
        raise KexpError(
            "the objective learns from unlabelled rows, and there are none; choose in [labelled] which train rows keep "
            "their labels, or give an unlabelled pool"
        )
    return unlabelled


def forward_views(model: Model, labelled: Batch, pool: UnlabelledBatch) -> Views:
    """Send labelled rows and augmented forms through the model together, and the originals without gradient.

    One pass for all three would be one call less, but its backward pass would go through the originals too, a third of
    the work for gradients that are 0, and all rows would be padded to the longest of the three groups.
    """
    import torch

    with torch.no_grad():
        (original,) = model.logits(pool.original)
    seen, augmented = model.logits(labelled.inputs, pool.augmented)
    return Views(seen, original.detach(), augmented)


def watch(target: torch.Tensor, probabilities: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what tells early that training goes wrong.

    ``target`` are the distributions that are trained towards and ``probabilities`` those that the weights were chosen
    by, both of shape (rows, classes); ``weights`` of shape (rows,) say how much each row counts. ``confident`` is the
    share that counts, ``target_confidence`` the mean of the largest probability, ``target_balance`` the entropy of the
    mean target over log K: 1 when all classes are predicted alike, 0 when the model has collapsed onto one.
    """
    import torch

    mean = target.mean(0)
    return {
        "confident": weights.mean(),
        "target_confidence": probabilities.max(-1).values.mean(),
        "target_balance": torch.special.entr(mean).sum() / math.log(len(mean)),
    }


def agreement(original: torch.Tensor, augmented: torch.Tensor) -> torch.Tensor:
    """Return the share of rows whose two views are put in the same class."""
    return (original.argmax(-1) == augmented.detach().argmax(-1)).to(augmented.dtype).mean()
