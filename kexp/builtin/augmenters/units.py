"""Texts as units (eojeol or characters) and the gaps between them, so that what is not changed stays as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Literal

from kexp.contracts import Augmenter, Rejected

Unit = Literal["eojeol", "character"]

# A character is what a reader takes for one: conjoining jamo (NFD) that form a syllable, or a code point with the
# marks, variation selectors, skin tones and joined emoji that follow it.
UNITS: Mapping[Unit, re.Pattern[str]] = {
    "eojeol": re.compile(r"(\S+)"),
    "character": re.compile(
        "([\u1100-\u115f\ua960-\ua97c]+[\u1160-\u11ff\ud7b0-\ud7fb]*"
        "|\\S(?:[\u0300-\u036f\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]|\u200d\\S)*)"
    ),
}


def cut(text: str, unit: Unit) -> list[str]:
    """Cut a text into ``[gap, unit, gap, unit, ..., gap]``; joined they are the text, and a gap may be empty."""
    return UNITS[unit].split(text)


def keep(parts: Sequence[str], kept: Sequence[int]) -> str:
    """Join the units of a cut text whose numbers are in ``kept`` (ascending, at least one)."""
    pieces, before = [parts[0]], kept[0]
    for number in kept:
        if number > kept[0]:
            # Where units are left out between two others, one gap remains, an empty one only if there was no other.
            pieces.append(next(filter(None, parts[2 * before + 2 : 2 * number + 1 : 2]), ""))
        pieces.append(parts[2 * number + 1])
        before = number
    pieces.append(parts[-1])
    return "".join(pieces)


def per_text(change: Callable[[str, Random], str]) -> Augmenter:
    """Make an augmenter of a function of one text and its generator."""

    def augment(texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        return [change(text, random) for text, random in zip(texts, generators, strict=True)]

    return augment
