"""Endings and particles that words have in texts, and putting them on other words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final

from kexp.hangul import PARTICLE_PAIRS, agree
from kexp_korean.conjugation import Kind, Predicate, conjugate, honorific, predicate
from kexp_korean.lexicon.entries import Part


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
    었듯 었을텐데 었다니 었더라면 었거든요 었고요 었구요 었지만요 었는데도 겠다 겠네 겠네요 겠어요 겠습니다 겠지 겠지만
    겠는데 겠음 겠죠 을텐데 을만한 을만하다 을거 을것 을줄 냐고 도록 어선지 지않다 지않은 지않고 지않는 지않아 지않네요
    지도않고 지도않다 지도않은 지못한 고싶다 고싶은 습니다/ㅂ니다 습니까/ㅂ니까
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
    은 어라 은거 은것 은듯 은지 는게 으려고 으려 으러 으려는 으려다 으라고 으라는 고자 고있는 고있다 고있던 고나서
    고나니 는줄 은줄
    지마세요 지마라 지마 지말고 지말자 어주세요 어야겠다 다가 다가도 으세요 으십시오 읍시다 자 자마자 느라 을게 을게요
    을래
""")

_BY_PART: Final[Mapping[str, Mapping[str, str]]] = {
    "verb": {one: one for one in (*_ENDINGS, *(row[0] for row in _DIFFERING), *_VERBAL) if one != "다"},
    "adjective": {one: one for one in _ENDINGS} | {row[0]: row[1] for row in _DIFFERING},
    "existence": {one: one for one in _ENDINGS} | {row[0]: row[2] for row in _DIFFERING},
    "unknown": {one: one for one in _ENDINGS},
}

_FORMAL: Final[Mapping[str, str]] = {"어": "하여", "었": "하였"}  # 하여서 for 해서

# Particles that never change, and forms of 이다 (to be) that do not. 하고 is left out: it would be read into 감상하고.
_FIXED: Final = _split("""
    의 도 만 에 에서 에게 에게서 한테 께 께서 부터 까지 처럼 보다 밖에 조차 마저 마다 같은 같이 뿐 뿐만 만큼 대로 에는
    엔 에도 에만 에서는 에서도 에서만 에게는 에게도 만이 만은 만을 만의 만으로 만으로도 까지도 까지는 까지의 부터가
    보다는 보다도 처럼은 처럼도 만큼은 만큼이나
""")
_COPULA_FIXED: Final = _split("""
    인 인데 인데도 인가 인가요 인지 인지도 인듯 인줄 임 일 일까 일듯 일뿐 일수록 입니다 입니다만 입니까 인것 인거 인걸
    인건 인게
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

# Nouns that are also stems of common verbs: 배우고 is "learn" more often than "be an actor", and 비추는 is "shine".
_STEMS: Final[Mapping[str, tuple[str, ...]]] = {"배우": tuple(_COPULA), "비추": (*_COPULA, "은/는")}

# Common misspellings, and what they stand for.
_MISSPELT: Final = {
    "에요": "이에요/예요",
    "이예요": "이에요/예요",
    "이였다": "이었다/였다",
    "이였습니다": "이었습니다/였습니다",
}

_TAILS: Final[Mapping[str, str]] = {
    **{tail: tail for tail in ("", *_FIXED, *_COPULA_FIXED)},
    **{form: pair for pair in (*PARTICLE_PAIRS, *_COPULA) for form in pair.split("/")},
}


# Dictionary forms that are honorific already, and honorifics whose stem is another word.
_HONORIFIC: Final = ("드시다", "계시다", "주무시다", "잡수시다", "편찮으시다", "돌아가시다", "말씀하시다")
_SUPPLETIVE: Final = {"말하다": "말씀하시다", "아프다": "편찮으시다"}


def stem(lemma: str, *, honored: bool = False) -> Predicate:
    """Return a verb or an adjective as it conjugates, or its honorific: 추천하다, 추천하시다."""
    if lemma in _HONORIFIC:
        return predicate(lemma, "시")
    if not honored:
        return predicate(lemma)
    return predicate(_SUPPLETIVE[lemma], "시") if lemma in _SUPPLETIVE else honorific(predicate(lemma))


def endings_of(lemma: str, part: Part | None) -> Mapping[str, str]:
    """Return the endings that a word can take, by what a verb would take; an unknown part takes what is common."""
    if part == "adjective" and lemma.endswith(("있다", "없다", "밌다")):
        return _BY_PART["existence"]
    return _BY_PART[part if part in ("adjective", "verb") else "unknown"]


def inflections(lemma: str, part: Part | None, *, honored: bool = False) -> Iterator[tuple[str, str]]:
    """Yield every ending that a word can take and the form with it, of 하다 also the formal 하였다."""
    word = stem(lemma, honored=honored)
    formal = lemma.removesuffix("하다") if lemma.endswith("하다") and not honored else ""
    head, tail = word.stem[:-2], word.stem[-2:]
    for ending, own in endings_of(lemma, part).items():
        # How an ending joins depends on its first syllable, or two, and on the last two of the stem.
        length = len(own) if "/" in own else 2 if own[0] in "으어" else 1
        yield ending, head + _joined(tail, word.kind, own[:length]) + own[length:]
        if formal and own[0] in _FORMAL:
            yield ending, formal + _FORMAL[own[0]] + own[1:]


@cache
def _joined(stem: str, kind: Kind, start: str) -> str:
    return conjugate(Predicate(stem, kind), start)


def particles(noun: str, tail: str) -> tuple[str, Callable[[str], str]] | None:
    """Return the name of the particles that stand on ``noun`` and how to write them on other nouns.

    The name is as a context has it: 이/가, "-" for none, 이다 for all forms of the copula, 들 for all plurals. Returns
    None where ``tail`` is no particle of this noun.
    """
    pair = _TAILS.get(tail)
    if pair is not None and agree(noun, pair) == tail:
        if pair in _STEMS.get(noun, ()):
            return None
        name = "이다" if pair in _COPULA or pair in _COPULA_FIXED else pair or "-"
        return name, lambda other: other + agree(other, pair)
    if tail in _MISSPELT:
        return "이다", lambda other: other + agree(other, _MISSPELT[tail])
    if tail.startswith("들") and particles("들", tail[1:]):
        return "들", lambda other: other + tail
    return None
