"""What must survive a paraphrase: script, numbers, negation; and loops of decoders."""

from __future__ import annotations

import pytest

from kexp_backtranslation.korean import hangul_share, longest_loop, lost_numbers, negations


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("정말 재미있어요", 1.0),
        ("This is a movie", 0.0),
        ("ㅋㅋㅋ 3점", 1.0),
        ("영화 OK", 0.5),
        ("映画 영화", 0.5),
        ("123 !!", 1.0),
    ],
)
def test_hangul_share(text: str, share: float) -> None:
    assert hangul_share(text) == share


@pytest.mark.parametrize(
    ("original", "paraphrase", "lost"),
    [
        ("배우 3명이 나온다", "배우 3명이 등장한다", []),
        ("배우 3명이 나온다", "배우 세 명이 등장한다", []),
        ("배우 3명이 나온다", "배우들이 등장한다", ["3"]),
        ("배우 3명이 나온다", "배우 4명이 등장한다", ["3"]),
        ("관객 10만 명", "관객 100,000명", []),
        ("관객 100,000명", "관객 10만 명", []),
        ("가격은 3만 5천원", "가격은 35,000원", []),
        ("가격은 35,000원", "가격은 3만5천 원", []),
        ("1억 2천만 원", "120,000,000원", []),
        ("별점 3.5점", "별점 3.5", []),
        ("별점 3.5점", "별점 35", ["3.5"]),
        ("２０１９년 영화", "2019년의 영화", []),
        ("두 번 봤다", "여러 번 봤다", []),  # numerals in words are not asked for, only given
        ("1번째 작품", "첫 번째 작품", []),
        ("2번 봤다", "두번 봤습니다", []),
        ("2번 봤다", "모두 봤습니다", ["2"]),
        ("3천 원", "3,000원", []),
        ("2 2 2", "2", []),
        ("숫자 없음", "3개", []),
    ],
)
def test_lost_numbers(original: str, paraphrase: str, lost: list[str]) -> None:
    assert lost_numbers(original, paraphrase) == lost


@pytest.mark.parametrize(
    "text",
    [
        "재미있지 않다",
        "재미있지는 않아요",
        "재미있지않음",
        "재밌진 않네요",
        "보질 못했다",
        "명작은 아녔다",
        "끝까지 보지 못했다",
        "이 영화 보지 마세요",
        "보지 마!",
        "보지말고 주무세요",
        "다시는 안 본다",
        "안봤다",
        "진짜 안좋다",
        "안되네요",
        "도저히 못 보겠다",
        "노래를 못한다",
        "명작이 아니다",
        "명작은 아닌 듯",
        "재미없다",
        "볼 것이 없어요",
        "이건 아니지",
        "별로예요",
        "별로 감동적인 영화",
    ],
)
def test_negation(text: str) -> None:
    assert negations(text) > 0


@pytest.mark.parametrize(
    "text",
    [
        "재미있다",
        "안녕하세요 안내 방송입니다",
        "안전하고 편안한 영화",
        "괜찮은 영화",
        "귀찮아서 미뤘다",
        "재미있잖아요",
        "감동하지 않을 수 없다",
        "꼭 봐야 한다",
        "안 보면 안 된다",
        "보지 않으면 안 되는 영화",
        "끊임없이 웃었다",
        "어이없는 결말",
        "너밖에 없다",
        "아니 진짜 최고",
        "못지않게 훌륭하다",
        "안간힘을 썼다",
        "지역별로 다르다",
        "강아지 마음",
        "연못가에서 찍은 장면",
    ],
)
def test_no_negation(text: str) -> None:
    assert negations(text) == 0


def test_negation_in_decomposed_text() -> None:
    import unicodedata

    assert negations(unicodedata.normalize("NFD", "재미없다")) == 1


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("좋은 영화입니다", 1),
        ("ㅋㅋㅋㅋㅋ", 5),
        ("정말 정말 정말 좋다", 3),
        ("좋아좋아좋아", 3),
        ("나는 영화를 봤고 나는 영화를 봤고 나는 영화를 봤고 나는 영화를 봤고", 4),
        ("ㅋㅋ아 ㅋㅋ아 ㅋㅋ아 ㅋㅋ아", 4),
        ("그 그  그\n그", 4),
        ("", 1),
    ],
)
def test_longest_loop(text: str, repeats: int) -> None:
    assert longest_loop(text) == repeats
