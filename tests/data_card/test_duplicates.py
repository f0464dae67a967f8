from __future__ import annotations

import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from card_rows import Row, card_rows, labelled

from kexp.data_card.duplicates import contradicting_rows, empty_rows, overlapping_rows, repeated_rows
from kexp.data_card.finding import Finding
from kexp.data_card.rows import CardRows


def only(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


def random_rows(seed: int, count: int = 300) -> list[Row]:
    draw = random.Random(seed)
    words = ["좋다", "나쁘다", " 좋다 ", unicodedata.normalize("NFD", "좋다"), "영화", "각본 좋다", "  ", ""]
    return [
        {"text": " ".join(draw.choices(words, k=draw.randint(1, 3))), "label": draw.choice(["긍정", "부정"])}
        for _ in range(count)
    ]


def normal(row: Row) -> str:
    return unicodedata.normalize("NFC", row["text"]).strip()


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_counted_as_by_hand(tmp_path: Path, seed: int) -> None:
    splits = {"train": random_rows(seed), "test": random_rows(seed + 100, 50)}
    rows = card_rows(tmp_path, splits, split={"validation": 0})
    empty, repeated, contradicting, labels = 0, 0, 0, dict[str, dict[str, set[str]]]()
    for split, own in splits.items():
        empty += sum(not normal(row) for row in own)
        filled = [row for row in own if normal(row)]
        repeated += sum(count - 1 for count in Counter((normal(row), row["label"]) for row in filled).values())
        labels[split] = defaultdict(set)
        for row in filled:
            labels[split][normal(row)].add(row["label"])
        contradicting += sum(len(labels[split][normal(row)]) > 1 for row in filled)
    overlap = sum(normal(row) in labels["train"] for row in splits["test"])
    assert empty > 0
    for finding, count in (
        (only(empty_rows(rows)), empty),
        (only(repeated_rows(rows)), repeated),
        (only(contradicting_rows(rows)), contradicting),
        (only(overlapping_rows(rows)), overlap),
    ):
        assert finding.count == count
        assert finding.title.startswith(f"{count:,} row")
        assert len(finding.examples) == min(5, count)
        for example in finding.examples:
            row = splits[example.split][example.row - 1]
            assert (normal(row), row["label"]) == (example.text, example.label)
    assert only(empty_rows(rows)).rows == 350
    assert only(overlapping_rows(rows)).rows == 50


def test_what_is_said_of_a_repetition_is_the_row_that_it_repeats(tmp_path: Path) -> None:
    rows = card_rows(tmp_path, {"train": labelled(("가", "x"), ("나", "y"), ("가", "x"), ("가", "y"), ("나", "y"))})
    finding = only(repeated_rows(rows))
    assert [(one.row, one.note) for one in finding.examples] == [(3, "as row 1"), (5, "as row 2")]
    assert finding.title == "2 rows with the text and the label of a row before them in their split (train 2)"


def test_rows_of_one_text_stand_together(tmp_path: Path) -> None:
    rows = card_rows(
        tmp_path, {"train": labelled(("가", "x"), ("나", "y"), ("다", "x"), ("나", "x"), ("가", "y"), ("나", "y"))}
    )
    finding = only(contradicting_rows(rows))
    assert [one.row for one in finding.examples] == [1, 5, 2, 4, 6]
    assert "2 texts" in finding.title


@pytest.mark.parametrize(
    ("search", "option"),
    [(repeated_rows, "duplicates"), (contradicting_rows, "contradictions"), (overlapping_rows, "overlap")],
)
def test_what_cleaning_drops_is_said_to_be_dropped(
    tmp_path: Path, search: Callable[[CardRows], Iterator[Finding]], option: str
) -> None:
    train = labelled(*[(f"글 {number}", "xy"[number % 2]) for number in range(40)], ("글 0", "x"), ("글 1", "x"))
    splits = {"train": train, "test": labelled(("글 2", "x"), ("다른 글", "y"))}

    def found(**cleaning: Any) -> Finding:
        return only(search(card_rows(tmp_path, splits, cleaning=cleaning)))

    default, kept = found(), found(**{option: "keep"})
    assert default.handled
    assert not kept.handled
    assert kept.remedy == f'cleaning.{option} = "drop"'
    assert kept.remedy in default.remedy
    assert (default.count, default.examples) == (kept.count, kept.examples)
    if option != "overlap":
        splits["test"] = [*splits["test"], *labelled(("글 2", "x"), ("글 2", "y"))]
        partly = found(splits=["train"])
        assert not partly.handled
        assert "not from test" in partly.remedy


def test_pairs_are_compared_as_pairs(tmp_path: Path) -> None:
    pairs = [("가", "나", "x"), ("가", "다", "x"), ("가", "나", "y"), ("가", "", "x"), ("가", "다", "x")]
    train = [{"text": text, "other": other, "label": label} for text, other, label in pairs]
    rows = card_rows(tmp_path, {"train": train}, dataset={"text_pair": "other"})
    assert [one.row for one in only(contradicting_rows(rows)).examples] == [1, 3]
    assert [one.row for one in only(repeated_rows(rows)).examples] == [5]
    assert [(one.row, one.text) for one in only(empty_rows(rows)).examples] == [(4, "가 / ")]


def test_unlabelled_rows_repeat_texts_and_contradict_nothing(tmp_path: Path) -> None:
    train = labelled(*[(f"글 {number}", "xy"[number % 2]) for number in range(40)])
    unlabelled = [{"text": text} for text in ("가", "나", "가", "글 0", "글 0")]
    test = labelled(("나", "x"), ("다", "y"))
    rows = card_rows(tmp_path, {"train": train, "unlabelled": unlabelled, "test": test})
    assert [(one.split, one.row, one.note) for one in only(repeated_rows(rows)).examples] == [
        ("unlabelled", 3, "as row 1"),
        ("unlabelled", 5, "as row 4"),
    ]
    assert not list(contradicting_rows(rows))
    overlap = only(overlapping_rows(rows))
    assert (overlap.count, overlap.rows) == (1, 2 + len(rows.divided["validation"]))
    assert overlap.examples[0].note == "as unlabelled row 2, no label"
    assert overlap.handled


def test_rows_of_validation_and_test_that_are_equal_are_found_and_stay(tmp_path: Path) -> None:
    train = labelled(*[(f"글 {number}", "xy"[number % 2]) for number in range(40)])
    measured = labelled(("가", "x"), ("나", "y"))
    rows = card_rows(tmp_path, {"train": train, "validation": measured, "test": [*measured[::-1], *train[:1]]})
    finding = only(overlapping_rows(rows))
    assert finding.count == 3
    assert "test and train 1" in finding.title
    assert "test and validation 2" in finding.title
    assert not finding.handled


def test_a_label_that_differs_between_the_splits_is_told(tmp_path: Path) -> None:
    train = labelled(*[(f"글 {number}", "xy"[number % 2]) for number in range(40)])
    rows = card_rows(tmp_path, {"train": train, "test": labelled(("글 0", "y"), ("글 1", "y"), ("글 2", "x"))})
    assert "1 of them with another label" in only(overlapping_rows(rows)).title


def test_rows_without_a_fault_give_no_finding(tmp_path: Path) -> None:
    train = labelled(*[(f"글 {number}", "xy"[number % 2]) for number in range(40)])
    rows = card_rows(tmp_path, {"train": train, "test": labelled(("다른 글", "x"))})
    for search in (empty_rows, repeated_rows, contradicting_rows, overlapping_rows):
        assert not list(search(rows))


def test_rows_are_numbered_as_in_the_file_beside_rows_that_are_left_out(tmp_path: Path) -> None:
    train = labelled(("가", "?"), ("나", "x"), ("다", "?"), ("나", "x"), ("라", "y"))
    rows = card_rows(tmp_path, {"train": train}, dataset={"leave_out": ["?"]})
    (example,) = only(repeated_rows(rows)).examples
    assert (example.row, example.note) == (4, "as row 2")
