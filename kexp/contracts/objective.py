"""What an objective promises: the loss of a step, from labelled rows and perhaps a pool beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from kexp.errors import PluginError, describe_value, plugin_call
from kexp.options import Options, component, component_title

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Inputs = Mapping[str, "torch.Tensor"]
"""What the model takes: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, of shape (rows, tokens)."""


class KnownInputs(dict[str, "torch.Tensor"]):
    """Inputs of rows for which the frozen blocks of the model were run before; the model runs the others alone.

    Whatever an objective makes out of them is plain inputs, for which all blocks are run.
    """

    def __init__(self, inputs: Inputs, hidden: torch.Tensor) -> None:
        super().__init__(inputs)
        self._hidden = hidden
        self._given = {name: (tensor, _version(tensor)) for name, tensor in inputs.items()}

    @property
    def hidden(self) -> torch.Tensor | None:
        """Return what the frozen blocks gave, of shape (rows, tokens, hidden); None once an input was changed."""
        given = self._given
        now = {name: (tensor, _version(tensor)) for name, tensor in self.items()}
        same = now.keys() == given.keys() and all(
            now[name][0] is given[name][0] and now[name][1] == given[name][1] for name in now
        )
        return self._hidden if same else None


def known_hidden(inputs: Inputs) -> torch.Tensor | None:
    """Return what the frozen blocks of the model make of inputs, where that is known."""
    return inputs.hidden if isinstance(inputs, KnownInputs) else None


def _version(tensor: torch.Tensor) -> int:
    """Return how often a tensor was changed in place, which PyTorch does not count where there are no gradients."""
    return 0 if tensor.is_inference() else tensor._version


@dataclass(frozen=True, slots=True)
class HostBatch:
    """Rows as NumPy arrays, before they are on the device: inputs of shape (rows, tokens), labels of shape (rows,).

    ``hidden`` is what the frozen blocks of the model make of the rows, where that is known.
    """

    inputs: Mapping[str, NDArray[np.int64]]
    labels: NDArray[np.int64]
    tokens: int
    hidden: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def inputs_on(self, device: torch.device) -> Inputs:
        """Return the inputs on a device."""
        import torch

        moved = {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in self.inputs.items()}
        return moved if self.hidden is None else KnownInputs(moved, self.hidden.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True)
class HostUnlabelledBatch:
    """Unlabelled rows and their augmented forms as NumPy arrays; ``rows`` are their numbers in the pool."""

    original: Mapping[str, NDArray[np.int64]]
    augmented: Mapping[str, NDArray[np.int64]]
    rows: NDArray[np.int64]
    tokens: int


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one forward pass is about: labelled rows and, for objectives that ask for a pool, unlabelled ones."""

    labelled: HostBatch
    unlabelled: HostUnlabelledBatch | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Labelled rows on the device: inputs of shape (rows, tokens), label ids of shape (rows,)."""

    inputs: Inputs
    labels: torch.Tensor


@dataclass(frozen=True, slots=True)
class UnlabelledBatch:
    """Unlabelled rows on the device, each as it is and augmented; ``rows`` are their numbers in the pool."""

    original: Inputs
    augmented: Inputs
    rows: torch.Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is: ``step`` optimiser steps are done, out of ``total_steps``."""

    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class ObjectiveContext:
    """What an objective may need to know of the data.

    ``class_counts`` are those of the labelled train rows, by label id; ``unlabelled_rows`` counts the others.
    """

    class_counts: Sequence[int]
    unlabelled_rows: int = 0


@dataclass(frozen=True, slots=True)
class StepLoss:
    """A scalar ``loss`` to minimise, and scalars worth logging."""

    loss: torch.Tensor
    logs: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Model(Protocol):
    """The model as an objective sees it. Logits are fp32, of shape (rows, labels)."""

    @property
    def module(self) -> torch.nn.Module:
        """The module itself, for objectives that copy it."""

    def logits(self, *groups: Inputs) -> tuple[torch.Tensor, ...]:
        """Return the logits of each group of rows, all from one forward pass in training mode."""

    def target_logits(self, inputs: Inputs, module: torch.nn.Module | None = None) -> torch.Tensor:
        """Return logits without dropout and without gradient, of the model or of a copy such as a teacher."""

    def embed(self, inputs: Inputs) -> torch.Tensor:
        """Return the word embeddings of the tokens, of shape (rows, tokens, hidden), without gradient."""

    def embedded_logits(self, embeddings: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """Return logits without dropout, with gradient, of rows whose word embeddings are given."""


class Objective(ABC):
    """Turns the rows of a step into its loss. What it remembers between steps is its state, saved with the run."""

    component: str = "the objective"
    """How messages name it; kexp says so when it builds it."""

    @abstractmethod
    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the loss; ``unlabelled`` is None for objectives that do not ask for a pool."""

    def stepped(self, model: Model, progress: Progress) -> None:  # noqa: B027
        """Do what follows the optimiser's step, such as moving a teacher.

        ``progress`` counts the step that was just done: it is 1 after the first step, whose ``step`` was given 0.
        """

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what has to be saved to resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027
        """Restore what ``state_dict`` returned."""


class SupervisedObjective(Objective):
    """An objective that is a loss per labelled example; other objectives can nest it and ask for ``row_losses``."""

    @abstractmethod
    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (rows,), from fp32 logits of shape (rows, labels)."""

    def row_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return ``losses``; raises ``PluginError`` that names the objective unless there is one per row.

        A mean over the rows would pass for the loss of each where rows are weighed or left out, and undo that unseen.
        """
        with plugin_call(self.component):
            losses = self.losses(logits, labels)
        shape = getattr(losses, "shape", None)
        if shape != labels.shape:
            found = f"a {type(losses).__name__}" if shape is None else f"shape {tuple(shape)}"
            rows = f"shape {tuple(labels.shape)}, one loss per row"
            raise PluginError(f"{self.component}: losses() returned {found}, expected {rows}; do not average over rows")
        return losses

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        """Return the mean of the rows' losses."""
        (logits,) = model.logits(labelled.inputs)
        return StepLoss(self.row_losses(logits, labelled.labels).mean())


class ObjectiveOptions(Options):
    """Base of every training objective."""

    kind: ClassVar[str] = "objective"
    uses_unlabelled: ClassVar[bool] = False
    """Whether it needs unlabelled rows."""
    uses_augmented: ClassVar[bool] = False
    """Whether it needs an augmented form of every unlabelled row."""

    def label_problems(self, labels: int) -> Iterable[str]:
        """Yield what is wrong with the options for this number of labels."""
        return ()

    def label_warnings(self, labels: int) -> Iterable[str]:
        """Yield what is allowed but probably not meant for this number of labels."""
        return ()

    @abstractmethod
    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""


AnyObjective = Annotated[ObjectiveOptions, *component("objective")]
"""A field that holds a component of this kind."""


def build_objective(options: ObjectiveOptions, context: ObjectiveContext) -> Objective:
    """Build an objective that knows its name; raises ``PluginError`` when it fails, or gives none."""
    name = component_title(options)
    with plugin_call(name):
        objective = options.build(context)
    if not isinstance(objective, Objective):
        raise PluginError(f"{name}: build returned {describe_value(objective)}, expected an Objective")
    # A frozen dataclass is an objective too.
    object.__setattr__(objective, "component", name)
    return objective
