"""Back-translation: into another language and back, which says the same in other words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from kexp.contracts import (
    AnyAugmenter,
    AnyTranslator,
    Augmenter,
    AugmenterContext,
    AugmenterOptions,
    ClosableAugmenter,
    Decoding,
    Rejected,
)
from kexp.errors import Problem
from kexp.pretrained import fingerprint
from kexp_backtranslation.gate import Gate, Judge
from kexp_backtranslation.progress import INTERVAL
from kexp_backtranslation.workplace import ReadsFiles

if TYPE_CHECKING:
    from kexp_backtranslation.paraphrase import Paraphraser


class BackTranslation(AugmenterOptions):
    """Translate into a pivot language and back (Sennrich et al. 2016; for UDA, Xie et al. 2020).

    A text gets up to ``copies`` paraphrases that pass the gate; an example's generator chooses one of them. Every
    translation is kept, so that nothing is translated twice.
    """

    costly: ClassVar[bool] = True

    translator: AnyTranslator = Field(description="Translates into the pivot, and back too unless `back` is given.")
    back: AnyTranslator | None = Field(None, description="Translates back.")
    source: str = Field("ko", pattern="^[a-z]{2,3}$", description="ISO 639-1 code of the texts' language.")
    pivot: str = Field("en", pattern="^[a-z]{2,3}$", description="ISO 639-1 code of the language in between.")
    method: Literal["greedy", "beam", "sampling"] = Field(
        "sampling", description="How words are chosen, both ways; UDA's authors found sampling best."
    )
    beams: int = Field(4, ge=2, description="Beams of beam search.")
    temperature: float = Field(
        0.8, gt=0, description="Of sampling; 0.8 to 0.9 where labels survive rephrasing, 0.6 to 0.7 where they may not."
    )
    copies: PositiveInt = Field(1, description="Paraphrases of each text to choose from; several need sampling.")
    seed: int = Field(0, ge=0, description="Seed of sampling. Runs of all seeds share the translations.")
    split: bool = Field(True, description="Translate sentence by sentence, as translation models are trained.")
    gate: Gate = Field({}, description="Tests that paraphrases have to pass.")  # type: ignore[assignment]
    fallback: AnyAugmenter | None = Field(
        None, description="Augments what has no good paraphrase; without one, it is rejected."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield options that contradict each other."""
        if self.source == self.pivot:
            yield Problem("pivot", f'the pivot is the language of the texts, "{self.source}"', "choose another one")
        if self.copies > 1 and self.method != "sampling":
            finding = f"{self.method} gives one paraphrase, not {self.copies}"
            yield Problem("copies", finding, 'use method = "sampling", or copies = 1')

    def warnings(self) -> Iterable[Problem]:
        """Yield a temperature at which translations fall apart."""
        if self.method == "sampling" and self.temperature > 1:
            finding = f"at {self.temperature:g}, above the model's own distribution, sampled words rarely fit together"
            yield Problem("temperature", finding, "0.6 to 0.9 is usual")

    def views(self) -> int:
        """Return how many forms of a text training can take in turn."""
        return self.copies

    def identity(self, context: AugmenterContext) -> str:
        """Name the contents of local models and scripts, and what the fallback learns from."""
        both: tuple[object, ...] = (self.translator, self.back)
        translators = [options.files() for options in both if isinstance(options, ReadsFiles)]
        classifier = "" if self.gate.classifier is None else fingerprint(self.gate.classifier)
        fallback = "" if self.fallback is None else self.fallback.identity(context)
        return json.dumps([translators, classifier, fallback])

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter; models are downloaded here if need be, and loaded when a text is missing."""
        # The store behind it takes longer to import than all options of the package.
        from kexp_backtranslation.paraphrase import Paraphraser

        decoding = Decoding(self.method, self.beams if self.method == "beam" else 1, self.temperature)
        paraphraser = Paraphraser(
            self.translator, self.back or self.translator, self.source, self.pivot, decoding, self.seed, context
        )
        return BackTranslator(
            paraphraser,
            Judge(self.gate, korean=self.source == "ko", device=context.device),
            None if self.fallback is None else self.fallback.build(context),
            self,
        )


class KeepOriginal(AugmenterOptions):
    """Return the text as it is: as a fallback, what UDA's authors do with texts that have no good paraphrase."""

    def identity(self, context: AugmenterContext) -> str:
        """Return "": it learns nothing from the context."""
        return ""

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        return _kept


def _kept(texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
    return list(texts)


class BackTranslator:
    """Paraphrases texts; ``judge.counts`` counts the paraphrases by outcome."""

    def __init__(
        self, paraphraser: Paraphraser, judge: Judge, fallback: Augmenter | None, options: BackTranslation
    ) -> None:
        self.paraphraser, self.judge, self.fallback, self.options = paraphraser, judge, fallback, options
        self._offers: dict[str, list[str] | Rejected] = {}
        self._shown: tuple[float, int] = (float("-inf"), 0)

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return an accepted paraphrase of each text, else what the fallback makes of it, else ``Rejected``."""
        self._judge([text for text in dict.fromkeys(texts) if text not in self._offers])
        result: list[str | Rejected] = []
        for text, generator in zip(texts, generators, strict=True):
            offer = self._offers[text]
            result.append(offer if isinstance(offer, Rejected) else generator.choice(offer))
        left = [row for row, text in enumerate(result) if isinstance(text, Rejected)]
        if self.fallback is not None and left:
            instead = self.fallback([texts[row] for row in left], [generators[row] for row in left])
            for row, other in zip(left, instead, strict=True):
                result[row] = other
        return result

    def close(self) -> None:
        """Free the models' memory and end the programs; the next call loads or starts them again."""
        self.paraphraser.close()
        if isinstance(self.fallback, ClosableAugmenter):
            self.fallback.close()

    def _judge(self, texts: Sequence[str]) -> None:
        """Remember the accepted paraphrases of each text, or why the first of them was not."""
        translated = []
        for text in texts:
            reason = self.judge.hopeless(text)
            if reason is None:
                translated.append(text)
            else:
                self._offers[text] = Rejected(text, reason)
                self.judge.counts[reason] += self.options.copies
        copies = self.paraphraser.paraphrase(translated, self.options.copies, split=self.options.split)
        with self.paraphraser.meter.measure("judging"):
            pairs = [(text, paraphrase) for text in translated for paraphrase in copies[text]]
            verdicts = iter(self.judge.judge(pairs))
        for text in translated:
            judged = [(paraphrase, next(verdicts)) for paraphrase in copies[text]]
            accepted = list(dict.fromkeys(paraphrase for paraphrase, reason in judged if reason is None))
            self._offers[text] = accepted or Rejected(judged[0][0], str(judged[0][1]))
        self._show_counts()

    def _show_counts(self) -> None:
        """Say how it went so far; of calls that find all in the store, now and then."""
        now, made = time.monotonic(), self.paraphraser.meter.texts
        if made == self._shown[1] and now - self._shown[0] < INTERVAL:
            return
        self._shown = (now, made)
        self.paraphraser.show(self.judge.summary())
        if made:
            self.paraphraser.show(self.paraphraser.meter.summary())
