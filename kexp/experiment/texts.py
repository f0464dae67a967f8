"""Texts on their way to the model: cleaned as the backbone does, tokenised, cut to the length of the spec."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from kexp.contracts import TokenizerContext
from kexp.data.encoding import Encoded, encode
from kexp.data.long_texts import TOKENS, heads
from kexp.data.rows import PreparedData, Rows
from kexp.data.texts import MappedTexts, Texts
from kexp.data.tokenising import tokenise
from kexp.pretraining.masking import eojeol
from kexp.spec.sections import Spec

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def train_texts(data: PreparedData) -> Sequence[str]:
    """Return all texts of train, labelled or not."""
    several = [data.train.texts, *([] if data.unlabelled is None else [data.unlabelled.texts])]
    return Texts.joined([Texts.of(texts) for texts in several])


def build_tokenizer(spec: Spec, data: PreparedData) -> PreTrainedTokenizerFast:
    """Build the tokenizer of the backbone, which may learn from all texts of train."""
    return spec.backbone.build_tokenizer(TokenizerContext(clean(spec, train_texts(data))))


def encode_texts(
    spec: Spec,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
) -> Encoded:
    """Clean texts as the backbone does, tokenise them, and cut them to the spec's length."""
    return encode(
        without_long_tails(spec, tokenizer, clean(spec, texts), pairs),
        None if pairs is None else clean(spec, pairs),
        tokenizer,
        max_length=spec.training.max_length,
        truncation=spec.training.truncation,
        tokenise=partial(tokenise, joint=spec.dataset.joint()),
    )


def without_long_tails(
    spec: Spec, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None
) -> Sequence[str]:
    """Cut very long texts to what training keeps of them; of pairs and from the left that is not known beforehand."""
    if pairs is not None or spec.training.truncation == "left":
        return texts
    tokens, joint = max(spec.training.max_length, TOKENS), spec.dataset.joint()
    return MappedTexts(texts, lambda some: heads(some, tokenizer, tokens, joint))


def eojeol_of_tokens(spec: Spec, tokenizer: PreTrainedTokenizerFast, rows: Rows) -> Encoded:
    """Return the eojeol of every token of rows, in the places of the tokens."""
    return eojeol(
        without_long_tails(spec, tokenizer, clean(spec, rows.texts), rows.pairs),
        None if rows.pairs is None else clean(spec, rows.pairs),
        tokenizer,
        max_length=spec.training.max_length,
        truncation=spec.training.truncation,
        joint=spec.dataset.joint(),
    )


def clean(spec: Spec, texts: Sequence[str]) -> Sequence[str]:
    """Return texts as the backbone cleans them, when they are read."""
    return MappedTexts(texts, lambda some: [spec.backbone.clean(text) for text in some])
