"""An entry of a lexicon: a word, what may stand for it, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Part = Literal["adjective", "verb", "adverb", "noun", "pronoun", "determiner", "ending"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

EDGE: Final = "."
"""In a context, the edge of a sentence: no eojeol, or one that a punctuation mark closes."""

_CLOSING: Final = tuple(".!?…~,;:)\"'”’")


@dataclass(frozen=True, slots=True)
class Context:
    """Where an entry holds; an empty tuple restricts nothing.

    ``endings`` are the particles or endings on the word, as a noun after a consonant and a vowel (이/가) takes them or
    a verb does. "-" is no particle, 이다 are all forms of the copula, 들 is the plural. ``previous`` and
    ``not_previous`` are ends of the eojeol before the word, ``next`` and ``not_next`` beginnings of the eojeol after
    it; "." is the edge of the sentence.
    """

    endings: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    not_previous: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    not_next: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether neighbours must have been seen for the entry to hold."""
        return bool(self.previous or self.next)

    def holds(self, before: str, after: str) -> bool:
        """Return whether the entry holds between two eojeol, "" where there is none."""
        return (
            (not self.previous or _ends(before, self.previous))
            and not _ends(before, self.not_previous)
            and (not self.next or _begins(after, self.next))
            and not _begins(after, self.not_next)
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A word in its dictionary form, and words that may stand for it; ``part`` is None where a user gives none.

    ``verbs`` are those synonyms of an adjective that are verbs (좋다: 마음에 들다). A ``homograph`` has the letters of
    another word: who takes it should know its part of speech in the text.
    """

    part: Part | None
    word: str
    synonyms: tuple[str, ...]
    context: Context = Context()
    verbs: tuple[str, ...] = ()
    homograph: bool = False

    @property
    def narrow(self) -> bool:
        """Whether the entry holds in some places only."""
        return self.context != Context()


def _ends(before: str, wanted: tuple[str, ...]) -> bool:
    """Return whether the eojeol before a word is at the edge, where that is wanted, or has one of these ends."""
    if EDGE in wanted and (not before or before.endswith(_CLOSING)):
        return True
    return before.endswith(tuple(one for one in wanted if one != EDGE))


def _begins(after: str, wanted: tuple[str, ...]) -> bool:
    """Return whether the eojeol after a word is missing, where the edge is wanted, or has one of these beginnings."""
    return (not after and EDGE in wanted) or after.startswith(tuple(one for one in wanted if one != EDGE))
