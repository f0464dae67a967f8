"""Which weights are evaluated and kept: those that are trained, or an average of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from kexp.contracts import Objective
from kexp.model.forward import Classifier
from kexp.moving_average import MovingAverage
from kexp.spec.training_section import Training
from kexp.trained_weights import TrainedWeights

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]
WeightsName = Literal["trained", "moving average", "average of the last evaluations", "average of the objective"]


class EvaluatedWeights:
    """Takes the place of the model's weights while it is evaluated, where the spec or the objective has an average."""

    def __init__(self, classifier: Classifier, objective: Objective, options: Training) -> None:
        self.classifier, self.model, self.objective, self.options = classifier, classifier.module, objective, options
        self.trained = TrainedWeights(self.model)
        self.moving = MovingAverage()
        if options.ema:
            # The weights before training are the first ones that it averages.
            self.moving.of(self.model)
        self.last: list[dict[str, torch.Tensor]] = []
        """The weights of the last evaluations, on the CPU."""

    def stepped(self) -> None:
        """Move the moving average after a step of the optimiser."""
        if self.options.ema:
            self.moving.update(self.model, self.options.ema)

    def add(self) -> None:
        """Count the weights as they are as those of an evaluation."""
        if self.options.average > 1:
            weights = {name: value.detach().cpu().clone() for name, value in self.trained.state_dict().items()}
            self.last = [*self.last, weights][-self.options.average :]

    @property
    def name(self) -> WeightsName:
        """Which weights are evaluated."""
        if self.options.ema:
            return "moving average"
        if self.options.average > 1:
            return "average of the last evaluations"
        return "trained" if self.objective.averaged(self.classifier) is None else "average of the objective"

    def load(self) -> None:
        """Give the model the weights that are evaluated, for good."""
        if (weights := self._weights()) is not None:
            self.trained.load_state_dict(weights)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Give the model the weights that are evaluated, and then those back that it had, to the bit."""
        weights = self._weights()
        if weights is None:
            yield
            return
        before = {name: value.clone() for name, value in self.trained.state_dict().items()}
        self.trained.load_state_dict(weights)
        try:
            yield
        finally:
            self.trained.load_state_dict(before)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages."""
        return {"moving": self.moving.state_dict(), "last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore them."""
        self.moving.load_state_dict(state["moving"])
        self.last = state["last"]

    def _weights(self) -> Weights | None:
        """Return the weights to evaluate; None for those of the model as it is."""
        if self.options.ema:
            return TrainedWeights(self.moving.of(self.model)).state_dict()
        if self.options.average > 1:
            return mean_weights(self.last)
        averaged = self.objective.averaged(self.classifier)
        return None if averaged is None else TrainedWeights(averaged).state_dict()


def mean_weights(weights: list[dict[str, torch.Tensor]]) -> Weights:
    """Return the mean of weights by name; what is no number with a fraction, such as a count, is that of the last."""
    mean = {name: value.clone() for name, value in weights[-1].items()}
    for number, others in enumerate(reversed(weights[:-1]), 2):
        for name, value in mean.items():
            if value.is_floating_point():
                # Unlike a sum that is divided, it leaves weights that do not change as they are.
                value.lerp_(others[name], 1 / number)
    return mean
