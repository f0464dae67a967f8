"""Phrases: which eojeol belong together, also where writers often leave the space between them out."""

from __future__ import annotations

from collections.abc import Sequence

from kexp.korean.eojeol import Eojeol
from kexp.korean.vocabulary import LIGHT, NEEDY, NOUN_CLASSES

# Verbs that have become particles: 영화를 통해서.
_POSTPOSED = (
    "통해",
    "통하",
    "통한",
    "위해",
    "위하",
    "위한",
    "향해",
    "향한",
    "비롯",
    "둘러",
    "두고",
    "가지고",
    "갖고",
    "하",
    "해",
    "한",
)
_KNOWN = frozenset().union(*NOUN_CLASSES)


def binds(words: Sequence[Eojeol], number: int) -> bool:
    """Return whether an eojeol cannot be parted from the next one."""
    if number + 1 >= len(words):
        return False
    word, after = words[number], words[number + 1]
    if after.kind in ("bound noun", "auxiliary"):
        return True
    if word.mark:
        return False
    if word.form == "object" and after.form == "adverbial":
        made = after.ending in ("으로", "로")
        if made or binds(words, number + 1):
            return True  # 국익을 최우선으로, 소설을 원작으로 한
    if word.form in ("modifier", "conjunct") or word.kind in (
        "intensifier",
        "scope",
        "negation",
        "determiner",
        "other",
    ):
        return True
    if word.form == "subject" and after.kind == "adverb":
        return False
    if word.kind == "noun" and after.kind in ("predicate", "scope", "negation", "other", "intensifier"):
        return _completes(word, after)
    return word.form == "bare" and word.kind in ("noun", "bound noun")


def _completes(word: Eojeol, after: Eojeol) -> bool:
    """Return whether a predicate says little without the noun before it."""
    match word.form:
        case "topic":
            light = after.kind != "predicate" or any(after.stem.startswith(one) for one in LIGHT)
            return after.kind != "intensifier" and (light or word.stem not in _KNOWN)
        case "adverbial":
            return after.kind != "intensifier" and word.ending not in ("에서", "에선", "에서는")
        case "object":
            loose = after.kind == "predicate" and word.stem in _KNOWN and not after.text.startswith(_POSTPOSED)
            return after.kind != "intensifier" and not loose
    return True


def phrases(words: Sequence[Eojeol]) -> list[range]:
    """Cut a text into runs of eojeol that belong together."""
    found, start = [], 0
    for number in range(len(words)):
        if not binds(words, number):
            found.append(range(start, number + 1))
            start = number + 1
    return found


def loose_gaps(words: Sequence[Eojeol]) -> list[int]:
    """Return the numbers of the eojeol after which writers often leave the space out: 볼 수, 해 주다, 안 본."""
    return [number for number in range(len(words) - 1) if _is_loose(words[number], words[number + 1])]


def _is_loose(word: Eojeol, after: Eojeol) -> bool:
    if word.mark or "other" in (word.kind, after.kind):
        return False
    if after.kind in ("bound noun", "auxiliary"):
        return True
    short = len(word.text) == 1
    match word.kind:
        case "negation" | "scope":
            return short and after.kind == "predicate"
        case "intensifier":
            return after.kind == "predicate"
        case "determiner":
            return short and after.kind == "noun"
        case "noun":
            # 눈 오는 날 is no first part of a compound.
            return word.form == "bare" and word.stem not in NEEDY and after.kind in ("noun", "predicate")
    return False
