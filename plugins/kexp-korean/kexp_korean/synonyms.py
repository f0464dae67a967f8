"""Augmenters that know words: synonyms in the place of words, or beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import ClassVar, Final
from unicodedata import is_normalized, normalize

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext
from kexp.errors import DataError, Problem
from kexp.hangul import final_of
from kexp.korean.eojeol import Eojeol, Kind
from kexp.korean.insertion import takes_degree, takes_pointer
from kexp.korean.vocabulary import INTENSIFIERS
from kexp.options import LocalPath
from kexp.word_augmenter import Guard, WordAugmenterOptions, cut, per_text
from kexp_korean.conjugation import conjugate, predicate
from kexp_korean.lexicon import PARTS, Entry, Lexicon, Part, Reading, bundled, read_lexicon

# A word is a run of syllables: punctuation, emoticons (ㅋㅋ) and brackets around it stay. One that a Latin letter or a
# digit touches is a part of something else (CG가, 2점대).
_RUN: Final = re.compile("(?<![0-9A-Za-z가-힣])[가-힣]++(?![0-9A-Za-z])")

_AUXILIARIES: Final = ("하", "한", "할", "함", "합", "해", "했")
_LIGHT_VERBS: Final = (*_AUXILIARIES, "있", "없", "되", "된", "될", "됨", "됩", "돼", "됐", "받", "당", "시키", "시켜")
_COMITATIVES: Final = ("와", "과", "랑", "하고", "다")
_CONCESSIVES: Final = ("도", "는", "은", "긴", "게", "고", "를", "을", "야", "만", "서")

# What may say how much something is so, before any adjective; and what points to a noun that nothing modifies.
_DEGREES: Final = ("정말", "진짜", "참", "아주", "무척")
_POINTERS: Final = ("이", "그")


@dataclass(frozen=True, slots=True)
class Found:
    """A word of the lexicon in a text: number of its eojeol, where it stands in that, and its reading."""

    number: int
    start: int
    end: int
    reading: Reading


class LexiconOptions(WordAugmenterOptions):
    """Base of augmenters that look words up."""

    judging: ClassVar[bool] = False

    share: float = Field(0.1, gt=0, le=1, description="Words changed per eojeol (EDA's alpha), at least one.")
    lexicon: LocalPath | None = Field(
        None,
        description="A lexicon instead of the bundled one: lines of word, tab, synonyms with commas between them, or "
        "with the part of speech and a tab before the word; `word = word` makes each stand for the other. Cells after "
        "these say where a line holds: `previous: 이, 그`, `not previous`, `next`, `not next`, `endings: 이/가`.",
    )
    parts: tuple[Part, ...] = Field(PARTS, min_length=1, description="Parts of speech that are looked up.")

    def problems(self) -> Iterable[Problem]:
        """Yield what the analyser lacks, and what is wrong with the user's lexicon."""
        yield from super().problems()
        try:
            if self.lexicon is not None:
                read_lexicon(self.lexicon)
        except DataError as error:
            yield Problem("lexicon", str(error))

    def identity(self, context: AugmenterContext) -> str:
        """Name what protected words are learnt from, and the contents of the user's lexicon."""
        own = "" if self.lexicon is None else hashlib.sha256(self.lexicon.read_bytes()).hexdigest()
        return super().identity(context) + own

    def words(self) -> Lexicon:
        """Return the lexicon; raises ``DataError`` with file and line."""
        return bundled() if self.lexicon is None else Lexicon(read_lexicon(self.lexicon))

    def find(
        self, words: Sequence[str], read: Sequence[Eojeol], numbers: Iterable[int], lexicon: Lexicon
    ) -> list[Found]:
        """Return the words of the lexicon among the eojeol ``numbers`` of a text, in order."""
        found = []
        for number in numbers:
            for run in _RUN.finditer(words[number]):
                before = words[number - 1] if number and not run.start() else ""
                after = words[number + 1] if number + 1 < len(words) and run.end() == len(words[number]) else ""
                reading = lexicon.find(run[0], before, after)
                if reading is None or reading.entry.homograph or reading.entry.part not in (None, *self.parts):
                    continue
                # An analyser reads whole eojeol: of a run among punctuation it may know nothing.
                agrees = run[0] != read[number].text or _agrees(reading.entry, read[number])
                if agrees and _is_free(run[0], reading, before, after):
                    found.append(Found(number, run.start(), run.end(), reading))
        return found


class SynonymSwap(LexiconOptions):
    """Replace words by synonyms in the same form (Wei & Zou 2019, EDA, section 2): 음식이 by 요리가, 예쁜 by 고운.

    Of the words that the lexicon has, ``share`` times the text's length are replaced; a text with none stays as it is.
    """

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard, lexicon = self.guard(context), self.words()
        return per_text(partial(self._swap, guard=guard, lexicon=lexicon), guard.read)

    def _swap(self, text: str, random: Random, guard: Guard, lexicon: Lexicon) -> str:
        parts = cut(_composed(text), "eojeol")
        words = parts[1::2]
        found = self.find(words, guard.eojeol(text), guard.free(text, parts, "eojeol"), lexicon)
        fitting = [(one, forms) for one in found if (forms := _fitting(words, one))]
        count = min(len(fitting), max(1, int(self.share * len(words))))
        # From the last to the first, so that of two words in one eojeol the first stays where it was found.
        for number in sorted(random.sample(range(len(fitting)), count), reverse=True):
            one, forms = fitting[number]
            word = parts[2 * one.number + 1]
            parts[2 * one.number + 1] = word[: one.start] + random.choice(forms) + word[one.end :]
        return "".join(parts) if count else text


class RandomInsertion(LexiconOptions):
    """Insert words where a sentence has room for them (after Wei & Zou 2019, EDA, section 2).

    EDA puts them anywhere. Here an adverb of degree comes before an adjective that has none, from the synonyms of the
    adverbs in the text; 이 or 그 before a noun that nothing modifies; synonyms of adjectives and verbs, in -고, before
    the word that they double.
    """

    parts: tuple[Part, ...] = Field(
        ("adverb", "noun"), min_length=1, description="Adverbs, words before nouns, synonyms of adjectives or of verbs."
    )

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard, lexicon = self.guard(context), self.words()
        return per_text(partial(self._insert, guard=guard, lexicon=lexicon), guard.read)

    def _insert(self, text: str, random: Random, guard: Guard, lexicon: Lexicon) -> str:
        parts = cut(_composed(text), "eojeol")
        words, read = parts[1::2], guard.eojeol(text)
        places = dict(self._places(words, read, guard.free(text, parts, "eojeol"), lexicon))
        count = min(len(places), max(1, int(self.share * len(words))))
        for number in random.sample(sorted(places), count):
            parts[2 * number + 1] = f"{random.choice(places[number])} {parts[2 * number + 1]}"
        return "".join(parts) if count else text

    def _places(
        self, words: Sequence[str], read: Sequence[Eojeol], free: Sequence[int], lexicon: Lexicon
    ) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the numbers of eojeol before which something can come, and what."""
        found = self.find(words, read, free, lexicon)
        doubled = {
            one.number: one.reading
            for one in found
            if one.reading.entry.part in ("adjective", "verb") and not one.reading.entry.narrow
        }
        degrees = [one for word in read for one in _degrees(word, lexicon)] or _DEGREES
        for number in free:
            beside = _beside(words, number)
            candidates: Sequence[str] = ()
            if not words[number].startswith(read[number].text):
                continue  # An opening bracket or quotation mark begins another sentence.
            if number in doubled:
                candidates = [conjugate(predicate(one), "고") for one in doubled[number].entry.synonyms]
            elif "adverb" in self.parts and takes_degree(read, number):
                candidates = degrees
            elif "noun" in self.parts and takes_pointer(read, number):
                candidates = _POINTERS
            if fitting := [one for one in candidates if one[:2] not in beside]:
                yield number, fitting


def _degrees(word: Eojeol, lexicon: Lexicon) -> Iterator[str]:
    """Yield the synonyms of an adverb of degree that are such adverbs too."""
    reading = lexicon.find(word.text) if word.kind == "intensifier" else None
    if reading is not None and reading.entry.part == "adverb" and not reading.entry.narrow:
        yield from (one for one in reading.entry.synonyms if one in INTENSIFIERS)


def _composed(text: str) -> str:
    """Return a text in NFC, in which a syllable is one character."""
    return text if is_normalized("NFC", text) else normalize("NFC", text)


_KINDS: Final[dict[str, tuple[Kind, ...]]] = {
    "noun": ("noun", "predicate", "bound noun", "other"),  # a predicate with 이다
    "adverb": ("adverb", "intensifier", "scope", "conjunction", "noun", "other"),
    "adjective": ("predicate", "scope", "auxiliary", "other"),
    "verb": ("predicate", "scope", "other"),
}


def _agrees(entry: Entry, word: Eojeol) -> bool:
    """Return whether a word is read as the part of speech that the lexicon has it as."""
    if entry.part not in _KINDS:
        return True
    if word.kind not in _KINDS[entry.part]:
        return False
    if entry.part == "noun" and word.kind == "predicate" and word.stem != word.text:
        # 비추는 has the stem of a verb, 수작이다 that of a noun and 이다.
        return word.stem in (entry.word, f"{entry.word}이")
    return True


def _is_free(word: str, reading: Reading, before: str, after: str) -> bool:
    """Return whether a word stands for itself, not as a part of a set phrase with the eojeol before or after it."""
    # A noun with 께서 asks for an honorific word, and the verb agrees with it.
    if reading.entry.part == "noun" and "께" in reading.ending:
        return False
    match reading.entry.part:
        case "noun":  # 재미 있다, 질문 했으면
            return reading.ending != "" or not after.startswith(_LIGHT_VERBS)
        case "adverb" if word == "같이":  # 친구와 같이 is "together", 거지 같이 is "like"
            return before.endswith(_COMITATIVES)
        case "adverb" if word == "하지만":  # 재미있기도 하지만 is a verb
            return not before.endswith(_CONCESSIVES)
    if reading.ending == "어" and after.startswith(_AUXILIARIES):  # 좋아 하는
        return False
    return not (word.startswith("뻔") and final_of(before) == "ㄹ")  # 죽을 뻔했다


def _fitting(words: Sequence[str], one: Found) -> list[str]:
    """Return the forms that may replace a word, but none that repeats a neighbour: 정말 진짜, not 진짜 진짜."""
    beside = {
        word[:2] for word in (*words[max(0, one.number - 1) : one.number], *words[one.number + 1 : one.number + 2])
    }
    return [form for form in one.reading.forms if form[:2] not in beside]


def _beside(words: Sequence[str], place: int) -> set[str]:
    """Return the beginnings of the words between which a new one would come."""
    return {word[:2] for word in words[max(0, place - 1) : place + 1]}
