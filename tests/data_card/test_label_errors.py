from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from card_rows import Row, card_rows
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from kexp.data_card import label_errors as module
from kexp.data_card.finding import Finding
from kexp.data_card.folds import deal, tied_rows
from kexp.data_card.label_errors import confident_learning, judge, label_errors
from kexp.sample_reviews import korean_reviews
from kexp.seeds import generator


def reviews(count: int = 480, flipped: float = 0.0) -> tuple[list[Row], set[int]]:
    """Return synthetic reviews, and the numbers from 1 of those whose label is the other one."""
    texts, labels = korean_reviews(count)
    wrong = set(random.Random(0).sample(range(count), round(flipped * count)))
    rows = [
        {"text": text, "label": ["bad", "good"][label ^ (number in wrong)]}
        for number, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    return rows, {number + 1 for number in wrong}


def named_by_hand(labels: list[int], probabilities: list[list[float]]) -> list[tuple[float, int, int]]:
    """Return margin, row and better label of every row off the diagonal of the confident joint."""
    count = len(probabilities[0])
    thresholds = []
    for label in range(count):
        own = [row[label] for row, given in zip(probabilities, labels, strict=True) if given == label]
        thresholds.append(sum(own) / len(own) if own else 2.0)
    found = []
    for number, (row, given) in enumerate(zip(probabilities, labels, strict=True)):
        confident = [(row[label], -label) for label in range(count) if row[label] >= thresholds[label]]
        if confident and -max(confident)[1] != given:
            margin = row[given] - max(row[label] for label in range(count) if label != given)
            found.append((margin, number, -max(confident)[1]))
    return sorted(found)


@pytest.mark.parametrize("seed", range(5))
def test_confident_learning_is_what_the_paper_says(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    labels, probabilities = numbers.integers(0, 4, 300), numbers.dirichlet([0.6] * 4, 300)
    if seed == 4:
        labels = labels % 3  # a label that no row has
    expected = named_by_hand(labels.tolist(), probabilities.tolist())
    rows, others = confident_learning(labels, probabilities)
    assert len(rows) > 50
    assert [(row, other) for _, row, other in expected] == list(zip(rows.tolist(), others.tolist(), strict=True))


def test_probabilities_are_those_of_the_baseline_on_the_other_folds(tmp_path: Path) -> None:
    rows = card_rows(tmp_path, {"train": reviews(200)[0]})
    found, remarks = judge(rows)
    assert found is not None
    assert remarks == []
    frame = rows.read["train"]
    labels = (frame["label"] == "good").to_numpy(int)
    folds = deal(labels, tied_rows(frame), generator(rows.spec.split.seed, "folds of label errors"))
    features = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True, dtype=np.float32)
    expected = cross_val_predict(
        LogisticRegression(C=4, solver="newton-cg", max_iter=1000),
        features.fit_transform(frame["text"]), labels, cv=PredefinedSplit(folds), method="predict_proba",
    )  # fmt: skip
    assert found.names == ("bad", "good")
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_flipped_labels_are_named_first_and_no_others(tmp_path: Path) -> None:
    rows, wrong = reviews(flipped=0.05)
    (finding,) = label_errors(card_rows(tmp_path, {"train": rows}))
    assert isinstance(finding, Finding)
    first = {row for split, row in finding.named[: len(rows) // 10]}
    assert len(first & wrong) >= 0.8 * len(wrong)
    assert finding.count == len(finding.named) <= 1.5 * len(wrong)
    assert finding.title.startswith(f"{finding.count} of 480 labels may be wrong: a linear model, right in 9")
    example = finding.examples[0]
    assert example.row in wrong
    assert (example.text, example.label) == (rows[example.row - 1]["text"], rows[example.row - 1]["label"])
    other = {"good": "bad", "bad": "good"}[example.label]
    assert example.note.startswith(f'"{other}" has probability 0.9')


def test_flipped_labels_of_other_splits_are_named_too(tmp_path: Path) -> None:
    rows, wrong = reviews(flipped=0.05)
    splits = {"train": rows[:300], "test": rows[300:]}
    (finding,) = label_errors(card_rows(tmp_path, splits))
    assert isinstance(finding, Finding)
    expected = {("train", row) if row <= 300 else ("test", row - 300) for row in wrong}
    assert len(set(finding.named) & expected) >= 0.8 * len(wrong)


def test_clean_labels_give_no_finding(tmp_path: Path) -> None:
    assert list(label_errors(card_rows(tmp_path, {"train": reviews()[0]}))) == []


def test_repetitions_do_not_vouch_for_a_wrong_label(tmp_path: Path) -> None:
    rows, wrong = reviews(flipped=0.05)
    # Each text three times, in other spelling: by random folds most copies would be known with the same wrong label.
    copies = [
        {"text": row["text"].replace(" ", mark), "label": row["label"]} for mark in (" ", ", ", "") for row in rows
    ]
    (finding,) = label_errors(card_rows(tmp_path, {"train": copies}))
    assert isinstance(finding, Finding)
    expected = {row + 480 * copy for row in wrong for copy in range(3)}
    assert len({row for _, row in finding.named} & expected) >= 0.8 * len(expected)


def test_rows_of_many_are_drawn_and_fitted_by_gradient_descent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, wrong = reviews(flipped=0.05)
    read = card_rows(tmp_path, {"train": rows})
    monkeypatch.setattr(module, "EXACT", 0)
    (finding,) = label_errors(read)
    assert isinstance(finding, Finding)
    assert "a linear model fitted by stochastic gradient descent, right in" in finding.title
    assert len({row for _, row in finding.named[:48]} & wrong) >= 0.8 * len(wrong)
    monkeypatch.setattr(module, "MOST", 600)
    (finding,) = label_errors(read)
    assert isinstance(finding, Finding)
    assert "of 300 labels" in finding.title
    assert "on 300 rows drawn at random from 480" in finding.title
    assert finding.rows == 300


def test_nothing_is_said_where_the_model_knows_nothing(tmp_path: Path) -> None:
    rows = [{**row, "label": random.Random(number).choice("ab")} for number, row in enumerate(reviews()[0])]
    (remark,) = label_errors(card_rows(tmp_path, {"train": rows}))
    assert isinstance(remark, str)
    assert remark.startswith("label errors are not looked for: a linear model predicts labels no better than chance (")


def test_labels_with_few_texts_are_left_out_and_told(tmp_path: Path) -> None:
    rows, _ = reviews(flipped=0.05)
    rare = [{"text": f"드문 글 {number}", "label": "rare"} for number in range(9)]
    remark, finding = label_errors(card_rows(tmp_path, {"train": [*rows, *rare]}))
    assert remark == 'label errors are not looked for in the rows of 1 label with fewer than 10 different texts: "rare"'
    assert isinstance(finding, Finding)
    assert finding.rows == 480


@pytest.mark.parametrize("pairs", [False, True])
def test_empty_texts_and_missing_labels_do_no_harm(tmp_path: Path, pairs: bool) -> None:
    rows, wrong = reviews(flipped=0.05)
    rows = [*rows, {"text": "", "label": "good"}, {"text": " ", "label": "bad"}]
    if pairs:
        rows = [{**row, "text": "감상", "text_pair": row["text"]} for row in rows]
    dataset = {"text_pair": "text_pair"} if pairs else {}
    (finding,) = label_errors(card_rows(tmp_path, {"train": rows}, dataset=dataset))
    assert isinstance(finding, Finding)
    assert len({row for _, row in finding.named} & wrong) >= 0.8 * len(wrong)
    assert not {row for _, row in finding.named} & {481, 482}
