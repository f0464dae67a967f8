"""Augmenter ``drop-particles``: Korean as it is typed in comments, without case particles."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.hangul import decompose, is_syllable

AFTER_CONSONANT, AFTER_VOWEL = frozenset("은이을"), frozenset("는가를")
SHORTEST = 2
"""Syllables that have to be left: in shorter words the end may be part of the word."""


class DropParticles(AugmenterOptions):
    """Leave out the particles 은/는, 이/가 and 을/를 at the end of words, as speakers do."""

    p: float = Field(0.5, gt=0, le=1, description="Probability with which a particle is left out.")

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter, which learns nothing from the train texts."""
        return self.augment

    def augment(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return each text with fewer particles."""
        return [self.shorten(text, generator) for text, generator in zip(texts, generators, strict=True)]

    def shorten(self, text: str, generator: Random) -> str:
        """Return the text; everything between its words stays as it is."""
        return " ".join(
            word[:-1] if has_particle(word) and generator.random() < self.p else word for word in text.split(" ")
        )


def has_particle(word: str) -> bool:
    """Return whether a word ends in a particle that agrees with the syllable before it."""
    if len(word) <= SHORTEST or not all(map(is_syllable, word[-SHORTEST - 1 :])):
        return False
    return word[-1] in (AFTER_CONSONANT if decompose(word[-2]).final else AFTER_VOWEL)
