"""What an objective promises: the loss of a step, from labelled rows and perhaps unlabelled ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from kexp.contracts.shared_rows import SharedRows
from kexp.contracts.task import CLASS, TaskOptions
from kexp.errors import PluginError, describe_value, plugin_call
from kexp.options import Options, build_component, component, component_title

if TYPE_CHECKING:
    import torch


class Rows(Protocol):
    """Rows of tokens on the device, as the model takes them; ``len`` is their number.

    The tokens of all rows stand one after the other, without padding. What is made of them, such as word embeddings,
    has the shape (tokens, ...).
    """

    def __len__(self) -> int: ...

    @property
    def row_of_token(self) -> torch.Tensor:
        """The number of the row that each token belongs to, of shape (tokens,)."""


@dataclass(frozen=True, slots=True)
class Batch(SharedRows):
    """Labelled rows on the device: what the model takes, and label ids of shape (rows,).

    Where several processes train, each has some rows of the batch, perhaps none; ``all_rows`` is the number of all.
    """

    inputs: Rows
    labels: torch.Tensor
    all_rows: int | None = None
    """Rows of the batch in all processes; None where these are all."""

    def part(self, loss: torch.Tensor) -> torch.Tensor:
        """Return what this process adds to a loss that was computed from the gathered rows of all processes.

        Its gradient is that of ``loss``, which ``gather`` lets go to the rows of this process; of the value it is the
        share of its rows. Where one process trains it is ``loss``.
        """
        if self.all_rows is None:
            return loss
        return loss - loss.detach() * (1 - len(self.inputs) / self.all_rows)


@dataclass(frozen=True, slots=True)
class UnlabelledBatch(SharedRows):
    """Unlabelled rows on the device, each as it is and augmented; ``rows`` are their numbers among all of them.

    ``augmented`` has no rows for objectives that use no augmented views.
    """

    original: Rows
    augmented: Rows
    rows: torch.Tensor
    all_rows: int | None = None
    """Unlabelled rows of the batch in all processes; None where these are all."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is: ``step`` optimiser steps are done, out of ``total_steps``.

    ``batch`` counts, from 0, the batches whose gradients are accumulated for the next step.
    """

    step: int
    total_steps: int
    batch: int = 0


@dataclass(frozen=True, slots=True)
class ObjectiveContext:
    """The data and the seed that an objective is built for.

    ``class_counts`` are those of the labelled train rows, by label id; ``unlabelled_rows`` counts the others. ``rows``
    are the labelled train rows, of which each may be in several counts. ``seed`` is that of the run; where several
    processes train, all but the first have one of their own. An objective that draws random numbers seeds its generator
    with ``seed`` and the step and batch of ``Progress``, so that a resumed run draws the same numbers.
    """

    class_counts: Sequence[int]
    unlabelled_rows: int = 0
    seed: int = 0
    rows: int = 0
    task: TaskOptions | None = None
    """The task whose logits the loss is of, for what they mean, such as bounds; None for one label per row."""


@dataclass(frozen=True, slots=True)
class StepLoss:
    """A scalar ``loss`` to minimise, and scalars worth logging.

    Where several processes train, the losses of all are added up to that of the batch (``Batch.mean`` and
    ``Batch.part`` return such a part), and ``logs`` are about the whole batch, the same in every process.
    """

    loss: torch.Tensor
    logs: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Model(Protocol):
    """The model as an objective sees it. Logits are fp32, of shape (rows, labels)."""

    @property
    def module(self) -> torch.nn.Module:
        """The module itself, for objectives that copy it."""

    def logits(self, *groups: Rows) -> tuple[torch.Tensor, ...]:
        """Return the logits of each group of rows, all from one forward pass in training mode."""

    def target_logits(self, inputs: Rows, module: torch.nn.Module | None = None) -> torch.Tensor:
        """Return logits without dropout and without gradient, of the model or of a copy such as a teacher."""

    def embed(self, inputs: Rows) -> torch.Tensor:
        """Return the word embeddings of the tokens, of shape (tokens, hidden), without gradient."""

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Rows) -> torch.Tensor:
        """Return logits without dropout, with gradient, of rows whose word embeddings are given."""

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of ``values`` of all processes, without gradient: ``values`` itself where there is one.

        Every process has to call it equally often, with equal shapes.
        """

    def gather(self, values: torch.Tensor, all_rows: int) -> torch.Tensor:
        """Return ``values``, one per row, of all processes, in the order of the ``all_rows`` rows of the batch.

        Gradients go to the values of this process alone. Every process has to call it equally often, with as many
        rows as it has, perhaps none. ``Batch.gather`` calls it where there are several.
        """


class Objective(ABC):
    """Turns the rows of a step into its loss. What it keeps between steps is its state, saved with the run.

    ``step`` replaces the tensors of its state and changes none in place: a step that ran out of memory is done again
    with smaller batches, from the state before it.
    """

    @abstractmethod
    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss; ``unlabelled`` is None for objectives that do not use unlabelled rows."""

    def stepped(self, model: Model, progress: Progress) -> None:  # noqa: B027
        """Do what follows the optimiser's step, such as moving a teacher.

        ``progress`` counts the step that was just done: it is 1 after the first step, whose ``step`` was given 0.
        """

    def averaged(self, model: Model) -> torch.nn.Module | None:
        """Return a copy of the model with averaged weights that is evaluated and kept instead of it; None for none."""
        return None

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what has to be saved to resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027
        """Restore what ``state_dict`` returned."""


class SupervisedObjective(Objective):
    """An objective that is a loss per labelled row; other objectives can nest it and call ``row_losses``."""

    @abstractmethod
    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (rows,), from fp32 logits of shape (rows, labels)."""

    def row_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return ``losses``; raises ``PluginError`` that names the class of the objective unless there is one per row.

        A scalar would be broadcast where an objective weighs its rows or leaves some out, without an error.
        """
        title = f"objective {type(self).__module__}.{type(self).__qualname__}"
        with plugin_call(title):
            losses = self.losses(logits, labels)
        shape = getattr(losses, "shape", None)
        if shape != labels.shape[:1]:
            found = f"a {type(losses).__name__}" if shape is None else f"shape {tuple(shape)}"
            rows = f"shape {tuple(labels.shape[:1])}, one loss per row"
            raise PluginError(f"{title}: losses() returned {found}, expected {rows}; do not average over rows")
        return losses

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the mean of the rows' losses."""
        (logits,) = model.logits(labelled.inputs)
        return StepLoss(labelled.mean(self.row_losses(logits, labelled.labels)))


class ObjectiveOptions(Options):
    """Base of every training objective."""

    kind: ClassVar[str] = "objective"
    uses_unlabelled: ClassVar[bool] = False
    """Whether it needs unlabelled rows."""
    uses_augmented: ClassVar[bool] = False
    """Whether it needs an augmented view of every unlabelled row."""
    targets: ClassVar[Collection[str]] = (CLASS,)
    """Kinds of targets that it is a loss of: see ``TaskOptions.trained_as``."""
    several_processes: ClassVar[bool] = False
    """Whether its ``step`` returns the part of a process (``StepLoss``); if not, several processes are refused."""

    @property
    def evaluates_average(self) -> bool:
        """Whether the objective has an average of the model that is evaluated instead of it: ``Objective.averaged``."""
        return False

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield what is wrong with the options for this number of labels."""
        return ()

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield what is allowed but probably not intended for this number of labels."""
        return ()

    def step_warnings(self, steps: int, batches: int) -> Iterable[str]:
        """Yield what is allowed but probably not intended for a training of so many steps and batches.

        A step has as many batches as ``training.gradient_accumulation`` says.
        """
        return ()

    @abstractmethod
    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""


class SupervisedObjectiveOptions(ObjectiveOptions):
    """Base of training objectives that are a loss per labelled row, so that other objectives can nest them."""

    several_processes: ClassVar[bool] = True

    @abstractmethod
    def build(self, context: ObjectiveContext) -> SupervisedObjective:
        """Return the objective."""


AnyObjective = Annotated[ObjectiveOptions, *component("objective")]
"""A field that holds a component of this kind."""


def build_objective(options: ObjectiveOptions, context: ObjectiveContext) -> Objective:
    """Build an objective; raises ``PluginError`` that names it when it fails, or returns something else."""
    objective = build_component(options, context)
    expected = SupervisedObjective if isinstance(options, SupervisedObjectiveOptions) else Objective
    if not isinstance(objective, expected):
        found = f"build returned {describe_value(objective)}, expected one that extends {expected.__name__}"
        raise PluginError(f"{component_title(options)}: {found}")
    return objective
