"""What rules read in a text, and which of its eojeol carry the meaning."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kexp.korean.eojeol import Eojeol, analyser, analyser_identity, analyser_problems
from kexp.korean.meaning import meaning


def read(text: str) -> list[Eojeol]:
    return list(analyser("rules")([text])[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("이 영화는 정말 재미있다", "determiner/modifier noun/topic intensifier/bare predicate/final"),
        ("배우의 연기가 좋지만", "noun/modifier noun/subject predicate/connective"),
        ("볼 수 없다", "predicate/modifier bound noun/bare predicate/final"),
        ("본 적이 없다", "predicate/modifier bound noun/bare predicate/final"),
        ("지루하지 않다", "predicate/final auxiliary/final"),
        ("마을에서 친구와 봤다", "noun/adverbial noun/conjunct predicate/final"),
        ("느낌이 나는 영화", "noun/subject predicate/modifier noun/bare"),
        ("나는 영화를 안 본다", "noun/topic noun/object negation/bare predicate/final"),
        ("소설을 원작으로 한 영화", "noun/object noun/adverbial predicate/modifier noun/bare"),
        ("송강호가 진짜 대단하다", "noun/subject intensifier/bare predicate/final"),
        ("춤추는 진짜 배우", "other/bare intensifier/bare noun/bare"),
        ("그래서 결국 감독들을", "conjunction/bare adverb/bare noun/object"),
        ("ㅋㅋㅋ CG가 10점", "other/bare other/bare other/bare"),
    ],
)
def test_kinds_and_forms(text: str, expected: str) -> None:
    assert " ".join(f"{word.kind}/{word.form}" for word in read(text)) == expected


def test_punctuation_and_decomposed_syllables() -> None:
    words = read('"좋다!" ... 영화,')
    assert [word.text for word in words] == ["좋다", "", "영화"]
    assert [word.mark for word in words] == [True, True, True]
    decomposed = read(unicodedata.normalize("NFD", "배우들이 좋다"))
    assert decomposed == read("배우들이 좋다")
    assert (decomposed[0].stem, decomposed[0].ending) == ("배우들", "이")


def test_joints_are_where_writers_part_words() -> None:
    def parted(text: str) -> list[str]:
        (word,) = read(text)
        return [f"{text[:place]} {text[place:]}" for place in word.joints]

    assert parted("재밌는것") == ["재밌는 것"]
    assert parted("할수있다") == ["할 수있다", "할수 있다"]
    assert parted("재미있다") == ["재미 있다"]
    assert parted("이영화는") == ["이 영화는"]
    assert parted("안본") == ["안 본"]
    for text in ("볼수록", "봤는데", "영화", "아름답다", "감독은", "이상하다", "안경", "잘못"):
        assert parted(text) == [], text


@given(st.text())
def test_there_is_one_eojeol_per_word(text: str) -> None:
    words = read(text)
    assert len(words) == len(text.split())
    assert all(0 < joint < len(word.text) for word in words for joint in word.joints)
    for judging in (True, False):
        assert len(meaning(words, judging=judging)) == len(words)


def test_rules_need_nothing() -> None:
    assert list(analyser_problems("rules")) == []
    assert analyser_identity("rules") == "rules"


# --- what carries the meaning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("나는 이 영화를 볼 수 없다", "볼 수 없다"),
        ("나는 그런 사람을 본 적 없다", "본 적 없다"),
        ("감독은 연출을 할 줄 모른다", "할 줄 모른다"),
        ("이 영화는 지루하지 않다", "지루하지 않다"),
        ("배우가 울지 못했다", "울지 못했다"),
        ("친구야 이건 보지 마라", "보지 마라"),
        ("이 영화는 웃음이 하나도 없다", "웃음이 하나도 없다"),
        ("이 영화는 전혀 무섭지 않다", "전혀 무섭지 않다"),
        ("배우가 별로 안 나온다", "배우가 별로 안 나온다"),
        ("나는 감동은커녕 하품을 했다", "감동은커녕 하품을 했다"),
        ("이 영화는 배우 빼고 나머지가 그렇다", "배우 빼고 나머지가 그렇다"),
        ("이 영화는 음악만 남았다", "음악만 남았다"),
        ("명작이라더니 어제 극장에서 나왔다", "명작이라더니 어제 극장에서 나왔다"),
        ("1편보다 2편이 길다", "1편보다 2편이 길다"),
        ("나는 못 가고 집에서 쉬었다", "못 가고"),
        ("배우는 왜 울었나", "왜 울었나"),
        ("이 배우는 말을 타고 마을을 떠났다", ""),
    ],
)
def test_the_whole_of_a_construction_is_kept(text: str, kept: str) -> None:
    words = read(text)
    flags = meaning(words, judging=False)
    assert " ".join(word.text for word, flag in zip(words, flags, strict=True) if flag) == kept


@pytest.mark.parametrize(
    "word", ["좋다", "최고", "최악의", "지루한", "개쓰레기", "아까운", "재미있게", "추천합니다", "역대최고"]
)
def test_words_that_judge_are_kept_where_they_are_asked_for(word: str) -> None:
    words = read(f"영화 {word}")
    assert meaning(words, judging=True)[1]
    assert not meaning(words, judging=False)[1]


@pytest.mark.parametrize("number", ["10점", "1점도", "별", "반개", "영점", "한개", "3편"])
def test_numbers_and_scores_are_kept(number: str) -> None:
    assert meaning(read(f"정말 {number}"), judging=False) == [False, True]
