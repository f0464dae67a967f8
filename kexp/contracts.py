"""What plugins and the core promise each other: one options class per kind, and what its ``build`` returns.

torch, transformers and datasets are imported here for type checking only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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

Inputs = Mapping[str, "torch.Tensor"]
"""What the model takes: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, of shape (rows, tokens)."""

SPLITS = ("train", "validation", "test")
POOL = "unlabelled"
"""Name of the split that a dataset may bring without labels."""


# --- dataset -------------------------------------------------------------------------------------------------------


class DatasetOptions(Options):
    """Base of every dataset: rows of text with a label, in one or more splits."""

    kind: ClassVar[str] = "dataset"

    limit: PositiveInt | dict[Literal["train", "validation", "test", "unlabelled"], PositiveInt] | None = Field(
        None,
        description="Keep the first n rows of each split, shuffled with the split's seed; a table gives n per split.",
    )

    def label_count(self) -> int | None:
        """Return the number of labels; None where it is not known before reading."""
        return None

    @abstractmethod
    def build(self, notes: dict[str, int]) -> Mapping[str, Dataset]:
        """Read the data, and add to ``notes`` how many rows were left out while reading, by reason.

        Returns a Hugging Face dataset per split name (train, and perhaps validation, test and unlabelled) with the
        columns ``text`` (str), ``label`` (str, int or ClassLabel; not needed where unlabelled), and optionally
        ``text_pair`` (str), ``group`` (str or int; rows of one group are never divided between splits) and
        ``augmented`` (str; an augmented form of the text, used where the row is unlabelled). Raises ``DataError`` with
        file and row.
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
class HostPairs:
    """Unlabelled rows and their augmented forms as NumPy arrays; ``rows`` are their numbers in the pool."""

    original: Mapping[str, NDArray[np.int64]]
    augmented: Mapping[str, NDArray[np.int64]]
    rows: NDArray[np.int64]
    tokens: int


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What one forward pass is about: labelled rows and, for objectives that ask for a pool, unlabelled ones."""

    labelled: HostBatch
    unlabelled: HostPairs | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Labelled rows on the device: inputs of shape (rows, tokens), label ids of shape (rows,)."""

    inputs: Inputs
    labels: torch.Tensor


@dataclass(frozen=True, slots=True)
class Pairs:
    """Unlabelled rows on the device, each as it is and augmented; ``rows`` are their numbers in the pool."""

    original: Inputs
    augmented: Inputs
    rows: torch.Tensor


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is: ``step`` optimiser steps done out of ``total_steps``."""

    step: int
    total_steps: int


@dataclass(frozen=True, slots=True)
class ObjectiveContext:
    """What an objective may need to know of the data.

    ``class_counts`` are those of the labelled train rows, by label id; ``pool`` is the number of unlabelled rows.
    """

    class_counts: Sequence[int]
    pool: int = 0


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

    @abstractmethod
    def step(self, model: Model, labelled: Batch, unlabelled: Pairs | None, progress: Progress) -> StepLoss:
        """Return the loss; ``unlabelled`` is None for objectives that do not ask for a pool."""

    def stepped(self, model: Model, progress: Progress) -> None:  # noqa: B027
        """Do what follows the optimiser's step, such as moving a teacher."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what has to be saved to resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027
        """Restore what ``state_dict`` returned."""


class SupervisedObjective(Objective):
    """An objective that is a loss per labelled example; other objectives can nest it."""

    @abstractmethod
    def losses(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (rows,), from fp32 logits of shape (rows, labels)."""

    def step(self, model: Model, labelled: Batch, unlabelled: Pairs | None, progress: Progress) -> StepLoss:
        """Return the mean of the rows' losses."""
        (logits,) = model.logits(labelled.inputs)
        return StepLoss(self.losses(logits, labelled.labels).mean())


class ObjectiveOptions(Options):
    """Base of every training objective."""

    kind: ClassVar[str] = "objective"
    uses_pool: ClassVar[bool] = False
    """Whether it needs unlabelled rows."""
    uses_augmented: ClassVar[bool] = False
    """Whether it needs an augmented form of every unlabelled row."""

    def check_labels(self, labels: int) -> Iterable[str]:
        """Yield what is wrong with the options for this number of labels."""
        return ()

    def doubt_labels(self, labels: int) -> Iterable[str]:
        """Yield what is allowed but probably not meant for this number of labels."""
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


@dataclass(frozen=True, slots=True)
class Rejected:
    """An augmented text that is not good enough to be used, and why."""

    text: str
    reason: str


class Augmenter(Protocol):
    """Texts in, texts out; the same text and generator give the same result whatever stands around it."""

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return one augmented text per text, drawing for each from its own generator only."""


@dataclass(frozen=True, slots=True)
class AugmenterContext:
    """What an augmenter may learn from, and where it works.

    ``texts`` are those of the train split, the unlabelled pool included; ``labelled`` and ``labels`` (ids) the labelled
    rows among them. ``store`` is a folder that outlives the run, for what is costly to make; ``device`` is as in the
    spec's training section; ``tell`` shows a line of progress.
    """

    texts: Sequence[str] = ()
    labelled: Sequence[str] = ()
    labels: Sequence[int] = ()
    store: Path = Path()
    device: str = "auto"
    tell: Callable[[str], None] = lambda line: None


class AugmenterOptions(Options):
    """Base of every augmenter. A cheap one makes new texts every epoch; a costly one is run once and its texts kept."""

    kind: ClassVar[str] = "augmenter"

    @property
    def costly(self) -> bool:
        """Tell whether it is run once, before training, and its texts kept."""
        return False

    def forms(self) -> int:
        """Return how many forms of each text a costly augmenter is asked for; epochs take them in turn."""
        return 1

    @abstractmethod
    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""


# --- translator ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a translator chooses words: greedy, beam search, or sampling with a temperature."""

    method: Literal["greedy", "beam", "sampling"] = "greedy"
    beams: int = 1
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class TranslatorContext:
    """The direction, as ISO 639-1 codes, and the device as in the spec's training section."""

    source: str
    target: str
    device: str = "auto"


class Translator(Protocol):
    """Translates in one direction. ``identity`` names model, revision and options: translations are kept under it."""

    identity: str

    def translate(self, texts: Sequence[str], decoding: Decoding, copies: int, seed: int) -> list[list[str]]:
        """Return ``copies`` translations of each text; only sampling makes them differ. Equal seeds, equal texts."""


class TranslatorOptions(Options):
    """Base of every translator."""

    kind: ClassVar[str] = "translator"

    @abstractmethod
    def build(self, context: TranslatorContext) -> Translator:
        """Return the translator of one direction."""


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
AnyTranslator = Annotated[TranslatorOptions, *component("translator")]
AnyMetric = Annotated[MetricOptions, *component("metric")]
AnyTracker = Annotated[TrackerOptions, *component("tracker")]

KINDS: Mapping[str, type[Options]] = {
    base.kind: base
    for base in (
        DatasetOptions, BackboneOptions, ObjectiveOptions, FreezingOptions,
        SamplerOptions, AugmenterOptions, TranslatorOptions, MetricOptions, TrackerOptions,
    )
}  # fmt: skip
