"""What a backbone promises: a tokenizer, and a classifier over the labels of the data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from kexp.contracts.adapter import AnyAdapter
from kexp.errors import KexpError
from kexp.options import Options, component

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class TokenizerContext:
    """What a tokenizer is built for: ``texts`` are those of the train split, unlabelled ones included."""

    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class BackboneContext:
    """What a classifier is built for: the names of the labels, by id, and the tokenizer."""

    label_names: Sequence[str]
    tokenizer: PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class MaskedLanguageModel:
    """An encoder under a head for masked language modelling, in fp32 on the CPU.

    ``fresh`` names the weights of the head that the checkpoint lacks, and that are random.
    """

    model: PreTrainedModel
    fresh: Sequence[str] = ()


class KnownWeights(NamedTuple):
    """Weights that ``kexp init`` may suggest: the options that name them, and their parameters in millions."""

    options: Mapping[str, Any]
    parameters: int


class BackboneOptions(Options):
    """Base of every backbone: a pre-trained or fresh encoder with a classification head, and its tokenizer."""

    kind: ClassVar[str] = "backbone"
    licence: ClassVar[str] = ""
    """Licence of the weights as their authors state it; empty where there is none, or where kexp does not know it."""
    suggested: ClassVar[tuple[KnownWeights, ...]] = ()
    """Weights that ``kexp init`` suggests to those who have chosen none, where they fit the machine."""

    dropout: float | None = Field(
        None, ge=0, lt=1, description="Dropout before the classifier; the model's own when not given."
    )
    adapter: AnyAdapter | None = Field(
        None, description="Train small matrices beside the weights of the layers (LoRA), which stay as they are."
    )

    def max_positions(self) -> int | None:
        """Return the longest input in tokens, special tokens included; None where it is not known before loading."""
        return None

    def layer_count(self) -> int | None:
        """Return the number of layers; None where it is not known before loading."""
        return None

    def gradient_checkpointing_problem(self) -> str:
        """Say why ``training.gradient_checkpointing`` cannot be used, without loading the model; empty if it can.

        What is not known here is known when the model was built, before training.
        """
        return ""

    def precision_problem(self, precision: str) -> str:
        """Say why ``training.precision`` cannot be this one, without loading the model; empty if it can.

        ``precision`` is fp32, bf16 or fp16. What is not known here is known once the model is on this machine, before
        training.
        """
        return ""

    @classmethod
    def provenance(cls) -> dict[str, str]:
        """Return by name what is known of the weights that the options choose among: licence, and where they are."""
        return {"licence": cls.licence} if cls.licence else {}

    def origin(self) -> Mapping[str, str]:
        """Return where the weights come from, for the record of a run: source, revision and licence where known."""
        return {"licence": self.licence} if self.licence else {}

    def clean(self, text: str) -> str:
        """Clean a text as this model's authors did before tokenising; for most models, it is unchanged."""
        return text

    def masked_language_model_problem(self) -> str:
        """Say why ``[pretraining]`` cannot be used, without loading the model; empty if it can, as far as is known."""
        return "the backbone brings no masked language model (build_masked_language_model)"

    def build_masked_language_model(self, tokenizer: PreTrainedTokenizerFast) -> MaskedLanguageModel:
        """Return the encoder that ``build`` returns under a head for masked language modelling.

        Weights of the two models that have the same name are the same weights.
        """
        raise KexpError(self.masked_language_model_problem())

    @abstractmethod
    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Return the tokenizer: the model's own, or one trained on the texts."""

    @abstractmethod
    def build(self, context: BackboneContext) -> PreTrainedModel:
        """Return a sequence classifier over the labels in fp32 on the CPU, with ``id2label`` set."""


AnyBackbone = Annotated[BackboneOptions, *component("backbone")]
"""A field that holds a component of this kind."""
