"""A lexicon of words that stand for one another, and looking a word up as it stands in a text.

Korean words stand in texts with particles and endings on them. A noun is found under its particles, which agree anew
with its replacement (영화는, 작품은); verbs and adjectives are found by an index of their conjugated forms, and the
replacement takes the same ending (예쁜, 고운); adverbs are found as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal, get_args
from unicodedata import normalize

from kexp.errors import DataError, did_you_mean
from kexp.files import read_text
from kexp.hangul import PARTICLE_PAIRS, agree, is_syllable
from kexp_korean.conjugation import conjugate, predicate

Part = Literal["adjective", "verb", "adverb", "noun"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
BUNDLED: Final = Path(__file__).with_name("lexicon.tsv")


def _split(text: str) -> tuple[str, ...]:
    """Read a table of words."""
    return tuple(text.split())


# Endings that verbs and adjectives share, as `conjugate` takes them. Of two that some stems have alike (예쁘나) the
# likelier comes first.
_ENDINGS: Final = _split("""
    다 고 고요 고서 지 지요 죠 지만 지는 지도 지가 지를 진 질 게 게도 게끔 거나 거든 거든요 네 네요 네여 던 던데 더라
    더라고 더라고요 더라구요 더군 더군요 더니 든 든지 듯 듯이 기 기도 기는 긴 기만 기에 기까지 길래 기엔 으니 으니까
    으면 으면서 으며 으나 으므로 으려면 나 나요 냐 니 을 을까 을까요 을지 을지도 을수록 을듯 을뿐 을때 음 음이 음은
    음을 음도 음과 음에 음의 어 어요 어서 어서요 어도 어야 어야지 었다 었고 었지만 었는데 었는데요 었네 었네요 었네여
    었어 었어요 었습니다 었습니까 었음 었던 었으면 었으나 었으니 었으니까 었을 었을까 었는지 었나 었나요 었지 었지요
    었죠 었구나 었군 었군요 었더라 었거든 었거든요 었던데 었더니 었다고 었다는 었다면 었다가 었어도 었어야 었기에 었기
    었듯 습니다/ㅂ니다 습니까/ㅂ니까
""")

# Endings that differ: of verbs, of adjectives, and of what ends in 있다 and 없다, which is between the two.
_DIFFERING: Final[tuple[tuple[str, str, str], ...]] = (
    ("는", "은", "는"), ("는데", "은데", "는데"), ("는데요", "은데요", "는데요"), ("는데도", "은데도", "는데도"),
    ("는지", "은지", "는지"), ("는지도", "은지도", "는지도"), ("는가", "은가", "는가"), ("는걸", "은걸", "는걸"),
    ("는거", "은거", "는거"), ("는것", "은것", "는것"), ("는듯", "은듯", "는듯"), ("는만큼", "은만큼", "는만큼"),
    ("는다/ㄴ다", "다", "다"), ("는다고/ㄴ다고", "다고", "다고"), ("는다는/ㄴ다는", "다는", "다는"),
    ("는다면/ㄴ다면", "다면", "다면"), ("는다며/ㄴ다며", "다며", "다며"), ("는구나", "구나", "구나"),
    ("는군", "군", "군"), ("는군요", "군요", "군요"), ("는구만", "구만", "구만"), ("는데다", "은데다", "는데다"),
)  # fmt: skip

# Endings of verbs alone.
_VERBAL: Final = _split("""
    은 어라 은거 은것 은듯 은지 는게 으려고 으러 으려는 다가 다가도 으세요 으십시오 읍시다 자 자마자 느라 을게 을게요
    을래
""")

_BY_PART: Final[Mapping[str, Mapping[str, str]]] = {
    "verb": {one: one for one in (*_ENDINGS, *(row[0] for row in _DIFFERING), *_VERBAL) if one != "다"},
    "adjective": {one: one for one in _ENDINGS} | {row[0]: row[1] for row in _DIFFERING},
    "existence": {one: one for one in _ENDINGS} | {row[0]: row[2] for row in _DIFFERING},
    "unknown": {one: one for one in _ENDINGS},
}

_FORMAL: Final = {"어": "하여", "었": "하였"}  # 하여서 for 해서

# Particles that never change, and forms of 이다 (to be) that do not. 하고 is left out: it would be read into 감상하고.
_FIXED: Final = _split("""
    의 도 만 에 에서 에게 에게서 한테 께 께서 부터 까지 처럼 보다 밖에 조차 마저 마다 같은 같이 뿐 뿐만 만큼 대로 에는
    엔 에도 에만 에서는 에서도 에서만 에게는 에게도 만이 만은 만을 만의 만으로 만으로도 까지도 까지는 까지의 부터가
    보다는 보다도 처럼은 처럼도 만큼은 만큼이나 인 인데 인데도 인가 인가요 인지 인지도 인듯 인줄 임 일 일까 일듯 일뿐
    일수록 입니다 입니다만 입니까 인것 인거 인걸 인건 인게
""")

# Forms that differ after a consonant and after a vowel; those of particles come from kexp.hangul.
_COPULA: Final = _split("""
    이다/다 이고/고 이지만/지만 이라/라 이라서/라서 이라는/라는 이라면/라면 이라니/라니 이라기/라기
    이라기보다/라기보다 이네/네 이네요/네요 이었다/였다 이었습니다/였습니다 이었어요/였어요 이었는데/였는데
    이었지만/였지만 이었고/였고 이었네/였네 이었네요/였네요 이었던/였던 이었음/였음 이었을/였을 이었나/였나
    이었지/였지 이었으면/였으면 이야/야 이지/지 이죠/죠 이지요/지요 이군/군 이군요/군요 이구나/구나 이면/면
    이면서/면서 이니까/니까 이니/니 이던/던 이던데/던데 이에요/예요 이란다/란다 이랄까/랄까 이거든요/거든요 이냐/냐
    이든가/든가 이어서/여서
""")

# Nouns that are also stems of common verbs: 배우고 and 배우면 are "learn" more often than "be an actor".
_STEMS: Final = frozenset(["배우"])

# Common misspellings, and what they stand for.
_MISSPELT: Final = {
    "에요": "이에요/예요",
    "이예요": "이에요/예요",
    "이였다": "이었다/였다",
    "이였습니다": "이었습니다/였습니다",
}

_TAILS: Final[Mapping[str, str]] = {
    **{tail: tail for tail in ("", *_FIXED)},
    **{form: pair for pair in (*PARTICLE_PAIRS, *_COPULA) for form in pair.split("/")},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A word in its dictionary form, and words that may stand for it; ``part`` is None where a user gives none."""

    part: Part | None
    word: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A word of a text: its entry, and what each synonym of the entry would be in its place.

    ``ending`` is what the text has it end in: the particles of a noun, or an ending as a verb would take it.
    """

    entry: Entry
    ending: str
    forms: tuple[str, ...]


class Lexicon:
    """Finds words as they stand in texts.

    ``find`` takes a word of Hangul syllables (NFC) and returns its reading, or None where it is unknown or may be a
    form of two verbs.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        self._plain: dict[str, Entry] = {}
        self._nouns: dict[str, Entry] = {}
        self._conjugated: dict[str, tuple[Entry, str] | None] = {}
        for entry in self.entries:
            if _conjugates(entry):
                self._index(entry)
            else:
                target = self._plain if entry.part == "adverb" else self._nouns
                target.setdefault(entry.word, entry)
        self._longest = max(map(len, self._nouns), default=0)
        self.find: Callable[[str], Reading | None] = lru_cache(maxsize=1 << 16)(self._read)

    def _read(self, word: str) -> Reading | None:
        """Look a word up as an adverb, as a noun with its particles, and as a conjugated form, in this order."""
        if word in self._plain:
            entry = self._plain[word]
            return Reading(entry, "", entry.synonyms)
        for length in range(min(len(word), self._longest), 0, -1):
            noun = self._nouns.get(word[:length])
            write = None if noun is None else _particles(noun.word, word[length:])
            if noun is not None and write is not None:
                return Reading(noun, word[length:], tuple(map(write, noun.synonyms)))
        found = self._conjugated.get(word)
        if found is None:
            return None
        entry, ending = found
        forms = (conjugate(predicate(one), _endings(one, entry.part)[ending]) for one in entry.synonyms)
        return Reading(entry, ending, tuple(forms))

    def _index(self, entry: Entry) -> None:
        """Note all forms of a verb or an adjective; a form that two of them have is none's, nor is a lone syllable."""
        for ending, form in _inflections(entry):
            known = self._conjugated.setdefault(form, (entry, ending))
            if len(form) < 2 or (known is not None and known[0] is not entry):
                self._conjugated[form] = None


def _conjugates(entry: Entry) -> bool:
    """Return whether an entry is a verb or an adjective; without a part of speech, if all its words end in 다."""
    if entry.part is None:
        return all(map(_is_lemma, (entry.word, *entry.synonyms)))
    return entry.part in ("adjective", "verb")


def _endings(lemma: str, part: Part | None) -> Mapping[str, str]:
    """Return the endings that a word can take, by what a verb would take; an unknown part takes what is common."""
    if part == "adjective" and lemma.endswith(("있다", "없다", "밌다")):
        return _BY_PART["existence"]
    return _BY_PART[part or "unknown"]


def _inflections(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield every ending that the word of an entry can take and the form with it, of 하다 also the formal 하였다."""
    word = predicate(entry.word)
    stem = entry.word.removesuffix("하다") if entry.word.endswith("하다") else ""
    starts: dict[str, str] = {}
    for ending, own in _endings(entry.word, entry.part).items():
        # How an ending joins depends on its first syllable, or two: joining only these takes a third of the time.
        length = len(own) if "/" in own else 2 if own[0] == "으" else 1
        start = own[:length]
        if start not in starts:
            starts[start] = conjugate(word, start)
        yield ending, starts[start] + own[length:]
        if stem and start in _FORMAL:
            yield ending, stem + _FORMAL[start] + own[length:]


def _particles(noun: str, tail: str) -> Callable[[str], str] | None:
    """Return how to write other nouns with the particles that stand on ``noun``, or None if they are no particles."""
    pair = _TAILS.get(tail)
    if pair is not None and agree(noun, pair) == tail and not (noun in _STEMS and pair in _COPULA):
        return lambda other: other + agree(other, pair)
    if tail in _MISSPELT:
        return lambda other: other + agree(other, _MISSPELT[tail])
    if tail.startswith("들") and _particles("들", tail[1:]):
        return lambda other: other + tail
    return None


# --- files ---------------------------------------------------------------------------------------------------------


@cache
def bundled() -> Lexicon:
    """Return the lexicon that comes with this package."""
    return Lexicon(read_lexicon(BUNDLED))


def read_lexicon(path: Path) -> list[Entry]:
    """Read a lexicon (UTF-8): a word, a tab, its synonyms with commas between them; a part of speech may come first.

    Empty lines and lines that begin with # are skipped. Raises ``DataError`` with all faulty lines (the first five of
    them told), each with what is wrong and what to do.
    """
    entries: dict[tuple[Part | None, str], Entry] = {}
    lines: dict[tuple[Part | None, str], int] = {}
    faults: list[str] = []
    for number, line in enumerate(normalize("NFC", read_text(path)).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            entry = _entry(line)
        except ValueError as error:
            faults.append(f"{path}: line {number}: {error}")
            continue
        key = (entry.part, entry.word)
        if key in entries:
            faults.append(
                f'{path}: line {number}: "{entry.word}" stands in line {lines[key]} already; join the two lines'
            )
        entries.setdefault(key, entry)
        lines.setdefault(key, number)
    if faults:
        more = [f"{path}: {len(faults) - 5} more lines are faulty"] if len(faults) > 5 else []
        raise DataError("\n".join(faults[:5] + more))
    if not entries:
        raise DataError(f"{path}: no entries; write one line per word: word, a tab, its synonyms with commas between")
    return list(entries.values())


def _entry(line: str) -> Entry:
    """Read one line; raises ``ValueError`` with the finding and the remedy."""
    cells = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
    if len(cells) not in (2, 3):
        raise ValueError(f"{len(cells)} cells; write word, tab, synonyms, or part of speech, tab, word, tab, synonyms")
    part = _part(cells[0]) if len(cells) == 3 else None
    word, listed = cells[-2:]
    synonyms = tuple(dict.fromkeys(synonym for cell in listed.split(",") if (synonym := cell.strip()) != ""))
    if not word or not all(map(is_syllable, word)):
        raise ValueError(f'"{word}" is not one word in Hangul syllables and would never be found; remove the line')
    if not synonyms or word in synonyms:
        raise ValueError(
            f'"{word}" has {"itself" if synonyms else "nothing"} as a synonym; name other words, or remove it'
        )
    _check_lemmas(part, (word, *synonyms))
    return Entry(part, word, synonyms)


def _part(cell: str) -> Part:
    for part in PARTS:
        if cell == part:
            return part
    raise ValueError(f'"{cell}" is no part of speech; {did_you_mean(cell, PARTS)}')


def _check_lemmas(part: Part | None, words: Sequence[str]) -> None:
    for word in words:
        if part in ("adjective", "verb") and not _is_lemma(word):
            raise ValueError(f'"{word}" is no dictionary form of the {part}; write the form that ends in 다')


def _is_lemma(word: str) -> bool:
    return len(word) > 1 and word.endswith("다") and is_syllable(word[-2])
