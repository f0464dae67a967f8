"""A moving average of a model's weights, which can be used as a model: a teacher, or what is evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kexp.trained_weights import TrainedWeights, copy_model, fixed_weights

if TYPE_CHECKING:
    import torch


def momentum_that_acts(updates: int) -> float:
    """Return a momentum that averages over about the last tenth of so many updates, in few digits."""
    share = min(10 / updates, 0.9)
    digit = 10.0 ** math.floor(math.log10(share))
    return round(1 - math.ceil(share / digit - 1e-9) * digit, 12)


def decay_warnings(name: str, decay: float, steps: int) -> Iterator[str]:
    """Yield that a decay is not reached in so many steps: until then a ``MovingAverage`` is the plain mean."""
    if 1 - decay < 1 / (steps + 1):
        yield (
            f"{name}: {decay:g} is not reached in {steps:,} steps, since the average is the plain mean of all weights "
            f"until {math.ceil(1 / (1 - decay) - 1e-9):,} steps; {momentum_that_acts(steps):g} would act"
        )


class MovingAverage:
    """A copy of a model that moves towards it: ``average = a average + (1 - a) model`` at every update.

    At the n-th update a is at most 1 - 1/(n + 1), as in the code of Tarvainen and Valpola (2017): the average is the
    plain mean of all weights so far, those before training included, until the decay is reached. So no correction for
    its start is needed. The copy is made when it is first used.
    """

    def __init__(self) -> None:
        self.module: torch.nn.Module | None = None
        self.moves = 0
        self._waiting: dict[str, torch.Tensor] = {}

    def of(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the average, at first a copy of the model or what a checkpoint holds; it does not train."""
        if self.module is None:
            self.module = copy_model(model)
            if self._waiting:
                TrainedWeights(self.module).load_state_dict(self._waiting)
                self._waiting = {}
        return self.module

    def update(self, model: torch.nn.Module, decay: float) -> None:
        """Move every weight towards the model's; what is no weight, such as a statistic, is copied."""
        import torch

        average = self.of(model)
        self.moves += 1
        share = max(1 - decay, 1 / (self.moves + 1))
        with torch.no_grad():
            fixed = fixed_weights(average)
            for (name, weight), current in zip(average.named_parameters(), model.parameters(), strict=True):
                if name not in fixed:
                    weight.lerp_(current.to(weight.dtype), share)
            for statistic, copied in zip(average.buffers(), model.buffers(), strict=True):
                statistic.copy_(copied)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the average's weights, as they stand and not copied, and how often it has moved."""
        import torch

        weights = self._waiting if self.module is None else TrainedWeights(self.module).state_dict()
        moves = {"moves": torch.tensor(self.moves)} if weights else {}
        return {**moves, **{f"module.{name}": value for name, value in weights.items()}}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore them; the copy itself is made when it is next used."""
        prefix = "module."
        self._waiting = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        self.moves = int(state["moves"]) if "moves" in state else 0
        self.module = None
