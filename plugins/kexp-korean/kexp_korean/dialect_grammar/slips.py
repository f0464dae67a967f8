"""What everyday speech does to a sentence in every variety alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from . import lexicon
from .dice import Dice
from .rendering import Part, Phrase, Sentence, Word

# How often each particle goes unsaid.
_DROPPED: Final = {"를": 0.4, "을": 0.4, "가": 0.12, "이": 0.12, "는": 0.08, "은": 0.08, "에": 0.12}


def slip(dice: Dice, sentence: Sentence) -> Sentence:
    """Add an opener, fillers, a repeated word, dropped particles and a lost space, each at times."""
    parts = [_drop(dice, part) for part in sentence.parts]
    if dice.chance(0.18):
        index = dice.between(0, len(parts) - 1)
        parts.insert(index, Word(dice.pick(lexicon.FILLERS), filler=True))
    if dice.chance(0.04):
        index = dice.between(0, len(parts) - 1)
        if isinstance(parts[index], Word):
            parts.insert(index, parts[index])
    if dice.chance(0.22):
        parts.insert(0, Word(dice.pick(lexicon.OPENERS)))
    joined = dice.between(0, len(parts) - 2) if len(parts) > 4 and dice.chance(0.08) else None
    return replace(sentence, parts=tuple(parts), joined=joined)


def _drop(dice: Dice, part: Part) -> Part:
    """Leave a particle out as often as speakers do, but never after the short pronouns 내, 제 and 네."""
    if not isinstance(part, Phrase) or part.noun in ("내", "제", "네"):
        return part
    return Phrase(part.noun) if dice.chance(_DROPPED.get(part.particle, 0.0)) else part
