"""Looking words up in a lexicon as they stand in a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from kexp.hangul import is_syllable
from kexp_korean.conjugation import conjugate
from kexp_korean.lexicon.entries import Entry
from kexp_korean.lexicon.inflection import endings_of, inflections, particles, stem

_HONORIFIC = frozenset("시신실심십셔셨세")  # what honorific forms have in them
_PRESENT = "는다/ㄴ다"  # a verb has it where an adjective ends in 다


@dataclass(frozen=True, slots=True)
class Reading:
    """A word of a text: its entry, and what each synonym of the entry would be in its place.

    ``ending`` is what the text has it end in: the particles of a noun, or an ending as a verb would take it.
    """

    entry: Entry
    ending: str
    forms: tuple[str, ...]


class _Form(NamedTuple):
    """A conjugated form of the text: its entry, its ending as a verb would take it, and whether it is honorific."""

    entry: Entry
    ending: str
    honored: bool


class Lexicon:
    """Finds words as they stand in texts."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._plain: dict[str, list[Entry]] = {}
        self._nouns: dict[str, list[Entry]] = {}
        self._endings: dict[str, list[Entry]] = {}
        self._conjugating: list[Entry] = []
        for entry in self.entries:
            if _conjugates(entry):
                self._conjugating.append(entry)
            else:
                self._index_of(entry).setdefault(entry.word, []).append(entry)
        self._longest = max(map(len, self._nouns), default=0)
        self._conjugated = self._index(honored=False)
        self._readings = lru_cache(maxsize=1 << 16)(lambda word: tuple(self._read(word)))

    def find(self, word: str, before: str = "", after: str = "") -> Reading | None:
        """Return the reading of a word of Hangul syllables (NFC) between two eojeol, "" where there is none.

        None where the word is unknown, may be a form of two verbs, or stands where its entry does not hold.
        """
        return next((one for one in self._readings(word) if one.entry.context.holds(before, after)), None)

    @cached_property
    def _honored(self) -> dict[str, list[_Form]]:
        """Honorific forms; made when a text first has a word that is nothing else."""
        return self._index(honored=True)

    def _read(self, word: str) -> Iterator[Reading]:
        """Look a word up as it is, as a noun with particles, as a conjugated form, and by its end, in this order."""
        for entry in self._plain.get(word, ()):
            yield Reading(entry, "", entry.synonyms)
        for length in range(min(len(word), self._longest), 0, -1):
            for noun in self._nouns.get(word[:length], ()):
                found = particles(noun.word, word[length:])
                if found is not None and _has(noun, found[0]):
                    yield Reading(noun, word[length:], tuple(map(found[1], noun.synonyms)))
        forms = self._conjugated.get(word, [])
        if not forms and not _HONORIFIC.isdisjoint(word):
            forms = self._honored.get(word, [])
        # A lone syllable is too many words, unless its neighbours tell which.
        forms = [one for one in forms if len(word) > 1 or one.entry.context.certain]
        if len({one.entry.word for one in forms}) == 1:
            yield from (Reading(one.entry, one.ending, tuple(_replaced(one))) for one in forms)
        for start in range(1, len(word)):
            for entry in self._endings.get(word[start:], ()):
                yield Reading(entry, word[start:], tuple(word[:start] + one for one in entry.synonyms))

    def _index_of(self, entry: Entry) -> dict[str, list[Entry]]:
        if entry.part in (None, "noun", "pronoun"):
            return self._nouns
        return self._endings if entry.part == "ending" else self._plain

    def _index(self, *, honored: bool) -> dict[str, list[_Form]]:
        """Note all forms of the verbs and adjectives; of a form with two endings the first counts."""
        index: dict[str, list[_Form]] = {}
        for entry in self._conjugating:
            own = endings_of(entry.word, entry.part)
            for ending, form in inflections(entry.word, entry.part, honored=honored):
                if _has(entry, ending, own[ending]):
                    known = index.setdefault(form, [])
                    if not known or known[-1].entry is not entry:
                        known.append(_Form(entry, ending, honored))
        return index


def _has(entry: Entry, *names: str) -> bool:
    return not entry.context.endings or any(name in entry.context.endings for name in names)


def _replaced(form: _Form) -> Iterator[str]:
    """Yield the synonyms of a conjugated word with its ending."""
    entry = form.entry
    for one in entry.synonyms:
        own = endings_of(one, "verb" if one in entry.verbs else entry.part)
        ending = _PRESENT if one in entry.verbs and form.ending == "다" else form.ending
        yield conjugate(stem(one, honored=form.honored), own.get(ending, ending))


def _conjugates(entry: Entry) -> bool:
    """Return whether an entry is a verb or an adjective; without a part of speech, if all its words end in 다."""
    if entry.part is None:
        return all(map(is_lemma, (entry.word, *entry.synonyms)))
    return entry.part in ("adjective", "verb")


def is_lemma(word: str) -> bool:
    """Return whether a word is written as the dictionary form of a verb or an adjective."""
    return len(word) > 1 and word.endswith("다") and is_syllable(word[-2])
