"""Typing errors: keys hit wrongly on a Korean keyboard, and spaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Final, Literal
from unicodedata import normalize

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions
from kexp.errors import Problem
from kexp.hangul import FINALS, LEADS, compose, decompose
from kexp.korean.eojeol import (
    ANALYSER_DESCRIPTION,
    Analyser,
    AnalyserName,
    analyser,
    analyser_identity,
    analyser_problems,
)
from kexp.korean.phrases import loose_gaps
from kexp.word_augmenter import cut, per_text

# The 두벌식 keyboard (KS X 5002), row by row; each row stands half a key to the right of the one above.
ROWS: Final = ("ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", "ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", "ㅋㅌㅊㅍㅠㅜㅡ")
SHIFTED: Final = dict(zip("ㅂㅈㄷㄱㅅㅐㅔ", "ㅃㅉㄸㄲㅆㅒㅖ", strict=True))
UNSHIFTED: Final = {shifted: plain for plain, shifted in SHIFTED.items()}

# What is typed with two keys, as these keys.
DOUBLE_VOWELS: Final = {
    "ㅘ": "ㅗㅏ",
    "ㅙ": "ㅗㅐ",
    "ㅚ": "ㅗㅣ",
    "ㅝ": "ㅜㅓ",
    "ㅞ": "ㅜㅔ",
    "ㅟ": "ㅜㅣ",
    "ㅢ": "ㅡㅣ",
}
DOUBLE_FINALS: Final = {
    "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ",
    "ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ",
}  # fmt: skip
_JOINED: Final = {keys: jamo for jamo, keys in (DOUBLE_VOWELS | DOUBLE_FINALS).items()}
_VOWEL_KEYS: Final = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅛㅜㅠㅡㅣ"
_FINAL_KEYS: Final = "".join(final for final in FINALS if final not in DOUBLE_FINALS)
# As an input method does: a consonant belongs to the vowel that follows it, else to the syllable before it.
_TYPED: Final = re.compile(
    f"([{LEADS}])({'|'.join(DOUBLE_VOWELS.values())}|[{_VOWEL_KEYS}])"
    f"((?:(?:{'|'.join(DOUBLE_FINALS.values())})|[{_FINAL_KEYS}])(?![{_VOWEL_KEYS}]))?"
)
_SYLLABLES: Final = re.compile("[가-힣]+")


def _neighbours() -> dict[str, str]:
    """Return the keys that touch each key, for those of the other shift state too."""
    touching: dict[str, str] = {}
    for number, row in enumerate(ROWS):
        for column, key in enumerate(row):
            beside = [(number, column - 1), (number, column + 1), (number - 1, column), (number - 1, column + 1)]
            beside += [(number + 1, column - 1), (number + 1, column)]
            inside = [(line, place) for line, place in beside if 0 <= line < len(ROWS) and 0 <= place < len(ROWS[line])]
            touching[key] = "".join(ROWS[line][place] for line, place in inside)
    return touching | {
        shifted: "".join(SHIFTED.get(key, key) for key in touching[plain]) for plain, shifted in SHIFTED.items()
    }


NEIGHBOURS: Final[Mapping[str, str]] = _neighbours()


def type_keys(syllable: str) -> str:
    """Return the keys that type one syllable: "값" is "ㄱㅏㅂㅅ"."""
    lead, vowel, final = decompose(syllable)
    return lead + DOUBLE_VOWELS.get(vowel, vowel) + DOUBLE_FINALS.get(final, final)


def read_keys(keys: str) -> str:
    """Return what an input method makes of keys: syllables, and single jamo where none can be formed."""
    return _TYPED.sub(lambda typed: compose(*(_JOINED.get(part, part) for part in typed.groups(""))), keys)


Typo = Literal["neighbour", "drop", "repeat", "swap", "unshift", "final"]

# What each mistake makes of the keys of a syllable, at one place among them.
TYPOS: Final[Mapping[Typo, Callable[[str, int, Random], str]]] = {
    "neighbour": lambda keys, at, random: keys[:at] + random.choice(NEIGHBOURS[keys[at]]) + keys[at + 1 :],
    "drop": lambda keys, at, random: keys[:at] + keys[at + 1 :],
    "repeat": lambda keys, at, random: keys[: at + 1] + keys[at:],
    "swap": lambda keys, at, random: keys[:at] + keys[at + 1] + keys[at] + keys[at + 2 :],
    "unshift": lambda keys, at, random: keys[:at] + UNSHIFTED[keys[at]] + keys[at + 1 :],
    "final": lambda keys, at, random: keys[:at],
}


def places(kind: Typo, keys: str) -> Sequence[int]:
    """Return where in the keys of a syllable a mistake can be made."""
    if kind == "unshift":
        return [at for at, key in enumerate(keys) if key in UNSHIFTED]
    if kind == "final":
        open_syllable = len(keys.rstrip(_FINAL_KEYS))
        return range(open_syllable, min(open_syllable + 1, len(keys)))
    return range(len(keys) - 1 if kind == "swap" else len(keys))


class CharNoise(AugmenterOptions):
    """Mistype syllables on the 두벌식 keyboard: the keyboard typos of Belinkov & Bisk 2018, made of keys, not letters.

    A syllable is taken apart into the keys that type it, one mistake is made, and the word is put together as an input
    method would: 안녕 becomes 아녕, 안뇽, ㅇ나녕. What forms no syllable stays a single jamo. The result is NFC.
    """

    p: float = Field(0.05, gt=0, le=1, description="Probability with which a syllable is mistyped.")
    kinds: tuple[Typo, ...] = Field(
        tuple(TYPOS),
        min_length=1,
        description="Mistakes, drawn evenly among those that the syllable allows: the key beside, a key missed, struck "
        "twice, two in the wrong order, Shift not held (ㅆ to ㅅ), the final consonant (받침) lost.",
    )

    def identity(self, context: AugmenterContext) -> str:
        """Return "": it learns nothing from the context."""
        return ""

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        return per_text(self._mistype)

    def _mistype(self, text: str, random: Random) -> str:
        composed = normalize("NFC", text)
        typed = _SYLLABLES.sub(lambda run: self._retype(run.group(), random), composed)
        # Composed once more: a conjoining final that stood alone would now join a syllable that lost its own.
        return text if typed == composed else normalize("NFC", typed)

    def _retype(self, syllables: str, random: Random) -> str:
        hit = [place for place in range(len(syllables)) if random.random() < self.p]
        if not hit:
            return syllables
        keys = [type_keys(syllable) for syllable in syllables]
        for place in hit:
            possible = [(kind, at) for kind in self.kinds if (at := places(kind, keys[place]))]
            if possible:
                kind, at = random.choice(possible)
                keys[place] = TYPOS[kind](keys[place], random.choice(at), random)
        return read_keys("".join(keys))


class SpacingNoise(AugmenterOptions):
    """Leave out spaces and put in wrong ones, the commonest slip of Korean spelling (띄어쓰기).

    By default where writers err: before bound nouns (볼수), before auxiliary verbs (해주다), after 안 and 이, between
    nouns; and spaces come only between morphemes (재미 있다), never within one.
    """

    remove: float = Field(0.3, ge=0, le=1, description="Probability with which the space between two words is removed.")
    insert: float = Field(0.2, ge=0, le=1, description="Probability of a space between two parts of a word.")
    places: Literal["likely", "any"] = Field(
        "likely", description="Where: at the places where writers err, or between any two words and any two characters."
    )
    analyser: AnalyserName = Field("rules", description=ANALYSER_DESCRIPTION)

    def problems(self) -> Iterable[Problem]:
        """Yield options that do nothing, and what the analyser lacks."""
        if self.remove == self.insert == 0:
            yield Problem("", "remove and insert are both 0, so no text is ever changed")
        yield from analyser_problems(self.analyser)

    def identity(self, context: AugmenterContext) -> str:
        """Name the analyser, if it is not the rules; nothing is learnt from the context."""
        return "" if self.analyser == "rules" else analyser_identity(self.analyser)

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        if self.places == "any":
            return per_text(self._respace)
        read = analyser(self.analyser)
        return per_text(partial(self._err, read=read), read)

    def _err(self, text: str, random: Random, read: Analyser) -> str:
        """Remove spaces that writers often forget, and insert those between morphemes."""
        parts, (words,) = cut(text, "eojeol"), read([text])
        for number, word in enumerate(words):
            written = parts[2 * number + 1]
            start = written.find(word.text)
            # From the last to the first, so that the places before stay what they are; a text in NFD has no such place.
            for joint in reversed(word.joints if start >= 0 else ()):
                if random.random() < self.insert:
                    written = f"{written[: start + joint]} {written[start + joint :]}"
            parts[2 * number + 1] = written
        for number in loose_gaps(words):
            if random.random() < self.remove:
                parts[2 * number + 2] = ""
        return "".join(parts)

    def _respace(self, text: str, random: Random) -> str:
        parts = cut(text, "character")
        for place in range(2, len(parts) - 1, 2):
            if random.random() < (self.remove if parts[place] else self.insert):
                parts[place] = "" if parts[place] else " "
        return "".join(parts)
