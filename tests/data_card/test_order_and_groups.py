from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from card_rows import Row, card_rows, labelled

from kexp.data_card.finding import Finding
from kexp.data_card.groups import groups_between
from kexp.data_card.order import order
from kexp.data_card.splits import imbalance, split_rows


def ordered(folder: Path, labels: str, **sections: Any) -> list[Finding]:
    train = labelled(*[(f"글 {number}", label) for number, label in enumerate(labels)])
    return list(order(card_rows(folder, {"train": train}, **sections)))


def test_train_that_is_sorted_by_label_is_found(tmp_path: Path) -> None:
    (finding,) = ordered(tmp_path, "x" * 50 + "y" * 50, sampler="sequential")
    assert finding.name == "sorted-by-label"
    assert "the label changes 1 time in 100 rows, about 50 in a random order" in finding.title
    assert (finding.count, finding.rows, finding.handled) == (100, 100, False)
    assert finding.remedy == 'sampler = "random"'
    assert [(one.row, one.note[:7]) for one in finding.examples] == [(1, "50 rows"), (51, "50 rows")]


def test_a_sampler_that_shuffles_deals_with_it(tmp_path: Path) -> None:
    (finding,) = ordered(tmp_path, "x" * 50 + "y" * 50)
    assert finding.handled


def test_a_long_run_in_a_random_order_is_found(tmp_path: Path) -> None:
    draw = random.Random(1)
    shuffled = "".join(draw.choices("xyz", k=600))
    assert not ordered(tmp_path, shuffled)
    (finding,) = ordered(tmp_path, shuffled[:300] + "z" * 40 + shuffled[300:])
    run = 40 + len(shuffled[300:]) - len(shuffled[300:].lstrip("z")) + 300 - len(shuffled[:300].rstrip("z"))
    assert finding.name == "runs-of-one-label"
    assert finding.count == run
    assert finding.examples[0].row == len(shuffled[:300].rstrip("z")) + 1
    assert finding.examples[0].note == f"{run} rows from here on have this label"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("shares", ["xy", "x" * 19 + "y", "abcdefghij"])
def test_a_random_order_is_no_finding(tmp_path: Path, seed: int, shares: str) -> None:
    labels = shares * 40
    assert not ordered(tmp_path, "".join(random.Random(seed).sample(labels, len(labels))))


def test_one_label_alone_has_no_order(tmp_path: Path) -> None:
    assert not ordered(tmp_path, "x" * 30)


def grouped(*rows: tuple[str, str | None]) -> list[Row]:
    return [{"text": text, "label": "xy"[number % 2], "speaker": group} for number, (text, group) in enumerate(rows)]


def test_groups_in_two_published_splits_are_found(tmp_path: Path) -> None:
    train = grouped(*[(f"글 {number}", f"화자 {number // 4}") for number in range(40)], ("가", None), ("나", ""))
    test = grouped(("다", "화자 3"), ("라", "화자 99"), ("마", "화자 3"), ("바", "화자 9"), ("사", None), ("아", ""))
    rows = card_rows(tmp_path, {"train": train, "test": test}, dataset={"group": "speaker"})
    (finding,) = groups_between(rows)
    assert (finding.count, finding.rows) == (3, 6 + len(rows.divided["validation"]))
    assert "2 groups" in finding.title
    assert "test and train 3" in finding.title
    assert [(one.row, one.note) for one in finding.examples] == [(1, 'group "화자 3"'), (4, 'group "화자 9"')]


def test_groups_that_kexp_divides_are_found_where_the_spec_lets_it(tmp_path: Path) -> None:
    train = grouped(*[(f"글 {number}", f"화자 {number % 10}") for number in range(200)])
    assert not list(groups_between(card_rows(tmp_path, {"train": train}, dataset={"group": "speaker"})))
    rows = card_rows(tmp_path, {"train": train}, dataset={"group": "speaker"}, split={"group": False})
    (finding,) = groups_between(rows)
    assert finding.remedy == "split.group = true"
    assert finding.count == 40
    assert not list(groups_between(card_rows(tmp_path, {"train": train})))


def test_classes_of_unequal_size_are_found(tmp_path: Path) -> None:
    labels = ["x"] * 100 + ["y"] * 12 + ["z"] * 70
    train = labelled(*[(f"글 {number}", label) for number, label in enumerate(random.Random(0).sample(labels, 182))])
    test = labelled(("가", "x"), ("나", "y"))
    rows = card_rows(tmp_path, {"train": train, "test": test}, split={"validation": 0})
    (finding,) = imbalance(rows)
    assert (finding.count, finding.rows) == (12, 182)
    assert finding.title == 'label "x" has 100 train rows, 8 times as many as "y" with 12'
    assert {one.label for one in finding.examples} == {"y"}
    assert not finding.handled
    assert not list(imbalance(card_rows(tmp_path, {"train": train, "test": test}, cleaning={"balance": True})))


def test_rows_are_counted_by_split_and_label(tmp_path: Path) -> None:
    train = labelled(
        *[(f"글 {number}", "xyz"[number % 3]) for number in range(90)], ("글 0", "x"), ("글 1", "y"), ("", "z")
    )
    rows = card_rows(tmp_path, {"train": train, "unlabelled": [{"text": "가"}, {"text": "가"}]})
    found = {one.split: one for one in split_rows(rows)}
    assert list(found) == ["train", "validation", "test", "unlabelled"]
    assert found["train"].read == {"x": 31, "y": 31, "z": 31}
    for split in ("train", "validation", "test"):
        assert rows.prepared is not None
        numbers = Counter(rows.prepared.labels[number] for number in rows.prepared.splits[split].labels)
        assert found[split].trained == numbers
    assert sum(sum(found[split].trained.values()) for split in ("train", "validation", "test")) == 90
    assert found["train"].dropped == {"empty": 1, "duplicates": 2, "taken_for_test": 9, "taken_for_validation": 9}
    assert (found["unlabelled"].read, found["unlabelled"].trained) == ({"": 2}, {"": 1})
    assert (found["test"].read, found["test"].dropped) == ({}, {})
