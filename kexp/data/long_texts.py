"""Very long texts are cut before they are tokenised, where that changes no token that is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kexp.data.tokenising import tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LONG = 50_000
"""Characters up to which a text is tokenised as a whole."""

TOKENS = 8192
"""Tokens that the head of a long text has at least, so that it serves every usual ``training.max_length``."""

SPLITTING = ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel", "Metaspace")
"""Pre-tokenizers that divide a text at every space, so that words do not depend on those after them."""

LOCAL = ("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Precompiled")
"""Normalizers that neither remove a single space nor look across it."""


def heads(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, tokens: int, joint: str = "") -> list[str]:
    """Return texts with the long ones cut after a word; the first ``tokens`` tokens and one more stay the same.

    A text is left whole where its tokenizer does not divide texts at spaces, or where there is no space to cut at.
    ``joint`` is that of ``tokenise``.
    """
    if all(len(text) <= LONG for text in texts) or not _divides_at_spaces(tokenizer):
        return list(texts)
    return [text if len(text) <= LONG else _head(text, tokenizer, tokens, joint) for text in texts]


def _head(text: str, tokenizer: PreTrainedTokenizerFast, tokens: int, joint: str) -> str:
    size = LONG
    while size < len(text):
        head = text[: _end_of_word(text, size)]
        if head and int(tokenise([head], tokenizer, joint).lengths[0]) > tokens:
            return head
        size *= 4
    return text


def _end_of_word(text: str, size: int) -> int:
    """Return the last place before ``size`` with a letter or digit before it and a space after it, 0 without one.

    After white space, punctuation or combining characters the next character might belong to the same piece.
    """
    place = text.rfind(" ", 0, size)
    while place > 0 and not text[place - 1].isalnum():
        place = text.rfind(" ", 0, place)
    return max(place, 0)


def _divides_at_spaces(tokenizer: PreTrainedTokenizerFast) -> bool:
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    added = [token["content"] for token in state["added_tokens"]]
    pieces, normalizers = _parts(state["pre_tokenizer"], "pretokenizers"), _parts(state["normalizer"], "normalizers")
    splits = any(
        part["type"] in SPLITTING and part.get("use_regex", True) and part.get("split", True) for part in pieces
    )
    local = all(part["type"] in LOCAL or part.get("pattern") == {"Regex": " {2,}"} for part in normalizers)
    return splits and local and not any(character.isspace() for content in added for character in content)


def _parts(state: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """Return the steps of a sequence, or the only step."""
    if state is None:
        return []
    return [part for step in state[key] for part in _parts(step, key)] if state["type"] == "Sequence" else [state]
