"""An augmenter: new texts for training out of the ones that are there."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from random import Random

import kexp
from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions, Rejected
from pydantic import Field

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyAugmenter(AugmenterOptions):
    """Leave out spaces between words, as people do who write in a hurry."""

    p: float = Field(0.2, gt=0, le=1, description="Probability with which a space is left out.")

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter; ``context`` has the train texts, for augmenters that learn from them."""
        return self.augment

    def augment(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return a text for each; ``Rejected`` in its place would say why there is no good one."""
        return [self.join(text, generator) for text, generator in zip(texts, generators, strict=True)]

    def join(self, text: str, generator: Random) -> str:
        """Return the text with fewer spaces; the generator is the only source of chance."""
        first, *others = text.split(" ")
        joined = first + "".join(word if generator.random() < self.p else f" {word}" for word in others)
        # A single jamo after a syllable would be joined to it: texts stay in NFC.
        return unicodedata.normalize("NFC", joined)


@kexp.hookimpl
def kexp_augmenters() -> Mapping[str, type[AugmenterOptions]]:
    """Name the augmenters of this package."""
    return {"my-name": MyAugmenter}
