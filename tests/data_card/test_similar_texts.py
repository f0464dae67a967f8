from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from kexp.data_card import similar_texts
from kexp.data_card.similar_texts import (
    THRESHOLD,
    Similar,
    plain,
    signatures,
    similar_between,
    similar_within,
    similarity,
)

SYLLABLES = [chr(code) for code in range(ord("가"), ord("가") + 600, 3)]


def jaccard(one: str, other: str) -> float:
    first = {one[start : start + 3] for start in range(len(one))[: max(len(one) - 2, 1)]}
    second = {other[start : start + 3] for start in range(len(other))[: max(len(other) - 2, 1)]}
    return sum(part in second for part in first) / len(first | second)


def edited(text: str, draw: random.Random) -> str:
    """Return a text with one to six syllables replaced, removed or added."""
    syllables = list(text)
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(syllables))
        syllables[place : place + draw.randint(0, 1)] = draw.choices(SYLLABLES, k=draw.randint(0, 2))
        syllables = syllables or ["가"]
    return "".join(syllables)


def texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    first = ["".join(draw.choices(SYLLABLES, k=draw.randint(3, 60))) for _ in range(count)]
    return list(dict.fromkeys([*first, *(edited(text, draw) for text in first)]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("재미 있어요", "재미있어요"), (" A\tb\nC ", "abc"), ("앞\x1f뒤", "앞뒤"), ("  ", "")],
)
def test_white_space_and_case_are_no_difference(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("가나다라마", "가나다라마", 1),
        ("가나다라마", "가나다라바", 0.5),
        ("가", "가", 1),
        ("가", "나", 0),
        ("가나", "가나다", 0),
        ("가나가나가", "가나가나", 1),
    ],
)
def test_similarity_is_that_of_distinct_trigrams(one: str, other: str, expected: float) -> None:
    assert similarity(one, other) == similarity(other, one) == expected == jaccard(one, other)


def test_signatures_agree_as_often_as_texts_are_similar() -> None:
    own = texts(300, seed=1)
    draw = random.Random(2)
    pairs = [(text, edited(text, draw)) for text in own]
    first, second = signatures([one for one, _ in pairs]), signatures([other for _, other in pairs])
    errors = (first == second).mean(axis=1) - [jaccard(one, other) for one, other in pairs]
    # The standard deviation of a share of 64 is 0.0625 at most; the mean of all errors is near 0.
    assert abs(errors.mean()) < 3 * 0.0625 / np.sqrt(len(pairs))
    assert np.abs(errors).max() < 5 * 0.0625


def test_a_text_has_the_signature_it_has_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ["가", "나다", "라마바", "abc def", "\U0001f600가나다", *texts(40, seed=3)]
    whole = signatures(own)
    monkeypatch.setattr(similar_texts, "CHUNK", 7)
    assert (signatures(own) == whole).all()
    assert (np.concatenate([signatures([text]) for text in own]) == whole).all()


def assert_as_by_hand(found: Similar, own: list[str], others: list[str], *, same: bool) -> None:
    similar = [
        any(jaccard(text, other) >= THRESHOLD for place, other in enumerate(others) if not (same and place == number))
        for number, text in enumerate(own)
    ]
    assert 50 < sum(similar) < len(own) - 50
    assert ((found.places >= 0) == similar).mean() > 0.995
    for number in np.flatnonzero(found.places >= 0):
        assert found.similarities[number] == jaccard(own[number], others[found.places[number]]) >= THRESHOLD
        assert not same or found.places[number] != number


def test_texts_that_resemble_another_one_are_found() -> None:
    own = texts(250, seed=4)
    assert_as_by_hand(similar_within(own, signatures(own)), own, own, same=True)


def test_texts_that_resemble_one_of_another_list_are_found() -> None:
    own, draw = texts(200, seed=5), random.Random(6)
    others = [edited(text, draw) for text in own[::2]] + texts(100, seed=7)
    found = similar_between(own, signatures(own), others, signatures(others))
    assert_as_by_hand(found, own, others, same=False)


@pytest.mark.parametrize("search", [similar_within, None])
def test_many_texts_of_one_pattern_are_all_found(search: Callable[..., Similar] | None) -> None:
    own = [f"오늘 본 영화는 정말 재미있었고 배우들의 연기도 훌륭했다 {number}" for number in range(400)]
    own = list(map(plain, own))
    found = (
        search(own, signatures(own)) if search else similar_between(own, signatures(own), own[:5], signatures(own[:5]))
    )
    assert (found.places >= 0).all()


def test_no_texts_resemble_nothing() -> None:
    none, one = signatures([]), signatures(["가나다"])
    assert none.shape == (0, 64)
    assert not len(similar_within([], none).places)
    assert similar_within(["가나다"], one).places.tolist() == [-1]
    assert similar_between(["가나다"], one, [], none).places.tolist() == [-1]
    assert not len(similar_between([], none, ["가나다"], one).places)
