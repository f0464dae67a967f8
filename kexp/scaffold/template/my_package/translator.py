"""A translator: what back-translation translates with, there and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from random import Random

import kexp
from kexp.contracts import Decoding, Translator, TranslatorContext, TranslatorOptions
from kexp.errors import KexpError, Problem
from kexp.options import LocalPath
from pydantic import Field

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""

GLOSSARY = {"영화": ("film", "movie"), "배우": ("actor",), "음악": ("music",), "정말": ("really", "truly")}


class MyTranslator(TranslatorOptions):
    """Word by word out of a glossary; words that it does not have stay as they are.

    A stand-in for a model or a service: equal texts, decoding and seeds must give equal translations.
    """

    glossary: LocalPath | None = Field(
        None, description="Lines of a Korean word, a tab and its translations, separated by commas; a few if not given."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a file that is not there."""
        if self.glossary is not None and not self.glossary.is_file():
            yield Problem("glossary", f"{self.glossary} does not exist")

    def build(self, context: TranslatorContext) -> Translator:
        """Return the translator of one direction; it is built once for each."""
        if "ko" not in (context.source, context.target):
            raise KexpError(f"the glossary has Korean on one side, found {context.source} to {context.target}")
        words = self.words()
        return GlossaryTranslator(words if context.source == "ko" else reverse(words), context)

    def words(self) -> Mapping[str, tuple[str, ...]]:
        """Return the translations of each word."""
        if self.glossary is None:
            return GLOSSARY
        lines = [line.split("\t") for line in self.glossary.read_text("utf-8").splitlines() if "\t" in line]
        return {word: tuple(map(str.strip, meanings.split(","))) for word, meanings, *_ in lines}


@kexp.hookimpl
def kexp_translators() -> Mapping[str, type[TranslatorOptions]]:
    """Name the translators of this package."""
    return {"my-name": MyTranslator}


class GlossaryTranslator:
    """Looks words up."""

    def __init__(self, words: Mapping[str, tuple[str, ...]], context: TranslatorContext) -> None:
        self.words = words
        # Translations are stored under this name: a translator with other results needs another name.
        content = hashlib.sha256(repr(sorted(words.items())).encode()).hexdigest()
        self.identity = f"glossary {context.source}-{context.target} {content[:16]}"

    def translate(self, texts: Sequence[str], decoding: Decoding, copies: int, seed: int) -> list[list[str]]:
        """Return ``copies`` translations of each text; sampling draws from a stream of the text's own."""
        if decoding.method != "sampling":
            return [[self._first(text)] * copies for text in texts]
        streams = [[Random(f"{seed} {copy} {text}") for copy in range(copies)] for text in texts]
        return [[self._sampled(text, stream) for stream in row] for text, row in zip(texts, streams, strict=True)]

    def close(self) -> None:
        """Do nothing: there is no process to end and no model to free."""

    def _first(self, text: str) -> str:
        return " ".join(self.words.get(word, (word,))[0] for word in text.split())

    def _sampled(self, text: str, stream: Random) -> str:
        return " ".join(stream.choice(self.words.get(word, (word,))) for word in text.split())


def reverse(words: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the glossary of the other direction."""
    other: dict[str, tuple[str, ...]] = {}
    for word, meanings in words.items():
        for meaning in meanings:
            other[meaning] = (*other.get(meaning, ()), word)
    return other
