"""Small things to test with, made on the spot and offline: Korean texts, odd ones, a tiny tokenizer and classifier."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import settings
from hypothesis import strategies as st

from kexp.builtin.backbones import TinyBackbone
from kexp.contracts import BackboneContext, TokenizerContext
from kexp.sample_reviews import korean_reviews
from kexp.seeds import python_random

if TYPE_CHECKING:
    import torch
    from hypothesis.strategies import SearchStrategy
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from kexp.model.token_rows import TokenRows

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=25)
"""Few examples, the same ones every time: what fails, fails everywhere."""

# --- texts ----------------------------------------------------------------------------------------------------------

ODD_TEXTS: Sequence[str] = (
    "", " ", "\n\t ", "\u3000", "가", "a", ".", "안", "?!", "ㅋㅋㅋ ㅠㅠ", "NULL", "<b>영화</b> & 'a'", "줄\r\n바꿈",
    "👍🏽 👍🏽", "👨‍👩‍👧‍👦", "가족 👨‍👩‍👧‍👦 영화 👩‍❤️‍👨 🇰🇷", "❤️", "𠮷野家 漢字", "e\u0301 \u0301", "\u200d",
    "\ufeff영화", "영\u200b화", "\u202e거꾸로", "\u1112\u1161\u11ab", "가\u11a8", "\u11a8", "\ue000\ufffd\uffff",
    unicodedata.normalize("NFD", "안 좋은 영화는 보지 않는다"), "\x00\x07\x1b[31m제어 문자\x7f",
    "가" * 10_000, ("안 좋은 " * 2_000)[:10_000],
)  # fmt: skip
"""Unusual texts that do occur: no words, one character, joined emoji, single jamo, 10,000 characters."""


def korean_texts(count: int = 300, seed: int = 0) -> tuple[str, ...]:
    """Return different synthetic Korean sentences."""
    return korean_reviews(count, seed)[0]


def any_text() -> SearchStrategy[str]:
    """Return a strategy for texts of all that Unicode has, much of it Hangul."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    syllables = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=6)
    pieces = st.sampled_from([" ", "  ", "ㅋㅋ", "안", "없다", "영화는", "👍🏽", *"\u200d\u0301\u1100\u1161\u11a8"])
    return st.lists(st.one_of(anything, syllables, pieces), max_size=8).map("".join)


# --- randomness -----------------------------------------------------------------------------------------------------


def generators(count: int, seed: int = 0) -> list[random.Random]:
    """Return a generator for each of ``count`` rows, equal ones for equal seeds."""
    return [python_random(seed, "contract", row) for row in range(count)]


@contextmanager
def no_global_randomness() -> Iterator[None]:
    """Fail when a number is drawn from a generator that everybody shares: runs could not be repeated."""
    before = _shared_generators()
    yield
    drawn = [name for name, state in _shared_generators().items() if state != before.get(name, state)]
    assert not drawn, f"draws from the shared generator of {', '.join(drawn)}"


def _shared_generators() -> dict[str, Any]:
    states: dict[str, Any] = {"random": random.getstate()}
    if "numpy" in sys.modules:
        import numpy as np

        states["numpy"] = repr(np.random.get_state())
    if "torch" in sys.modules:
        import torch

        states["torch"] = torch.get_rng_state().tolist()
    return states


# --- a tiny model ---------------------------------------------------------------------------------------------------


def tiny_backbone(**options: Any) -> TinyBackbone:
    """Return kexp's own small encoder at its smallest, made anew in a fraction of a second."""
    return TinyBackbone(**{"layers": 2, "hidden": 16, "heads": 2, "vocabulary": 300, "positions": 64} | options)


def tiny_classifier(
    labels: Sequence[str] = ("부정", "긍정"), seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a classifier of random weights, and a tokenizer that has learnt the Korean texts."""
    tokenizer = _tiny_tokenizer()
    return seeded(tiny_backbone(), labels, tokenizer, seed), tokenizer


@cache
def _tiny_tokenizer() -> PreTrainedTokenizerFast:
    return tiny_backbone().build_tokenizer(TokenizerContext(korean_texts()))


def seeded(backbone: Any, labels: Sequence[str], tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Build a backbone's model with the seed of its weights, and leave torch's generator as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = backbone.build(BackboneContext(labels, tokenizer))
    return model


def save_tiny_model(folder: Path, head: Literal["classifier", "masked-lm"] = "classifier", seed: int = 0) -> Path:
    """Write a Hugging Face folder with config, random weights and tokenizer, as a download would be."""
    import torch
    from transformers import AutoModelForMaskedLM

    model, tokenizer = tiny_classifier(seed=seed)
    if head == "masked-lm":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForMaskedLM.from_config(model.config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def token_rows(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel, max_length: int = 32
) -> TokenRows:
    """Encode texts as kexp does for training: cut to a length, one after the other."""
    import numpy as np

    from kexp.data.encoding import encode
    from kexp.data.labelled_stream import Collator
    from kexp.data.tokenising import tokenise
    from kexp.model.token_rows import TokenRows

    encoded = encode(texts, None, tokenizer, max_length=max_length, truncation="right", tokenise=tokenise)
    return TokenRows.of(Collator.of(tokenizer, model)(encoded, np.arange(len(texts))), model.device)


def padding_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the id of a tokenizer's padding."""
    padding = tokenizer.pad_token_id
    assert isinstance(padding, int), "the tokenizer has no padding token"
    return padding


def inputs_of(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel, max_length: int = 32
) -> dict[str, torch.Tensor]:
    """Encode texts as kexp does for training, padded at the right to the longest of the batch."""
    return token_rows(texts, tokenizer, model, max_length).padded(padding_id(tokenizer))
