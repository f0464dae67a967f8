"""DeBERTa for Korean: of Kakao Bank, of the Lucid team, and Microsoft's multilingual one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kexp.contracts import TokenizerContext
from kexp_korean.backbones import KoreanBackbone, Published, revision_option
from kexp_korean.tokenizer_files import TOKENIZER, WithPieces, WithTokenizerFile

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ARCHITECTURE = "deberta-v2"
"""What transformers calls DeBERTa-v2 and v3."""


class KFDeBERTa(WithTokenizerFile):
    """KF-DeBERTa (Kakao Bank and FnGuide 2023): DeBERTa-v2 on general and financial texts, cased WordPiece.

    Words are not taken apart into letters, and a rare syllable is [UNK]: the vocabulary has 130,000 words and parts of
    words, not every syllable. Attention has relative positions, of which 512 tokens are kexp's limit. fp16 is refused.
    What the published files say of token types, layers and dropout is known once they are downloaded.
    """

    licence: ClassVar[str] = "MIT"
    VOCABULARY: ClassVar[str] = "vocab.txt"
    TOKENIZERS: ClassVar[tuple[str, ...]] = (TOKENIZER, VOCABULARY)
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "base": Published("kakaobank/kf-deberta-base", 512, "363b171d71443b0874b0bf9cea053eb5b1650633")
    }

    @property
    def published(self) -> Published:
        """The weights."""
        return self.WEIGHTS["base"]

    def architecture(self) -> str | None:
        """Return DeBERTa-v2, or what a folder says."""
        return ARCHITECTURE if self.path is None else super().architecture()

    def build_tokenizer(self, context: TokenizerContext) -> PreTrainedTokenizerFast:
        """Load tokenizer.json, or a cased WordPiece tokenizer where a folder has vocab.txt alone.

        Of such a folder transformers would take the tokenizer for DeBERTa's own, which reads no vocab.txt.
        """
        if self._in_folder(self.VOCABULARY) is None:
            return super().build_tokenizer(context)
        return KoreanBackbone.build_tokenizer(self, context)


class KoreanDeBERTa(WithPieces):
    """DeBERTa-v3 for Korean (team-lucid 2023), trained by replaced tokens as ELECTRA is; three sizes, 512 tokens.

    The tokenizer is the published tokenizer.json as it is, which transformers would read as a DebertaV2Tokenizer and
    normalise in another way. There are no token types unless config.json says so. fp16 is refused. What the published
    files of the smaller sizes hold was not seen: no commit of them is known to kexp.
    """

    licence: ClassVar[str] = "Apache-2.0"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "xsmall": Published("team-lucid/deberta-v3-xsmall-korean", 512),
        "small": Published("team-lucid/deberta-v3-small-korean", 512),
        "base": Published("team-lucid/deberta-v3-base-korean", 512, "0898a84eb074af87817d57b30c513ee2a42dce48"),
    }

    revision: str | None = revision_option("xsmall", "small")
    size: Literal["xsmall", "small", "base"] = Field("base", description="Size of the model.")

    @property
    def published(self) -> Published:
        """The weights of this size."""
        return self.WEIGHTS[self.size]

    def architecture(self) -> str | None:
        """Return DeBERTa-v2, or what a folder says."""
        return ARCHITECTURE if self.path is None else super().architecture()


class MDeBERTa(WithPieces):
    """The multilingual mDeBERTa-v3 (He et al. 2021) for a hundred languages, Korean too; 250,000 pieces, 512 tokens.

    Published as a SentencePiece model without tokenizer.json, which becomes a fast tokenizer: texts are normalised by
    its own table (NFKC), and characters that no piece has are read as bytes, if the model has pieces for them, not as
    [UNK]. There are no token types. Most of its parameters are embeddings. fp16, in which it is known to overflow, is
    refused.
    """

    licence: ClassVar[str] = "MIT"
    WEIGHTS: ClassVar[Mapping[str, Published]] = {
        "base": Published("microsoft/mdeberta-v3-base", 512, "a0484667b22365f84929a935b5e50a51f71f159d")
    }

    @property
    def published(self) -> Published:
        """The weights."""
        return self.WEIGHTS["base"]

    def architecture(self) -> str | None:
        """Return DeBERTa-v2, or what a folder says."""
        return ARCHITECTURE if self.path is None else super().architecture()

    def _pieces(self) -> Path | None:
        """Return the SentencePiece model, downloaded first if need be, None for a folder with a tokenizer.json."""
        return self._downloaded(self.PIECES) if self.path is None else super()._pieces()
