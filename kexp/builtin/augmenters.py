"""Augmenters of text."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterOptions


class RandomDeletion(AugmenterOptions):
    """Delete each eojeol with probability ``p`` (Wei & Zou 2019, EDA, section 2); one always remains."""

    p: float = Field(0.1, gt=0, lt=1, description="Probability with which an eojeol is deleted.")

    def build(self) -> Augmenter:
        """Return the augmenter."""
        return self._augment

    def _augment(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str]:
        return [self._delete(text, random) for text, random in zip(texts, generators, strict=True)]

    def _delete(self, text: str, random: Random) -> str:
        words = text.split()
        kept = [word for word in words if random.random() >= self.p]
        if not words:
            return text
        return " ".join(kept) if kept else random.choice(words)
