"""Base of augmenters that change words: texts as units with gaps, and words that are protected from change.

Protected is what carries the meaning of a sentence, negations alone, or words that are bound to a label.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar, Literal
from unicodedata import normalize

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.errors import KexpError, Problem
from kexp.korean.eojeol import (
    ANALYSER_DESCRIPTION,
    Analyser,
    AnalyserName,
    Eojeol,
    analyser,
    analyser_identity,
    analyser_problems,
)
from kexp.korean.meaning import meaning

# --- units -----------------------------------------------------------------------------------------------------------

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


@dataclass(frozen=True, slots=True)
class PerText:
    """An augmenter that changes one text after the other, each with its generator."""

    change: Callable[[str, Random], str]
    read: Analyser | None

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return the changed texts."""
        if self.read is not None:
            self.read(texts)
        return [self.change(text, random) for text, random in zip(texts, generators, strict=True)]


def per_text(change: Callable[[str, Random], str], read: Analyser | None = None) -> Augmenter:
    """Make an augmenter of a function of one text and its generator; ``read`` is shown all texts first, at once.

    A copy of it may augment in another process if ``pickle`` can copy the function: a method of the options, or a
    ``functools.partial`` of one, not a lambda.
    """
    return PerText(change, read)


# --- protected words -------------------------------------------------------------------------------------------------

Protect = Literal["meaning", "negation", "negation-and-label", "none"]
PROTECT_DESCRIPTION = (
    "Words left alone: what carries the meaning (negations and all that belongs to them, comparisons, numbers, words "
    "that judge), negations with the word beside them, these and words bound to a label in the labelled rows, or none."
)

# Generous on purpose (안경 passes for a negation): a word too many is merely kept, but a lost negation turns the label.
_NOT = "[않없]|못[하해했한할함]|아니|아닌|아닐|아님|아녔"
_STOP = r"말|마(?:[라세시요ㄱ-ㅣ]|\W|$)"
_ANYWHERE = re.compile("[안못않없말마]|아니|아닌|아닐|아님|아녔")
_NEGATION = re.compile(rf"^\W*[안못]|{_NOT}|지[는도를]?(?:[안못]|{_STOP})")
_ADVERB = re.compile(r"\W*[안못]\W*")
_AUXILIARY = re.compile(_NOT)
_STOPPING = re.compile(_STOP)
_STOPPED = re.compile("지[는도를]?$")


class WordAugmenterOptions(AugmenterOptions):
    """Options of augmenters that protect words; one that learns more from the context overrides ``identity``."""

    judging: ClassVar[bool] = True
    """Whether words that judge (좋다, 최악) are part of the meaning; not where they only move or get a synonym."""

    protect: Protect = Field("meaning", description=PROTECT_DESCRIPTION)
    label_threshold: float = Field(
        1.96, ge=0, description="z-score of the log-odds from which a word is bound to a label, for negation-and-label."
    )
    analyser: AnalyserName = Field("rules", description=ANALYSER_DESCRIPTION)

    def problems(self) -> Iterable[Problem]:
        """Yield what the analyser lacks."""
        return analyser_problems(self.analyser)

    def identity(self, context: AugmenterContext) -> str:
        """Name the analyser, and the rows that protected words are learnt from, if they are."""
        return (context.digest() if self.protect == "negation-and-label" else "") + self.analysed_by()

    def analysed_by(self) -> str:
        """Name the analyser and its version, "" for the rules, which have the version of this package."""
        return "" if self.analyser == "rules" else analyser_identity(self.analyser)

    def guard(self, context: AugmenterContext) -> Guard:
        """Return what finds protected words; raises ``KexpError`` where labels are needed and there are none."""
        read = analyser(self.analyser)
        if self.protect == "meaning":
            return Guard(negation=False, read=read, meaning=True, judging=self.judging)
        if self.protect != "negation-and-label":
            return Guard(negation=self.protect == "negation", read=read)
        if not context.labels:
            raise KexpError('protect = "negation-and-label" needs labelled rows; use "negation"')
        return Guard(negation=True, words=label_words(context, self.label_threshold), read=read)


@dataclass(frozen=True, slots=True)
class Guard:
    """Finds the protected eojeol of a text; ``read`` analyses texts."""

    negation: bool
    words: Collection[str] = frozenset()
    read: Analyser = field(default_factory=lambda: analyser("rules"))
    meaning: bool = False
    judging: bool = True

    def eojeol(self, text: str) -> Sequence[Eojeol]:
        """Return the eojeol of a text."""
        return self.read([text])[0]

    def free(self, text: str, parts: Sequence[str], unit: Unit) -> Sequence[int]:
        """Return the numbers of the units that may be changed; ``parts`` is the text, cut into ``unit``."""
        negation = self.negation and _ANYWHERE.search(normalize("NFC", text)) is not None
        if not negation and not self.words and not self.meaning:
            return range(len(parts) // 2)
        words = parts[1::2] if unit == "eojeol" else text.split()
        flags = self.flags(words)
        if unit == "character":
            flags = [flag for word, flag in zip(words, flags, strict=True) for _ in range(len(cut(word, unit)) // 2)]
        return [number for number, flag in enumerate(flags) if not flag]

    def flags(self, words: Sequence[str]) -> list[bool]:
        """Return for each eojeol of a text, in order, whether it is protected."""
        if self.meaning:
            return meaning(self.eojeol(" ".join(words)), judging=self.judging)
        words = [normalize("NFC", word) for word in words]
        flags = [bool(self.words) and core(word) in self.words for word in words]
        for number in _negated(words) if self.negation else ():
            flags[number] = True
        return flags


def _negated(words: Sequence[str]) -> Iterable[int]:
    """Yield the numbers of negations and of the words that they negate.

    Without the latter the negation would fall upon another word: "안 지루하고 재밌다" must not become "안 재밌다".
    """
    for number, word in enumerate(words):
        # 말다 is a negation only after a stem with -지; alone it may be speech, or a horse.
        stops = number > 0 and bool(_STOPPING.match(word) and _STOPPED.search(words[number - 1]))
        if stops or _NEGATION.search(word):
            yield number
        if number > 0 and (stops or _AUXILIARY.match(word)):
            yield number - 1
        if number + 1 < len(words) and _ADVERB.fullmatch(word):
            yield number + 1


def core(word: str) -> str:
    """Return a word without the punctuation around it."""
    return re.sub(r"^\W+|\W+$", "", word)


def label_words(context: AugmenterContext, threshold: float) -> frozenset[str]:
    """Return the eojeol of the labelled rows that speak for one label against all others.

    The statistic is the z-score of the log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi & Quinn
    2008, "Fightin' Words"); the prior is the word's share of all train texts, and weighs as much as an average label.
    """
    counts: dict[int, Counter[str]] = {label: Counter() for label in context.labels}
    for text, label in zip(context.labelled, context.labels, strict=True):
        counts[label].update(_cores(text))
    total = Counter[str]()
    for count in counts.values():
        total.update(count)
    everywhere = total | Counter(word for text in context.texts for word in _cores(text))
    if len(counts) < 2 or len(everywhere) < 2:
        return frozenset()
    weight = total.total() / len(counts) / everywhere.total()
    found = set()
    for count in counts.values():
        rest = total - count
        scored = _z_scores(count, rest, {word: weight * everywhere[word] for word in everywhere})
        found |= {word for word, score in scored if score >= threshold}
    return frozenset(found)


def _cores(text: str) -> list[str]:
    return [word for word in map(core, normalize("NFC", text).split()) if word]


def _z_scores(here: Counter[str], there: Counter[str], prior: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    """Yield each word of ``here`` and its log-odds ratio between two bodies of text, in standard deviations."""
    pseudo_words = sum(prior.values())
    words_here, words_there = here.total() + pseudo_words, there.total() + pseudo_words
    for word in here:
        count, other = here[word] + prior[word], there[word] + prior[word]
        ratio = math.log(count / (words_here - count)) - math.log(other / (words_there - other))
        yield word, ratio / math.sqrt(1 / count + 1 / other)
