"""Augmenters that know words: synonyms in the place of words, or beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final
from unicodedata import is_normalized, normalize

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext
from kexp.errors import DataError, Problem
from kexp.hangul import final_of
from kexp.options import LocalPath
from kexp.word_augmenter import Guard, WordAugmenterOptions, cut, per_text
from kexp_korean.lexicon import PARTS, Lexicon, Part, Reading, bundled, read_lexicon

# A word is a run of syllables: punctuation, emoticons (ㅋㅋ) and brackets around it stay. One that a Latin letter or a
# digit touches is a part of something else (CG가, 2점대).
_RUN: Final = re.compile("(?<![0-9A-Za-z가-힣])[가-힣]++(?![0-9A-Za-z])")

_AUXILIARIES: Final = ("하", "한", "할", "함", "합", "해", "했")
_LIGHT_VERBS: Final = (*_AUXILIARIES, "있", "없", "되", "된", "될", "됨", "됩", "돼", "됐", "받", "당", "시키", "시켜")
_COMITATIVES: Final = ("와", "과", "랑", "하고", "다")
_CONCESSIVES: Final = ("도", "는", "은", "긴", "게", "고", "를", "을", "야", "만", "서")

# Not inserted: what joins sentences has its place between them alone, and 매력적 needs 인 or 으로 after it.
_MISPLACED: Final = re.compile("하지만|그러나|그렇지만|근데|그런데|그러면|그럼|혹은|또는|게다가|더구나|더군다나|.+적")
# Nothing comes before a bound noun or 싶다 (or what begins alike: a place too few does no harm), nor after a determiner
# or a short verb that is one.
_BOUND: Final = re.compile(r"\W*(?:[수줄것거게건걸듯만뿐데때적채체척번점개명편년싶]|때문|대로)")
_DETERMINERS: Final = re.compile("[이그저내네제니한두세첫몇볼본할]|[이그저]런|이딴|무슨|어떤|모든|다른")

TRIES: Final = 10  # Places that are tried for one insertion, as words are in EDA's own program.


@dataclass(frozen=True, slots=True)
class Found:
    """A word of the lexicon in a text: number of its eojeol, where it stands in that, and its reading."""

    number: int
    start: int
    end: int
    reading: Reading


class LexiconOptions(WordAugmenterOptions):
    """Base of augmenters that look words up."""

    share: float = Field(0.1, gt=0, le=1, description="Words changed per eojeol (EDA's alpha), at least one.")
    lexicon: LocalPath | None = Field(
        None,
        description="A lexicon instead of the bundled one: lines of word, tab, synonyms with commas between them, or "
        "with the part of speech and a tab before the word; `word = word` makes each stand for the other. Cells after "
        "these say where a line holds: `previous: 이, 그`, `not previous`, `next`, `not next`, `endings: 이/가`.",
    )
    parts: tuple[Part, ...] = Field(PARTS, min_length=1, description="Parts of speech that are looked up.")

    def problems(self) -> Iterable[Problem]:
        """Yield what is wrong with the user's lexicon."""
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

    def find(self, words: Sequence[str], numbers: Iterable[int], lexicon: Lexicon) -> list[Found]:
        """Return the words of the lexicon among the eojeol ``numbers`` of a text, in order."""
        found = []
        for number in numbers:
            for run in _RUN.finditer(words[number]):
                before = words[number - 1] if number and not run.start() else ""
                after = words[number + 1] if number + 1 < len(words) and run.end() == len(words[number]) else ""
                reading = lexicon.find(run[0], before, after)
                if reading is None or reading.entry.homograph or reading.entry.part not in (None, *self.parts):
                    continue
                if _is_free(run[0], reading, before, after):
                    found.append(Found(number, run.start(), run.end(), reading))
        return found


class SynonymSwap(LexiconOptions):
    """Replace words by synonyms in the same form (Wei & Zou 2019, EDA, section 2): 음식이 by 요리가, 예쁜 by 고운.

    Of the words that the lexicon has, ``share`` times the text's length are replaced; a text with none stays as it is.
    """

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard, lexicon = self.guard(context), self.words()
        return per_text(lambda text, random: self._swap(text, random, guard, lexicon))

    def _swap(self, text: str, random: Random, guard: Guard, lexicon: Lexicon) -> str:
        parts = cut(_composed(text), "eojeol")
        words = parts[1::2]
        found = self.find(words, guard.free(text, parts, "eojeol"), lexicon)
        fitting = [(one, forms) for one in found if (forms := _fitting(words, one))]
        count = min(len(fitting), max(1, int(self.share * len(words))))
        # From the last to the first, so that of two words in one eojeol the first stays where it was found.
        for number in sorted(random.sample(range(len(fitting)), count), reverse=True):
            one, forms = fitting[number]
            word = parts[2 * one.number + 1]
            parts[2 * one.number + 1] = word[: one.start] + random.choice(forms) + word[one.end :]
        return "".join(parts) if count else text


class RandomInsertion(LexiconOptions):
    """Insert synonyms of random words at random places (Wei & Zou 2019, EDA, section 2).

    Verbs and adjectives are inserted in the form of the word whose synonym they are. Nothing comes last, between a
    protected negation and its word, or where it would part a bound noun (수) or a determiner (이) from its word.
    """

    parts: tuple[Part, ...] = Field(
        ("adverb", "noun"), min_length=1, description="Parts of speech whose synonyms are inserted."
    )

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard, lexicon = self.guard(context), self.words()
        return per_text(lambda text, random: self._insert(text, random, guard, lexicon))

    def _insert(self, text: str, random: Random, guard: Guard, lexicon: Lexicon) -> str:
        parts = cut(_composed(text), "eojeol")
        words = parts[1::2]
        found = self.find(words, guard.free(text, parts, "eojeol"), lexicon)
        found = [one for one in found if not (_MISPLACED.fullmatch(one.reading.entry.word) or one.reading.entry.narrow)]
        places = _places(words, guard.flags(words)) if found else []
        inserted = False
        for _ in range(max(1, int(self.share * len(words))) if found else 0):
            new = random.choice(_insertable(random.choice(found).reading))
            for place in random.choices(places, k=TRIES):
                if new[:2] not in _beside(words, place):
                    parts[2 * place + 1], inserted = f"{new} {parts[2 * place + 1]}", True
                    break
        return "".join(parts) if inserted else text


def _composed(text: str) -> str:
    """Return a text in NFC, in which a syllable is one character."""
    return text if is_normalized("NFC", text) else normalize("NFC", text)


def _is_free(word: str, reading: Reading, before: str, after: str) -> bool:
    """Return whether a word stands for itself, not as a part of a set phrase with the eojeol before or after it."""
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


def _insertable(reading: Reading) -> Sequence[str]:
    """Return the forms in which synonyms are inserted: nouns without particles."""
    return reading.forms if reading.entry.part in ("adjective", "verb") else reading.entry.synonyms


def _places(words: Sequence[str], flags: Sequence[bool]) -> list[int]:
    """Return the numbers of the eojeol before which a word can stand."""
    return [
        number
        for number, word in enumerate(words)
        if number == 0
        or not (
            (flags[number] and flags[number - 1]) or _DETERMINERS.fullmatch(words[number - 1]) or _BOUND.match(word)
        )
    ]


def _beside(words: Sequence[str], place: int) -> set[str]:
    """Return the beginnings of the words between which a new one would come."""
    return {word[:2] for word in words[max(0, place - 1) : place + 1]}
