"""What plugins and the core promise each other: one options class per kind, and what its ``build`` returns.

torch, transformers and datasets are imported here for type checking only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field, PositiveInt

from kexp.options import Options, component

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SPLITS = ("train", "validation", "test")


# --- dataset -------------------------------------------------------------------------------------------------------


class DatasetOptions(Options):
    """Base of every dataset: rows of text with a label, in one or more splits."""

    kind: ClassVar[str] = "dataset"

    limit: PositiveInt | dict[Literal["train", "validation", "test"], PositiveInt] | None = Field(
        None,
        description="Keep the first n rows of each split, shuffled with the split's seed; a table gives n per split.",
    )

    @abstractmethod
    def build(self, notes: dict[str, int]) -> Mapping[str, Dataset]:
        """Read the data, and add to ``notes`` how many rows were left out while reading, by reason.

        Returns a Hugging Face dataset per split name (train, and perhaps validation and test) with the columns
        ``text`` (str), ``label`` (str, int or ClassLabel), and optionally ``text_pair`` (str) and ``group`` (str or
        int; rows of one group are never divided between splits). Raises ``DataError`` with file and row.
        """


# --- backbone ------------------------------------------------------------------------------------------------------


class BackboneOptions(Options):
    """Base of every backbone: a pre-trained or fresh encoder with a classification head, and its tokenizer."""

    kind: ClassVar[str] = "backbone"

    dropout: float | None = Field(
        None, ge=0, lt=1, description="Dropout before the classifier; the model's own when not given."
    )

    def max_positions(self) -> int | None:
        """Return the longest input in tokens, special tokens included; None where it is not known before loading."""
        return None

    def layer_count(self) -> int | None:
        """Return the number of layers; None where it is not known before loading."""
        return None

    def clean(self, text: str) -> str:
        """Clean a text as this model's authors did before tokenising; most models want it unchanged."""
        return text

    @abstractmethod
    def build_tokenizer(self, texts: Sequence[str]) -> PreTrainedTokenizerFast:
        """Return the tokenizer; ``texts`` are those of the train split, for backbones that train their own."""

    @abstractmethod
    def build(self, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
        """Return a sequence classifier over ``labels`` in fp32 on the CPU, with ``id2label`` set."""


# --- objective -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostBatch:
    """Rows as NumPy arrays, before they are on the device: inputs of shape (rows, tokens), labels of shape (rows,)."""

    inputs: Mapping[str, NDArray[np.int64]]
    labels: NDArray[np.int64]
    tokens: int

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on the device: token ids, mask and token types of shape (rows, tokens); labels of shape (rows,)."""

    inputs: Mapping[str, torch.Tensor]
    labels: torch.Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is: ``step`` optimiser steps done out of ``total_steps``."""

    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class ObjectiveContext:
    """What an objective may need to know of the data: ``class_counts`` of the labelled train rows, by label id."""

    class_counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class StepLoss:
    """A scalar ``loss`` to minimise, and scalars worth logging."""

    loss: torch.Tensor
    logs: Mapping[str, torch.Tensor] = field(default_factory=dict)


class Forward(Protocol):
    """The model as an objective sees it."""

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return fp32 logits of shape (rows, labels)."""


class Objective(Protocol):
    """Turns a batch into the loss of a step."""

    def step(self, forward: Forward, batch: Batch, progress: Progress) -> StepLoss:
        """Return the mean loss of the batch."""


class SupervisedObjective(ABC):
    """An objective that is a loss per labelled example; other objectives can nest it."""

    @abstractmethod
    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (rows,), from fp32 logits of shape (rows, labels)."""

    def step(self, forward: Forward, batch: Batch, progress: Progress) -> StepLoss:
        """Return the mean of the rows' losses."""
        return StepLoss(self.losses(forward(batch.inputs), batch.labels).mean())


class ObjectiveOptions(Options):
    """Base of every training objective."""

    kind: ClassVar[str] = "objective"

    def check_labels(self, labels: int) -> Iterable[str]:
        """Yield what is wrong with the options for this number of labels."""
        return ()

    @abstractmethod
    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective."""


# --- freezing policy -----------------------------------------------------------------------------------------------


class FreezingOptions(Options):
    """Base of every freezing policy: which blocks of the model do not train, epoch by epoch."""

    kind: ClassVar[str] = "freezing"

    @abstractmethod
    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Return the names of the frozen blocks in ``epoch`` (from 0).

        ``blocks`` are named from the input upwards: ``embeddings``, ``layer.0`` ... ``layer.n``, ``head``. Raises
        ``ValueError`` when the model has not the blocks that the options speak of.
        """


def block_names(layers: int) -> tuple[str, ...]:
    """Return the names of a model's blocks from the input upwards."""
    return ("embeddings", *(f"layer.{number}" for number in range(layers)), "head")


# --- sampler -------------------------------------------------------------------------------------------------------


class SamplerOptions(Options):
    """Base of every sampler: which train rows an epoch visits, in which order."""

    kind: ClassVar[str] = "sampler"
    keeps_order: ClassVar[bool] = False
    """Whether batches must follow one another in the sampler's order instead of being shuffled."""

    @abstractmethod
    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return row numbers for one epoch, from the rows' label ids and a generator that is new each epoch."""


# --- augmenter -----------------------------------------------------------------------------------------------------


class Augmenter(Protocol):
    """Texts in, texts out; the same text and generator give the same result whatever stands around it."""

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str]:
        """Return one augmented text per text, drawing for each from its own generator only."""


class AugmenterOptions(Options):
    """Base of every augmenter."""

    kind: ClassVar[str] = "augmenter"

    @abstractmethod
    def build(self) -> Augmenter:
        """Return the augmenter."""


# --- metric --------------------------------------------------------------------------------------------------------


class Metric(Protocol):
    """A number from labels and probabilities."""

    def __call__(self, labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
        """Score label ids of shape (rows,) against probabilities of shape (rows, labels)."""


class MetricOptions(Options):
    """Base of every metric."""

    kind: ClassVar[str] = "metric"
    greater_is_better: ClassVar[bool] = True

    @abstractmethod
    def build(self) -> Metric:
        """Return the metric."""


# --- tracker -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run this is: experiment, variant and seed, its folder, and the resolved spec as plain data."""

    experiment: str
    variant: str
    seed: int
    folder: str
    spec: Mapping[str, Any]


class Tracker(Protocol):
    """Follows one run from its start to whatever end it takes."""

    def log(self, event: Mapping[str, Any]) -> None:
        """Take one event, the object that ``metrics.jsonl`` holds."""

    def finish(self, status: str) -> None:
        """Close; ``status`` is done, failed or interrupted. Called exactly once."""


class TrackerOptions(Options):
    """Base of every tracker."""

    kind: ClassVar[str] = "tracker"

    @abstractmethod
    def build(self, run: RunIdentity) -> Tracker:
        """Start following ``run``."""


# --- fields that hold a component ----------------------------------------------------------------------------------

AnyDataset = Annotated[DatasetOptions, *component("dataset")]
AnyBackbone = Annotated[BackboneOptions, *component("backbone")]
AnyObjective = Annotated[ObjectiveOptions, *component("objective")]
AnyFreezing = Annotated[FreezingOptions, *component("freezing")]
AnySampler = Annotated[SamplerOptions, *component("sampler")]
AnyAugmenter = Annotated[AugmenterOptions, *component("augmenter")]
AnyMetric = Annotated[MetricOptions, *component("metric")]
AnyTracker = Annotated[TrackerOptions, *component("tracker")]

KINDS: Mapping[str, type[Options]] = {
    base.kind: base
    for base in (
        DatasetOptions, BackboneOptions, ObjectiveOptions, FreezingOptions,
        SamplerOptions, AugmenterOptions, MetricOptions, TrackerOptions,
    )
}  # fmt: skip
