"""Hangul syllable arithmetic, and the agreement of particles with the word before them.

A precomposed syllable is a lead consonant, a vowel and perhaps a final consonant (받침); Unicode lays
the 19 x 21 x 28 combinations out in that order, so that taking one apart is integer division.  Jamo
are named by their compatibility letters ("ㄱ", "ㅏ"), the ones a person types.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final, NamedTuple

LEADS: Final = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS: Final = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS: Final = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")

_FIRST: Final = ord("가")
_LAST: Final = ord("힣")

# What digits and Latin letters end in when they are read aloud: 3 is 삼, R is 알.  Others end in a vowel.
_READ_ALOUD: Final = dict(zip("013678LMNRlmnr", "ㅇㄹㅁㄱㄹㄹㄹㅁㄴㄹㄹㅁㄴㄹ", strict=True))

# Particles that agree, each as (after a consonant)/(after a vowel).  All others never change.
PARTICLE_PAIRS: Final = (
    "은/는", "이/가", "을/를", "과/와", "아/야", "으로/로", "이나/나", "이랑/랑", "이며/며",
    "이라도/라도", "이든지/든지", "이든/든", "이나마/나마", "이야말로/야말로", "이란/란", "이라고/라고",
    "으로서/로서", "으로써/로써", "으로부터/로부터", "으로는/로는", "으로도/로도", "으로만/로만",
    "과는/와는", "과도/와도", "이랑은/랑은", "이랑도/랑도",
)  # fmt: skip

_PAIR_OF: Final = {form: pair for pair in PARTICLE_PAIRS for form in pair.split("/")}


class Syllable(NamedTuple):
    """One Hangul syllable taken apart; ``final`` is "" for an open syllable."""

    lead: str
    vowel: str
    final: str = ""


def is_syllable(char: str) -> bool:
    """Return whether ``char`` is one precomposed Hangul syllable."""
    return len(char) == 1 and _FIRST <= ord(char) <= _LAST


@cache
def decompose(char: str) -> Syllable:
    """Take one syllable apart: "값" is ("ㄱ", "ㅏ", "ㅄ")."""
    if not is_syllable(char):
        raise ValueError(f"not a Hangul syllable: {char!r}")
    rest, final = divmod(ord(char) - _FIRST, len(FINALS))
    lead, vowel = divmod(rest, len(VOWELS))
    return Syllable(LEADS[lead], VOWELS[vowel], FINALS[final])


@cache
def compose(lead: str, vowel: str, final: str = "") -> str:
    """Put one syllable together: ("ㄱ", "ㅏ", "ㅄ") is "값"."""
    try:
        index = LEADS.index(lead) * len(VOWELS) + VOWELS.index(vowel)
        return chr(_FIRST + index * len(FINALS) + FINALS.index(final))
    except ValueError:
        raise ValueError(f"no such syllable: {lead!r} + {vowel!r} + {final!r}") from None


def final_of(word: str) -> str:
    """Name the final consonant a word is heard to end in, "" for none.

    Closing quotes and punctuation are skipped, digits and Latin letters count as they are read.
    """
    for char in reversed(unicodedata.normalize("NFC", word)):
        if is_syllable(char):
            return decompose(char).final
        if char.isalnum():
            return _READ_ALOUD.get(char, "")
    return ""


def has_final(word: str) -> bool:
    """Return whether a word ends in a consonant."""
    return final_of(word) != ""


def replace_final(word: str, final: str) -> str:
    """Give the last syllable of a word another final consonant, or none: ("덥", "") is "더"."""
    lead, vowel, _ = decompose(word[-1:])
    return word[:-1] + compose(lead, vowel, final)


def add_final(word: str, final: str) -> str:
    """Close an open last syllable: ("가", "ㄴ") is "간"."""
    if decompose(word[-1:]).final:
        raise ValueError(f"{word!r} has a final consonant already")
    return replace_final(word, final)


def agree(word: str, particle: str) -> str:
    """Return the form of a particle that fits after a word.

    The particle is either of the forms of a known pair ("은" or "는"), a pair written out
    ("이야/야"), or one that never changes ("도"), which comes back as it is.
    """
    after_consonant, _, after_vowel = _PAIR_OF.get(particle, particle).partition("/")
    final = final_of(word)
    # 으로 keeps its 으 after every consonant but ㄹ: 집으로, 바다로, 서울로.
    takes_vowel_form = not final or (final == "ㄹ" and after_consonant.startswith("으로"))
    return after_vowel if takes_vowel_form and after_vowel else after_consonant


def attach(word: str, particle: str) -> str:
    """Write a word with the agreeing form of a particle: ("책", "는") is "책은"."""
    return word + agree(word, particle)
