"""Augmenters of text."""

from __future__ import annotations

from collections.abc import Mapping

from kexp.builtin.augmenters.combine import Compose, OneOf
from kexp.builtin.augmenters.masked import MaskFill
from kexp.builtin.augmenters.noise import CharNoise, SpacingNoise
from kexp.builtin.augmenters.replacement import TfIdfReplacement, UnigramReplacement
from kexp.builtin.augmenters.words import Aeda, RandomDeletion, RandomSwap
from kexp.contracts import AugmenterOptions

__all__ = [
    "AUGMENTERS",
    "Aeda",
    "CharNoise",
    "Compose",
    "MaskFill",
    "OneOf",
    "RandomDeletion",
    "RandomSwap",
    "SpacingNoise",
    "TfIdfReplacement",
    "UnigramReplacement",
]

AUGMENTERS: Mapping[str, type[AugmenterOptions]] = {
    "random-deletion": RandomDeletion,
    "random-swap": RandomSwap,
    "aeda": Aeda,
    "tf-idf-replacement": TfIdfReplacement,
    "unigram-replacement": UnigramReplacement,
    "char-noise": CharNoise,
    "spacing-noise": SpacingNoise,
    "mask-fill": MaskFill,
    "compose": Compose,
    "one-of": OneOf,
}
