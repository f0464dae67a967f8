"""Saying a sentence: in standard Korean, or with the markers of a region.

A sentence is a row of parts that know their standard form; a speaker puts regional words, stems,
particles and endings in their place, each with the probability of realising a marker, and inflects and
agrees afresh.  Both forms of a sentence therefore have the same parts in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, cast

from kexp import hangul

from ..conjugation import Kind, Predicate, conjugate, honorific, past, predicate, progressive
from .dice import Dice
from .endings import Ending
from .lexicon import ADJECTIVES
from .regional_endings import ENDINGS
from .words import PARTICLES, STEMS, WORDS, WordTable


@dataclass(frozen=True, slots=True)
class Word:
    """A word that does not inflect."""

    text: str
    filler: bool = False  # the same wherever one speaks


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun and its particle, which is "" where speech drops it."""

    noun: str
    particle: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """A predicate with its ending; ``job`` names what the ending does."""

    lemma: str
    job: str
    ending: Ending
    time: Literal["present", "past", "ongoing"] = "present"
    honorific: bool = False


@dataclass(frozen=True, slots=True)
class Copula:
    """A noun that is said of the topic, and the ending that joins it."""

    noun: str
    job: str
    ending: Ending


Part = Word | Phrase | Verb | Copula


@dataclass(frozen=True, slots=True)
class Sentence:
    """The parts of a sentence, its closing mark, and the part written together with the next one."""

    parts: tuple[Part, ...]
    mark: str
    joined: int | None = None


# The predicates that take the endings of past stems in the present too: 있는데, but 있다.
_STATIVE = ("있", "없", "읎", "엇")

# Speakers of a variety do not fall back to these standard words: 와 묵노, not 왜 묵노.
_STEADY = frozenset({"왜"})

# 드시다 and 주무시다 are said everywhere, so the regional words for eating and sleeping give way.
_HONORED = frozenset({"먹다", "마시다", "자다"})


class Speaker:
    """One way of speaking; without a region, the standard one."""

    def __init__(self, dice: Dice, region: str | None = None, marker_rate: float = 0.0) -> None:
        self._dice = dice
        self._region = region
        self._rate = marker_rate
        self._chosen: dict[str, str] = {}

    def say(self, sentence: Sentence) -> str:
        """Write a sentence out."""
        self._chosen.clear()  # a word is said the same way throughout a sentence, and only there
        words = [self._part(part) for part in sentence.parts]
        if sentence.joined is not None:
            words[sentence.joined] += words.pop(sentence.joined + 1)
        return " ".join(words) + sentence.mark

    def _part(self, part: Part) -> str:
        match part:
            case Word(text, filler):
                return text if filler else self._noun(text)
            case Phrase(noun, particle):
                if not particle:
                    return self._noun(noun)
                return hangul.attach(self._noun(noun), self._choose(PARTICLES, particle))
            case Copula(noun, job, ending):
                return hangul.attach(self._noun(noun), self._ending(job, ending).verb)
            case Verb():
                return self._verb(part)

    def _noun(self, text: str) -> str:
        """Say a word; of several, the last is the one that may be regional: 옆집 아저씨."""
        head, space, last = text.rpartition(" ")
        return head + space + self._choose(WORDS, last)

    def _choose(self, table: WordTable, standard: str) -> str:
        """Draw the form of a word, once per sentence."""
        if self._region is None:
            return standard
        if standard not in self._chosen:
            options = table[self._region].get(standard, ())
            realised = bool(options) and (self._dice.chance(self._rate) or (standard in _STEADY and self._rate > 0))
            self._chosen[standard] = self._dice.pick(options) if realised else standard
        return self._chosen[standard]

    def _ending(self, job: str, standard: Ending) -> Ending:
        """Draw the ending that does a job."""
        options = ENDINGS[self._region].get(job, ()) if self._region else ()
        return self._dice.pick(options) if options and self._dice.chance(self._rate) else standard

    def _stem(self, lemma: str) -> Predicate:
        """Draw the stem of a predicate; compounds of 하다 follow it."""
        adjective = lemma in ADJECTIVES
        chosen = self._choose(STEMS, lemma)
        if chosen == lemma and lemma.endswith("하다"):
            chosen = lemma.removesuffix("하다") + self._choose(STEMS, "하다")
        form, _, note = chosen.partition("=")
        if note == "verb":
            return predicate(form)
        return predicate(form, cast("Kind", note) if note else None, adjective=adjective)

    def _verb(self, verb: Verb) -> str:
        """Inflect a predicate."""
        respected = verb.honorific and verb.lemma in _HONORED
        word = predicate(verb.lemma) if respected else self._stem(verb.lemma)
        ending = self._ending(verb.job, verb.ending)
        if verb.time == "ongoing" and self._region == "jeju" and ending is not verb.ending:
            verb = replace(verb, time="present")  # 먹엄수다 says by itself that it is going on
        if verb.time == "ongoing":
            word = progressive(word, honored=verb.honorific)
        elif verb.honorific:
            word = honorific(word)
        if verb.time == "past":
            return conjugate(word if ending.absolute else past(word), ending.past)
        if word.stem.endswith(_STATIVE):
            if not ending.absolute:
                return conjugate(word, ending.past)
            return conjugate(word, ending.verb if verb.time == "ongoing" else ending.adjective)
        return conjugate(word, ending.adjective if word.adjective else ending.verb)
