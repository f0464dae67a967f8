"""Words that may stand for one another in a sentence without making nonsense of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from kexp.hangul import final_of
from kexp.korean.eojeol import Eojeol, analyser
from kexp.korean.vocabulary import words

REPLACEABLE: Final[tuple[frozenset[str], ...]] = (
    words("영화 작품 드라마"),
    words("배우 주인공 주연배우 출연자"),
    words("감독 연출자 제작자"),
    words("연출 편집 각본 시나리오 대본 스토리 내용 줄거리 이야기 전개 구성 결말 엔딩 마무리"),
    words("음악 영상 화면 배경 색감 음향"),
    words("캐릭터 인물"),
    words("친구 동생 가족 동료"),
    words("어제 오늘 방금 아까 최근에"),
    words("요즘 요새 최근"),
    words("하지만 그러나 그렇지만"),
    words("근데 그런데"),
    words("정말 진짜 너무 너무나 무척 매우 아주 굉장히 참"),
    words("역시 역시나"),
    words("그냥 걍"),
    words("항상 늘 언제나"),
    words("계속 자꾸"),
    words("드디어 마침내"),
    words("아무튼 암튼 어쨌든 하여튼"),
)
_PARTICLES: Final = words("이 가 은 는 을 를 의 도 과 와 에 에서 으로 로 들이 들은 들을 들의 만")


# After a noun they make a verb of it.
_VERBALISING: Final = ("하", "한", "할", "해", "했", "합", "함", "나누", "나눈", "들", "되", "된", "됐", "돼")


@lru_cache(maxsize=1 << 16)
def known_stem(word: str) -> str:
    """Return the stem of an eojeol out of context, by rules: 배우들의 is 배우."""
    (read,) = analyser("rules")([word])
    return read[0].stem or read[0].text if read else word


def may_be_replaced(read: Sequence[Eojeol], number: int) -> bool:
    """Return whether an eojeol is one of its class as it stands: a noun with a particle, or an adverb."""
    word = read[number]
    after = read[number + 1] if number + 1 < len(read) else None
    before = read[number - 1] if number else None
    match word.kind:
        case "noun":
            return _is_argument(word, before, after) or _ends_phrase(word, before, after)
        case "intensifier":
            return after is not None and after.kind == "predicate" and after.gradable
        case "adverb":
            return after is not None and after.kind != "bound noun"
    # 하지만 after a word is a form of 하다: 떨어지긴 하지만.
    return word.kind == "conjunction" and (before is None or before.mark)


def _is_argument(word: Eojeol, before: Eojeol | None, after: Eojeol | None) -> bool:
    """Return whether a noun has a particle and is no part of a compound: 영화 음악은, or of a verb: 이야기를 하다."""
    compound = before is not None and before.form == "bare" and not before.mark and before.kind in ("noun", "other")
    if compound and before is not None and before.kind == "other":
        compound = not before.text.endswith("는") and final_of(before.text) not in ("ㄴ", "ㄹ")
    verb = word.form == "object" and after is not None and after.text.startswith(_VERBALISING)
    return word.ending in _PARTICLES and not compound and not verb


def _ends_phrase(word: Eojeol, before: Eojeol | None, after: Eojeol | None) -> bool:
    """Return whether a noun without a particle ends a sentence, with something before that modifies it: 좋은 영화."""
    modified = before is not None and before.form == "modifier" and not before.mark
    return word.form == "bare" and modified and (after is None or word.mark)
