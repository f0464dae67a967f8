"""Conjugation of Korean verbs and adjectives, regular and irregular.

An ending is written as it stands after a consonant ("으니까", "어요", "고"), and its first syllable
says how it joins: 으 vanishes after a vowel or ㄹ, 어 follows vowel harmony and contracts, any other
is put on the stem as it is.  Endings whose two shapes do not follow from one another are written as a
pair, after a consonant / after a vowel or ㄹ: "습니다/ㅂ니다", "는다/ㄴ다".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kexp.hangul import add_final, compose, decompose, final_of, is_syllable, replace_final

Kind = Literal[
    "regular",
    "ㅂ",  # 덥다: 더워, 더우니까
    "ㄷ",  # 걷다: 걸어, 걸으니까
    "ㅅ",  # 짓다: 지어, 지으니까
    "ㅎ",  # 파랗다: 파래, 파라니까
    "르",  # 모르다: 몰라
    "러",  # 푸르다: 푸르러
    "우",  # 푸다: 퍼
    "하",  # 하다: 해; the regional 허다: 혀 and 카다: 캐 go with it
    "시",  # the honorific: 가시다: 가셔, but 가세요
    "ㅆ",  # past stems: 갔다: 갔어, whatever the vowel
]

# The closed class of each pair of regular and irregular stems, by their last syllables.
_REGULAR_P: Final = ("잡", "입", "씹", "접", "뽑", "좁", "집", "업", "꼽", "뵙", "수줍")
_IRREGULAR_T: Final = ("걷", "듣", "묻", "싣", "긷", "붇", "눋", "깨닫", "일컫")
_IRREGULAR_S: Final = ("짓", "낫", "붓", "잇", "긋", "젓")
_REGULAR_H: Final = ("좋", "놓", "넣", "낳", "쌓", "찧", "닿", "땋", "빻")
_PLAIN_REU: Final = ("따르", "치르", "들르", "다다르", "우러르")

_YEO: Final = {"하": "해", "허": "혀", "카": "캐"}
_H_VOWELS: Final = {"ㅏ": "ㅐ", "ㅓ": "ㅔ", "ㅑ": "ㅒ", "ㅕ": "ㅖ"}
_BRIGHT_H: Final = ("이렇", "그렇", "저렇", "요렇", "고렇", "조렇", "어떻")  # 그래, not 그레
_CONTRACTED: Final = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ", "ㅡ": "ㅓ"}
_ABSORBING: Final = "ㅏㅓㅐㅔㅕ"  # a following 아/어 is lost: 가, 서, 보내, 세, 켜

_SUPPLETIVE: Final = {"먹": "드시", "마시": "드시", "자": "주무시", "있": "계시"}


@dataclass(frozen=True, slots=True)
class Predicate:
    """A verb or adjective stem together with the way it conjugates."""

    stem: str
    kind: Kind = "regular"
    adjective: bool = False

    @property
    def lemma(self) -> str:
        """The dictionary form."""
        return self.stem + "다"


def predicate(lemma: str, kind: Kind | None = None, *, adjective: bool = False) -> Predicate:
    """Make a predicate of its dictionary form, recognising its kind unless that is given.

    A few homonyms differ in kind and need it said: 묻다 (bury), 걷다 (roll up) and 굽다 (be bent) are
    regular, 이르다 (reach) is of kind 러.
    """
    stem = lemma.removesuffix("다")
    if stem == lemma or not is_syllable(stem[-1:]):
        raise ValueError(f"not a dictionary form: {lemma!r}")
    return Predicate(stem, kind or _recognise(stem), adjective)


def _recognise(stem: str) -> Kind:
    """Guess the kind of a stem from its last syllable and the closed classes."""
    match stem[-1], final_of(stem):
        case _, "ㅂ" if not stem.endswith(_REGULAR_P):
            return "ㅂ"
        case _, "ㄷ" if stem.endswith(_IRREGULAR_T):
            return "ㄷ"
        case _, "ㅅ" if stem.endswith(_IRREGULAR_S):
            return "ㅅ"
        case _, "ㅎ" if not stem.endswith(_REGULAR_H):
            return "ㅎ"
        case (("하" | "허"), _):
            return "하"
        case "르", _ if stem == "푸르":
            return "러"
        case "르", _ if not stem.endswith(_PLAIN_REU):
            return "르"
        case "푸", _ if stem == "푸":
            return "우"
    return "regular"


def conjugate(word: Predicate, ending: str) -> str:
    """Join an ending to a stem: (덥다, "어요") is "더워요", (살다, "으니까") is "사니까"."""
    after_consonant, _, after_vowel = ending.partition("/")
    closed = final_of(word.stem) not in ("", "ㄹ")
    ending = after_consonant if closed else after_vowel or after_consonant
    first, rest = ending[:1], ending[1:]
    if not is_syllable(first):  # a bare consonant that closes the stem: ㅂ니다
        return add_final(_without_l(word.stem), first) + rest
    match decompose(first):
        case "ㅇ", "ㅓ", final:
            return _join_vowel(word, final, rest)
        case "ㅇ", "ㅡ", final:
            return _join_eu(word, final, rest)
    return (_without_l(word.stem) if _drops_l(first) else word.stem) + ending


def past(word: Predicate) -> Predicate:
    """Return the past stem, itself a predicate: 가다 gives 갔다."""
    return Predicate(conjugate(word, "었"), "ㅆ", word.adjective)


def honorific(word: Predicate) -> Predicate:
    """Return the honorific stem: 가다 gives 가시다, 먹다 gives 드시다."""
    return Predicate(_SUPPLETIVE.get(word.stem) or conjugate(word, "으시"), "시", word.adjective)


def progressive(word: Predicate, *, honored: bool = False) -> Predicate:
    """Return the stem of an action going on: 먹다 gives 먹고 있다, honorific 드시고 계시다; 놀다 gives 놀고 계시다."""
    if not honored:
        return Predicate(word.stem + "고 있")
    return Predicate(_SUPPLETIVE.get(word.stem, word.stem) + "고 계시", "시")


def _join_vowel(word: Predicate, final: str, rest: str) -> str:
    """Join an ending in 아/어, whose first syllable has the given final."""
    if word.kind == "시" and not final and rest[:1] in ("요", "유"):
        return word.stem[:-1] + "세" + rest
    fused = _infinitive(word)
    return (add_final(fused, final) if final else fused) + rest


def _infinitive(word: Predicate) -> str:
    """Return the stem fused with 아/어: 가, 와, 먹어, 더워, 몰라."""
    head, last = word.stem[:-1], word.stem[-1]
    lead, vowel, _ = decompose(last)
    match word.kind:
        case "하":
            return head + _YEO[last]
        case "르":
            return add_final(head, "ㄹ") + ("라" if _is_bright(head) else "러")
        case "러":
            return word.stem + "러"
        case "우":
            return head + compose(lead, "ㅓ")
        case "ㅂ":
            return replace_final(word.stem, "") + ("와" if last in "돕곱" else "워")
        case "ㄷ":
            return _harmonic(replace_final(word.stem, "ㄹ"))
        case "ㅅ":  # the lost ㅅ still keeps the vowels apart: 지어, not 져
            return _harmonic(replace_final(word.stem, ""))
        case "ㅎ":
            return head + compose(lead, "ㅐ" if word.stem.endswith(_BRIGHT_H) else _H_VOWELS[vowel])
        case "ㅆ":
            return word.stem + "어"
    return _contract(word.stem)


def _contract(stem: str) -> str:
    """Fuse a regular stem with 아/어."""
    head, (lead, vowel, final) = stem[:-1], decompose(stem[-1])
    if final:
        return _harmonic(stem)
    if vowel in _ABSORBING:
        return stem
    if head.endswith("적") and stem[-1] == "이":  # 이다 after a consonant: 감동적이었다, but 움직였다
        return stem + "어"
    if vowel == "ㅡ" and head and _is_bright(head):  # 바쁘다: 바빠, but 쓰다: 써
        return head + compose(lead, "ㅏ")
    if vowel in _CONTRACTED:
        return head + compose(lead, _CONTRACTED[vowel])
    return stem + "어"


def _join_eu(word: Predicate, final: str, rest: str) -> str:
    """Join an ending in 으, whose first syllable has the given final."""
    stem = word.stem
    match word.kind:
        case "ㅂ":  # 도우니까, 더우니까: an open stem from here on
            stem = replace_final(stem, "") + "우"
        case "ㅎ":
            stem = replace_final(stem, "")
        case "ㄷ":
            return replace_final(stem, "ㄹ") + compose("ㅇ", "ㅡ", final) + rest
        case "ㅅ":
            return replace_final(stem, "") + compose("ㅇ", "ㅡ", final) + rest
    if final_of(stem) not in ("", "ㄹ"):
        return stem + compose("ㅇ", "ㅡ", final) + rest
    if final == "ㅁ" and final_of(stem) == "ㄹ":  # the nominal 음 keeps the ㄹ: 힘듦
        return replace_final(stem, "ㄻ") + rest
    if final:
        return add_final(_without_l(stem), final) + rest
    return (_without_l(stem) if _drops_l(rest[:1]) else stem) + rest


def _without_l(stem: str) -> str:
    """Take a final ㄹ off."""
    return replace_final(stem, "") if final_of(stem) == "ㄹ" else stem


def _drops_l(syllable: str) -> bool:
    """Return whether a stem loses its final ㄹ before a syllable: 사네, 사세요, 사오; regional 사이소."""
    if not is_syllable(syllable):
        return False
    lead, vowel, _ = decompose(syllable)
    return lead in "ㄴㅂㅅㅆ" or (lead == "ㅇ" and vowel in "ㅗㅣ")


def _harmonic(stem: str) -> str:
    """Write 아 or 어 after a stem, uncontracted."""
    return stem + ("아" if _is_bright(stem) else "어")


def _is_bright(stem: str) -> bool:
    """Return whether the last vowel calls for 아 rather than 어."""
    return decompose(stem[-1]).vowel in "ㅏㅑㅗ"
