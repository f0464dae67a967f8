"""What a backbone promises: a tokenizer, and a classifier over the labels of the data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from kexp.options import Options, component

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


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


AnyBackbone = Annotated[BackboneOptions, *component("backbone")]
"""A field that holds a component of this kind."""
