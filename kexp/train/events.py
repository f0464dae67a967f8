"""The events of training: plain values, one object per line of ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; ``name`` is their kind in files."""

    name: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """Return the event as the object that files and trackers get."""
        return {"event": self.name, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Started(Event):
    """Training begins, or goes on after ``step`` steps."""

    name: ClassVar[str] = "started"
    step: int
    total_steps: int
    steps_per_epoch: int
    parameters: int
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class EpochStarted(Event):
    """An epoch begins; freezing may have changed what trains."""

    name: ClassVar[str] = "epoch"
    epoch: int
    step: int
    trainable_parameters: int


@dataclass(frozen=True, slots=True)
class StepsDone(Event):
    """Some optimiser steps are done: means of the objective's numbers since the last such event.

    Rates are by the wall time of these steps, waiting for data included; ``data_share`` is the share of that waiting.
    """

    name: ClassVar[str] = "step"
    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    examples_per_second: float
    tokens_per_second: float
    data_share: float
    logs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluated(Event):
    """Validation was measured, if there is any; ``best`` when it is the best so far.

    ``train_loss`` is the mean since the last time.
    """

    name: ClassVar[str] = "evaluation"
    step: int
    epoch: float
    train_loss: float
    metrics: Mapping[str, float]
    best: bool
    seconds: float
    pool: Mapping[str, float] = field(default_factory=dict)
    """Statistics of the predictions for unlabelled rows."""
    validation_loss: float | None = None
    """Mean cross entropy of validation."""
    train_seconds: float | None = None
    """Of the steps since the last evaluation, as ``seconds`` are of this one."""
    train_metrics: Mapping[str, float] = field(default_factory=dict)
    """Of the labelled train rows without augmentation, where ``evaluation.train`` is set."""


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something is probably going wrong."""

    name: ClassVar[str] = "warning"
    step: int
    message: str


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """Training is over: all steps done, or stopped early."""

    name: ClassVar[str] = "finished"
    step: int
    best_step: int
    best_epoch: float
    stopped_early: bool
