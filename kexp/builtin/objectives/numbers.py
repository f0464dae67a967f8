"""Losses of numbers: how far what is predicted is from the true number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kexp.builtin.tasks.regression import Regression
from kexp.contracts import ObjectiveContext, SupervisedObjective, SupervisedObjectiveOptions
from kexp.contracts.task import NUMBER

if TYPE_CHECKING:
    import torch


class NumberOptions(SupervisedObjectiveOptions):
    """Base of losses of numbers."""

    targets: ClassVar[Collection[str]] = (NUMBER,)


class NumberLoss(SupervisedObjective):
    """A loss of the error of each row, in the unit of the labels; the task says which numbers logits mean."""

    def __init__(self, context: ObjectiveContext) -> None:
        self.task = context.task or Regression()

    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row from logits of shape (rows, 1) and numbers of shape (rows,)."""
        numbers = self.task.graph_predictions(logits)
        # None is a softmax, which is none of numbers.
        assert numbers is not None
        # Data are read in float64.
        return self.of_errors(numbers[:, 0] - labels.to(numbers.dtype))

    @abstractmethod
    def of_errors(self, errors: torch.Tensor) -> torch.Tensor:
        """Return the loss of each error."""


class SquaredErrorOptions(NumberOptions):
    """Squared error: what is learnt is the mean of the numbers that rows like this one have."""

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return SquaredError(context)


class SquaredError(NumberLoss):
    """The squared error per row."""

    def of_errors(self, errors: torch.Tensor) -> torch.Tensor:
        """Return the squares."""
        return errors**2


class AbsoluteErrorOptions(NumberOptions):
    """Absolute error: what is learnt is the median, which a few numbers far away do not move."""

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return AbsoluteError(context)


class AbsoluteError(NumberLoss):
    """The absolute error per row."""

    def of_errors(self, errors: torch.Tensor) -> torch.Tensor:
        """Return the absolute values."""
        return errors.abs()


class HuberOptions(NumberOptions):
    """Huber loss (1964): ``e^2 / 2`` of an error e up to ``delta``, from there on ``delta (|e| - delta / 2)``."""

    delta: float = Field(
        1.0, gt=0, description="Error, in the unit of the labels, from which on the loss is a straight line."
    )

    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""
        return Huber(self.delta, context)


class Huber(NumberLoss):
    """The Huber loss per row."""

    def __init__(self, delta: float, context: ObjectiveContext) -> None:
        super().__init__(context)
        self.delta = delta

    def of_errors(self, errors: torch.Tensor) -> torch.Tensor:
        """Return a half of the squares, or the straight line."""
        near = errors.abs().clamp(max=self.delta)
        return near * (errors.abs() - near / 2)
