"""Baselines: shapes, label order, determinism, and that characters carry Korean."""

from __future__ import annotations

import numpy as np
import pytest

from kexp.evaluate.baselines import BASELINES, fit_baseline, join_pairs

GOOD = ["정말 재밌어요", "재미있게 봤습니다", "최고의 영화였다", "너무 재밌었음", "감동적이고 좋았어요", "재밌고 좋네"]
BAD = ["지루해요", "너무 지루했다", "최악의 시간낭비", "별로였음 지루함", "돈이 아깝네요", "시간이 아까웠다"]
TEXTS = GOOD + BAD
LABELS = np.array([1] * 6 + [0] * 6)


def test_majority_gives_the_frequencies_of_train() -> None:
    predict = fit_baseline("majority", TEXTS[:4], np.array([2, 2, 0, 2]), 4, seed=1)
    assert predict(["가", "나"]).tolist() == [[0.25, 0, 0.75, 0]] * 2
    assert predict([]).shape == (0, 4)


def test_tfidf_learns_stems_under_new_endings() -> None:
    predict = fit_baseline("tfidf-logreg", TEXTS, LABELS, 2, seed=1)
    probabilities = predict(["재밌다", "지루하네", "영화가재밌었어요", "시간 아까움"])
    assert probabilities.argmax(1).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_columns_follow_label_ids_though_train_lacks_some(name: str) -> None:
    predict = fit_baseline(name, TEXTS, np.where(LABELS == 1, 3, 1), 5, seed=1)
    probabilities = predict([*TEXTS, "", "!!", "unseen"])
    assert probabilities.shape == (15, 5)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    assert (probabilities[:, [0, 2, 4]] == 0).all()
    if name == "tfidf-logreg":
        assert probabilities[:12].argmax(1).tolist() == [3] * 6 + [1] * 6


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_one_label_alone_is_certain(name: str) -> None:
    assert fit_baseline(name, TEXTS, np.full(12, 1), 3, seed=1)(["무엇"]).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_the_same_rows_give_the_same_bits(name: str) -> None:
    first, second = (fit_baseline(name, TEXTS, LABELS, 2, seed=1)(TEXTS) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_long_text_is_read_in_part() -> None:
    predict = fit_baseline("tfidf-logreg", TEXTS, LABELS, 2, seed=1)
    start = "재밌어요 " * 200
    assert predict([start + "지루해요 " * 2000]).tolist() == predict([start]).tolist()


def test_pairs_are_joined_by_a_symbol_of_their_own() -> None:
    assert join_pairs(["하나", "둘"], ["가", ""]) == ["하나 ␞ 가", "둘 ␞ "]
    with pytest.raises(ValueError, match="zip"):
        join_pairs(["하나"], [])
