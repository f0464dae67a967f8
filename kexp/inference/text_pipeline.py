"""From texts to tokens as a trained model reads them: normalised, cleaned and cut as in training."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kexp.contracts import BackboneOptions
from kexp.data.cleaning import normal_text
from kexp.data.encoding import Encoded, encode, special_tokens
from kexp.data.tokenising import tokenise
from kexp.inference.provenance import Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True)
class TextPipeline:
    """How texts become tokens for a model; equal pipelines give equal tokens, so that these are made once."""

    digest: str
    max_length: int
    truncation: str
    trim: bool
    backbone: BackboneOptions | None
    specials: tuple[int, int]
    """Special tokens around a text, and around a pair."""
    joint: str
    """What stands between joined columns: in it, special tokens are special."""
    tokenizer: PreTrainedTokenizerFast = field(compare=False, repr=False)
    # The tokenizer cannot be used by two threads at once.
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, provenance: Provenance, max_length: int) -> TextPipeline:
        """Return the pipeline of a tokenizer, after the cleaning of the spec."""
        digest = hashlib.blake2b(tokenizer.backend_tokenizer.to_str().encode(), digest_size=16).hexdigest()
        around = special_tokens(tokenizer)
        single = len(around.prefix) + len(around.suffix)
        specials = (single, single + len(around.middle))
        backbone = provenance.backbone if provenance.cleans else None
        joint = provenance.columns.joint
        return cls(digest, max_length, tokenizer.truncation_side, provenance.trim, backbone, specials, joint, tokenizer)

    def encode(self, texts: Sequence[Any], pairs: Sequence[Any] | None) -> Encoded:
        """Normalise, clean, tokenise and cut texts."""
        first = self._cleaned(texts)
        second = None if pairs is None else self._cleaned(pairs)
        with self.lock:
            return encode(
                first,
                second,
                self.tokenizer,
                max_length=self.max_length,
                truncation=self.truncation,
                tokenise=partial(tokenise, joint=self.joint),
            )

    def _cleaned(self, texts: Sequence[Any]) -> list[str]:
        normal = [normal_text(text, trim=self.trim) for text in texts]
        return normal if self.backbone is None else [self.backbone.clean(text) for text in normal]
