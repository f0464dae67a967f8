from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from card_rows import Row, card_rows
from sklearn.metrics import roc_auc_score

from kexp.data_card.finding import Finding
from kexp.data_card.shift import _area, _words, shift
from kexp.sample_reviews import korean_reviews


def reviews(start: int, stop: int, before: str = "", after: str = "") -> list[Row]:
    texts, labels = korean_reviews(480)
    return [
        {"text": f"{before}{text}{after}", "label": ["bad", "good"][label]}
        for text, label in zip(texts[start:stop], labels[start:stop], strict=True)
    ]


def unlabelled(rows: list[Row]) -> list[Row]:
    return [{"text": row["text"]} for row in rows]


def only(folder: Path, **splits: list[Row]) -> Finding:
    (finding,) = shift(card_rows(folder, splits, split={"test": 60, "validation": 60}))
    assert isinstance(finding, Finding)
    return finding


def test_splits_of_one_kind_give_no_finding(tmp_path: Path) -> None:
    splits = {"train": reviews(0, 240), "test": reviews(240, 360), "unlabelled": unlabelled(reviews(360, 480))}
    assert list(shift(card_rows(tmp_path, splits))) == []


def test_unlabelled_rows_of_another_kind_are_found(tmp_path: Path) -> None:
    other = unlabelled(reviews(300, 480, "주문한 상품이 "))
    finding = only(tmp_path, train=reviews(0, 300), unlabelled=other)
    assert finding.title.startswith("labelled and unlabelled rows are of different kinds: a linear model tells them ")
    assert "AUC of 1.00 (95 % interval 1.00 to 1.00)" in finding.title
    assert "words typical of unlabelled: " in finding.title
    words = finding.title.rpartition("typical of unlabelled: ")[2].split(", ")
    assert {"상품이", "주문한"} <= set(words)
    assert {one.split for one in finding.examples} == {"unlabelled", "train"}
    assert finding.examples[0].note.startswith("unlabelled: probability 0.9")
    assert "labelled.n" in finding.remedy
    assert finding.count == 180


def test_a_published_test_split_of_another_kind_is_found(tmp_path: Path) -> None:
    finding = only(tmp_path, train=reviews(0, 300), test=reviews(300, 480, "", " 배송 빨라요"))
    assert finding.title.startswith("train and test rows are of different kinds")
    assert "split.test" in finding.remedy


def test_length_alone_is_a_difference(tmp_path: Path) -> None:
    """Features that count how often n-grams stand in a text of length 1 do not tell a text from the same one twice."""
    twice = [{**row, "text": f"{row['text']} {row['text']}"} for row in reviews(300, 480)]
    finding = only(tmp_path, train=reviews(0, 300), test=twice)
    assert "the length alone with 1.00 (" in finding.title or "the length alone with 0.9" in finding.title
    lengths = [np.median([len(row["text"]) for row in rows]) for rows in (reviews(0, 300), twice)]
    assert f"a median of {lengths[0]:.0f} characters, test ones {lengths[1]:.0f}" in finding.title


def test_few_rows_are_told(tmp_path: Path) -> None:
    splits = {"train": reviews(0, 300), "unlabelled": unlabelled(reviews(300, 349))}
    (remark,) = shift(card_rows(tmp_path, splits, split={"test": 60, "validation": 60}))
    assert remark == (
        "labelled and unlabelled rows are not compared: there are 180 labelled and 49 unlabelled texts, and 50 of each "
        "are needed"
    )


def test_labelled_rows_drawn_from_train_are_of_one_kind_with_the_others(tmp_path: Path) -> None:
    sections = {"labelled": {"per_class": 40}, "split": {"test": 60, "validation": 60}}
    assert list(shift(card_rows(tmp_path, {"train": reviews(0, 480)}, **sections))) == []


def test_rows_in_both_splits_tell_nothing(tmp_path: Path) -> None:
    assert list(shift(card_rows(tmp_path, {"train": reviews(0, 300), "test": reviews(0, 300)}))) == []


def test_areas_are_means_over_folds_with_a_widened_interval() -> None:
    numbers = np.random.default_rng(0)
    scores, sides, folds = numbers.random(200), numbers.integers(0, 2, 200), np.arange(200) % 5
    areas = [roc_auc_score(sides[folds == fold], scores[folds == fold]) for fold in range(5)]
    found = _area(scores, sides, folds)
    assert found.mean == pytest.approx(np.mean(areas))
    half = 2.7764451051977987 * np.std(areas, ddof=1) * math.sqrt(1 / 5 + 1 / 4)
    assert (found.low, found.high) == (pytest.approx(found.mean - half), pytest.approx(found.mean + half))


def test_typical_words_are_ordered_by_their_log_odds_ratio() -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices("가나다라마", weights=[9, 3, 3, 3, 1], k=4)) for _ in range(300)]
    texts += [" ".join(draw.choices("가나다라마", weights=[1, 3, 3, 3, 9], k=4)) for _ in range(200)]
    counts = [Counter(word for text in part for word in set(text.split())) for part in (texts[:300], texts[300:])]

    def z(word: str) -> float:
        (a, b), (c, d) = (
            (own[word] + 0.5, size - own[word] + 0.5) for own, size in zip(counts, (300, 200), strict=True)
        )
        return (math.log(a / b) - math.log(c / d)) / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)

    first, second = _words(texts, np.repeat([0, 1], [300, 200]))
    assert first == [word for word in sorted("가나다라마", key=z, reverse=True) if z(word) > 3]
    assert second == [word for word in sorted("가나다라마", key=z) if z(word) < -3]
    assert first[0] == "가"
    assert second[0] == "마"
