"""Which phrases may be left out, and which may change places."""

from __future__ import annotations

from random import Random

import pytest

from kexp.builtin.augmenters import RandomDeletion, RandomSwap, SpacingNoise, TfIdfReplacement
from kexp.contracts import AugmenterContext, AugmenterOptions


def results(options: AugmenterOptions, text: str, context: AugmenterContext | None = None) -> set[str]:
    made = options.build(context or AugmenterContext())([text] * 60, [Random(seed) for seed in range(60)])
    return {str(one) for one in made}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("이 영화는 정말 재미있다", {"영화는 정말 재미있다", "정말 재미있다", "영화는 재미있다", "이 영화는 재미있다"}),
        ("어제 친구를 만났다", {"친구를 만났다"}),
        # A noun never without what modifies it, nor that without its noun; the complement stays with its predicate.
        ("배우의 얼굴이 아름답다", set()),
        ("마음에 든다", set()),
        ("이런 정도의 영화", set()),
        ("내가 어제 본 영화는 지루하다", {"내가 본 영화는 지루하다"}),
        ("전문가라고 불리는 사람들이 떠났다", set()),
        ("감독님께서는 극장에서 영화를 보셨다", {"감독님께서는 영화를 보셨다"}),
        ("정말", set()),
        ("그냥 그렇다", set()),
        # What is said of a verb before a noun needs the verb; of two topics each is told apart from the other.
        ("밤새 울며 본 영화가 끝났다", set()),
        ("이런 영화가 끝났다", set()),
        ("뭐죠? 라는 영화가 끝났다", set()),
        ("지금 봐도 웃긴다", set()),
        ("보는 내내 웃긴다", set()),
        ("영화라는 학교에서 관객이 웃었다", set()),
        ("지옥에서 기어나온것만 같다", set()),
        ("배우는 웃는데 감독은 운다", set()),
    ],
)  # fmt: skip
def test_what_is_deleted(text: str, expected: set[str]) -> None:
    assert results(RandomDeletion(p=0.3), text) - {text} == expected


def test_p_is_the_share_of_eojeol_deleted() -> None:
    text = "어제 " + "배우가 영화를 보고 " * 20 + "떠났다"
    kept = [
        len(one.split())
        for seed in range(400)
        for one in RandomDeletion(p=0.005).build(AugmenterContext())([text], [Random(seed)])
    ]
    # One of 62 eojeol may go; with p = 0.005 it goes with probability 0.31.
    assert sum(count == 61 for count in kept) / 400 == pytest.approx(0.31, abs=0.1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("나는 이 영화를 봤다", {"이 영화를 나는 봤다"}),
        ("이 영화는 정말 재미있다", {"정말 이 영화는 재미있다"}),
        ("나는 어제 극장에서 울었다", {"어제 나는 극장에서 울었다", "극장에서 어제 나는 울었다", "나는 극장에서 어제 울었다", "어제 극장에서 나는 울었다", "극장에서 나는 어제 울었다"}),
        ("이 배우 연기 진짜 좋다", {"진짜 이 배우 연기 좋다"}),
        # What may belong to a relative clause, a predicate and its complement stay where they are.
        ("내가 어제 본 영화를 추천한다", set()),
        ("소설을 원작으로 한 영화", set()),
        ("눈물이 난다", set()),
        ("영화를 통해 배우가 산다", set()),
        ("10점은 배우에게 1점은 감독에게 준다", set()),
        ("아 정말 좋다", set()),
        # Parts of a list, and what becomes what, stay beside one another.
        ("스파이는 국익을 최우선으로 떠났다", set()),
        ("극장에 영화관에 집에 갔다", set()),
        ("관객이 영화에 감동을 받았다", set()),
        ("배우가 매력이 넘친다", set()),
        ("평론가, 배우들은 극장에서 웃었다", set()),
        ("친구가 아깝다고 한 드라마를 어제 봤다", set()),
    ],
)  # fmt: skip
def test_what_changes_places(text: str, expected: set[str]) -> None:
    made = results(RandomSwap(share=1), text) - {text}
    assert made <= expected
    assert bool(made) == bool(expected)


def test_a_word_is_replaced_by_one_of_its_kind_with_its_particle() -> None:
    train = [
        "영화는 정말 낫다",
        "이 작품 너무 낫다",
        "스토리! 결말이",
        "배우가 산다",
        "영화는 정말 스토리",
        "스토리! 산이",
    ]
    context, options = AugmenterContext(train), TfIdfReplacement(p=1)
    assert results(options, "산을 넘는 영화는", context) == {"산을 넘는 작품은"}
    assert results(options, "작은 스토리!", context) == {"작은 결말!"}
    # Negations and words that judge stay, as do compounds, and what has nothing of its kind.
    for text in ("최고 안 좋다", "영화 음악이", "배우가 나온다", "이야기를 하다"):
        assert results(options, text, context) == {text}
    assert results(options, "정말 좋다", context) == {"너무 좋다"}


def test_spaces_go_and_come_where_writers_err() -> None:
    text = "이 영화는 볼 수 있다, 재밌는것 같다"
    assert results(SpacingNoise(remove=1, insert=0), text) == {"이영화는 볼수 있다, 재밌는것 같다"}
    assert results(SpacingNoise(remove=0, insert=1), text) == {"이 영화는 볼 수 있다, 재밌는 것 같다"}
    assert results(SpacingNoise(remove=1, insert=0), "안 본 배우 얼굴") == {"안본 배우얼굴"}
