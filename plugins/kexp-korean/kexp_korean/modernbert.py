"""ModernBERT for Korean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kexp.errors import Problem
from kexp_korean.backbones import Published
from kexp_korean.tokenizer_files import WithTokenizerFile

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class AXEncoder(WithTokenizerFile):
    """A.X Encoder (SK Telecom 2025): ModernBERT of 22 layers for Korean and English; reads up to 16,384 tokens.

    Rows begin with <s> and end with </s>, as tokenizer.json says, and have no token types. The tokenizer is WordPiece
    after NFC, with rare Korean syllables too. Two layers in three attend to a window, of 128 tokens in ModernBERT.
    Weights are published in bf16 and trained in fp32; bf16 is the precision for a GPU, and fp16, in which values may
    overflow, is not advised. `reference_compile` in config.json has no effect any more, and flash attention need not be
    chosen, since rows run without padding. Pooling, dropout and window are those of config.json, which was not seen.
    """

    licence: ClassVar[str] = "Apache-2.0"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "base": Published("skt/A.X-Encoder-base", 16_384, "9708f9c404ace91efd25c06fac2d73413616f4ef")
    }

    pooling: Literal["cls", "mean"] | None = Field(
        None, description="The head reads the first token, or the mean of all; as config.json says when not given."
    )

    @property
    def published(self) -> Published:
        """The weights."""
        return self.WEIGHTS["base"]

    def problems(self) -> Iterable[Problem]:
        """Yield a pooling for a model that has none to choose."""
        yield from super().problems()
        if self.pooling is not None and (known := self.architecture()) not in (None, "modernbert"):
            yield Problem("pooling", f"{self.source} is of type {known}, without a pooling to choose", "leave it out")

    def load_config(self) -> PretrainedConfig:
        """Load the configuration with the pooling of the option."""
        config = super().load_config()
        if self.pooling is not None:
            config.classifier_pooling = self.pooling
        return config
