"""How many tokens the texts have: by the tokenizer if it is on this machine, else estimated from their characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kexp.contracts import TokenizerContext
from kexp.init.backbones import Suggestion

TOKENS_PER_CHARACTER = 0.65
"""Of Korean texts with the vocabularies of Korean models, rather too many than too few."""
SPECIAL_TOKENS = 3
MEASURED = 5_000
"""Texts that are tokenised at most."""
WHOLE = 0.99
"""Share of rows that the maximum length should hold."""
STEP = 8
SHORTEST = 16
MOST = 512
"""Tokens that nearly every encoder reads."""


@dataclass(frozen=True, slots=True)
class Length:
    """A ``max_length`` that holds ``held`` of the rows, 0 to 1, and whether it was measured or estimated."""

    max_length: int
    held: float
    measured: bool


def suggest(texts: Sequence[tuple[str, str | None]], suggestion: Suggestion) -> Length:
    """Return a length, a multiple of 8, that holds 99 % of the rows, or as many as the backbone reads."""
    step = max(1, len(texts) // MEASURED)
    sample = texts[::step]
    measured = suggestion.is_here
    lengths = sorted(_measured(sample, suggestion) if measured else map(_estimated, sample))
    whole = lengths[math.ceil(WHOLE * len(lengths)) - 1]
    most = suggestion.options.max_positions() or MOST
    length = min(max(SHORTEST, -(-whole // STEP) * STEP), most)
    return Length(length, sum(one <= length for one in lengths) / len(lengths), measured)


def _estimated(texts: tuple[str, str | None]) -> int:
    return math.ceil(sum(len(text or "") for text in texts) * TOKENS_PER_CHARACTER) + SPECIAL_TOKENS


def _measured(sample: Sequence[tuple[str, str | None]], suggestion: Suggestion) -> list[int]:
    clean = suggestion.options.clean
    cleaned = [(clean(text), None if pair is None else clean(pair)) for text, pair in sample]
    tokenizer = suggestion.options.build_tokenizer(
        TokenizerContext([text for texts in cleaned for text in texts if text is not None])
    )
    return [len(tokenizer(text, pair, truncation=False, verbose=False)["input_ids"]) for text, pair in cleaned]
