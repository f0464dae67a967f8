"""Syllables taken apart and put together, and particles that agree."""

from __future__ import annotations

import unicodedata

import pytest

from kexp import hangul


def test_every_syllable_survives_decomposition() -> None:
    for code in range(ord("가"), ord("힣") + 1):
        assert hangul.compose(*hangul.decompose(chr(code))) == chr(code)


@pytest.mark.parametrize(
    ("char", "parts"),
    [
        ("가", ("ㄱ", "ㅏ", "")),
        ("값", ("ㄱ", "ㅏ", "ㅄ")),
        ("꿩", ("ㄲ", "ㅝ", "ㅇ")),
        ("힣", ("ㅎ", "ㅣ", "ㅎ")),
    ],
)
def test_decompose(char: str, parts: tuple[str, str, str]) -> None:
    assert hangul.decompose(char) == parts


@pytest.mark.parametrize("char", ["", "a", "ㄱ", "가나", "\u1100"])
def test_decompose_refuses_what_is_no_syllable(char: str) -> None:
    with pytest.raises(ValueError, match="not a Hangul syllable"):
        hangul.decompose(char)


def test_compose_refuses_impossible_parts() -> None:
    with pytest.raises(ValueError, match="no such syllable"):
        hangul.compose("ㅏ", "ㄱ")


@pytest.mark.parametrize(
    ("word", "final"),
    [
        ("책", "ㄱ"), ("나무", ""), ("서울", "ㄹ"), ("닭", "ㄺ"), ("2023", "ㅁ"), ("10", "ㅇ"), ("KTX", ""),
        ("URL", "ㄹ"), ("'밥'", "ㅂ"), ("", ""), (unicodedata.normalize("NFD", "밥"), "ㅂ"),
    ],
)  # fmt: skip
def test_final_of(word: str, final: str) -> None:
    assert hangul.final_of(word) == final
    assert hangul.has_final(word) == bool(final)


def test_finals_are_replaced_and_added() -> None:
    assert hangul.replace_final("무덥", "") == "무더"
    assert hangul.add_final("보내", "ㄴ") == "보낸"
    with pytest.raises(ValueError, match="has a final consonant"):
        hangul.add_final("먹", "ㄴ")


@pytest.mark.parametrize(
    ("word", "particle", "expected"),
    [
        ("책", "는", "책은"), ("나무", "은", "나무는"), ("밥", "를", "밥을"), ("할매", "을", "할매를"),
        ("형", "가", "형이"), ("성", "이", "성이"), ("어멍", "가", "어멍이"), ("누나", "이", "누나가"),
        ("집", "로", "집으로"), ("서울", "으로", "서울로"), ("바다", "으로", "바다로"),
        ("칼", "으로써", "칼로써"), ("친구", "과", "친구와"), ("사람", "와", "사람과"),
        ("영숙", "야", "영숙아"), ("철수", "아", "철수야"), ("밥", "나", "밥이나"),
        ("커피", "이나", "커피나"), ("형", "랑", "형이랑"), ("누나", "이랑", "누나랑"),
        ("서울", "은/는", "서울은"), ("서울", "이랑", "서울이랑"), ("삼촌", "이우다/우다", "삼촌이우다"),
        ("고구마", "이에요/예요", "고구마예요"), ("집", "에서", "집에서"), ("집", "도", "집도"),
        ("3", "을", "3을"),
    ],
)  # fmt: skip
def test_particles_agree(word: str, particle: str, expected: str) -> None:
    assert hangul.attach(word, particle) == expected
