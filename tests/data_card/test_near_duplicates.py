from __future__ import annotations

import random
from pathlib import Path

import pytest
from card_rows import card_rows, labelled

from kexp.data_card.near_duplicates import near_duplicates

WORDS = [
    f"{first}{second}{third}"
    for first in "가나다라마바사아"
    for second in "구누두루무부수우"
    for third in "기니디리미비시이"
]


def texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=8)) for _ in range(count)]


def test_texts_that_differ_little_are_found_within_a_split(tmp_path: Path) -> None:
    own = texts(200, seed=1)
    near = [f"{own[0]} ㅋㅋ", own[1].replace(" ", ""), own[1], f"{own[2]}!"]
    train = labelled(*[(text, "xy"[number % 2]) for number, text in enumerate(own)])
    train += labelled(*zip(near, "xyyx", strict=True))
    (finding,) = near_duplicates(
        card_rows(tmp_path, {"train": train, "test": labelled(*zip(texts(9, 2), "xyxyxyxyx", strict=True))})
    )
    # Row 203 is equal to row 2, which is another finding; the texts of rows 1, 2, 3, 201, 202 and 204 resemble one.
    assert finding.name == "near-duplicates"
    assert (finding.count, finding.rows) == (6, 203 + 9)
    assert finding.title == "6 of 212 different texts are similar to another one (train 6)"
    assert [(one.row, one.split) for one in finding.examples] == [(202, "train"), (204, "train"), (201, "train")]
    assert finding.examples[0].note == f"1.00 like train row 2, y: {own[1]}"
    assert "dataset.group" in finding.remedy


def test_another_label_is_told(tmp_path: Path) -> None:
    own = texts(60, seed=3)
    train = labelled(
        *[(text, "xy"[number % 2]) for number, text in enumerate(own)], (f"{own[0]}!", "y"), (f"{own[2]}!", "x")
    )
    splits = {"train": train, "test": labelled(("글", "x"))}
    (finding,) = near_duplicates(card_rows(tmp_path, splits, split={"validation": 0}))
    assert finding.title.endswith("; 2 of them have another label than the text they resemble")


@pytest.mark.parametrize("published", [True, False])
def test_texts_that_differ_little_are_found_between_splits(tmp_path: Path, published: bool) -> None:
    own = texts(200, seed=4)
    if published:
        measured = [f"{text}?" for text in own[:7]] + own[7:10] + texts(40, seed=5)
        splits = {"train": own, "test": measured}
    else:
        splits = {"train": [*own, *(f"{text}?" for text in own)]}
    made = {
        split: labelled(*[(text, "xy"[number % 2]) for number, text in enumerate(of)]) for split, of in splits.items()
    }
    rows = card_rows(tmp_path, made, split={"validation": 0, "test": 0.2})
    found = {finding.name: finding for finding in near_duplicates(rows)}["near-duplicates-between"]
    train, test = (set(rows.divided[split]["text"]) for split in ("train", "test"))
    if published:
        assert found.count == 7
        assert found.rows == 50
        assert "files" in found.remedy
    else:
        near = {text for text in test if {f"{text}?", text.removesuffix("?")} & train}
        assert found.count == len(near) > 20
        assert found.rows == 80
        assert "dataset.group" in found.remedy
    assert f"test and train {found.count}" in found.title
    for example in found.examples:
        assert example.split == ("test" if published else "train")
        assert example.note.split(": ", 1)[1].removesuffix("?") == example.text.removesuffix("?")


def test_different_texts_are_no_finding(tmp_path: Path) -> None:
    train = labelled(*[(text, "xy"[number % 2]) for number, text in enumerate(texts(200, seed=6))])
    assert not list(
        near_duplicates(card_rows(tmp_path, {"train": [*train, *train[:10], *labelled(("", "x"), ("", "y"))]}))
    )
