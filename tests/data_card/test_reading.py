from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from card_rows import Row, card_rows, labelled, spec_of

from kexp.data.prepare import prepare
from kexp.data_card.reading import read_rows
from kexp.plan.resolve import repeats_of

TRAIN = labelled(*[(f"글 {number % 55} 번", "긍정" if number % 3 else "부정") for number in range(60)], ("", "긍정"))
UNLABELLED: list[Row] = [{"text": f"이름 없는 글 {number} 좋다"} for number in range(30)]
OTHER = labelled(*[(f"다른 글 {number}", "긍정" if number % 2 else "부정") for number in range(8)])


@pytest.mark.parametrize(
    ("splits", "sections"),
    [
        (("train",), {}),
        (("train", "test"), {}),
        (("train", "validation", "test"), {"split": {"validation": 0}}),
        (("train",), {"split": {"folds": 3}}),
        (("train",), {"cleaning": {"duplicates": "keep", "contradictions": "keep", "overlap": "keep"}}),
        (("train", "unlabelled"), {}),
        (("train", "unlabelled"), {"labelled": {"per_class": 3}}),
        (("train", "unlabelled"), {"labelled": {"per_class": 3, "pool_from": "file"}}),
        (("train",), {"labelled": {"n": 5, "draws": 2}}),
        (("train", "unlabelled"), {"labelled": {"pool_from": "file", "seed_words": {"긍정": ["좋"], "부정": ["싫"]}}}),
        (("train", "unlabelled"), {"labelled": {"n": 6, "seed_words": {"긍정": ["좋"], "부정": ["번"]}}}),
    ],
)
def test_rows_are_those_that_are_trained_on(tmp_path: Path, splits: tuple[str, ...], sections: dict[str, Any]) -> None:
    own = {"train": TRAIN, "unlabelled": UNLABELLED, "validation": OTHER[:4], "test": OTHER}
    spec = spec_of(tmp_path, {split: own[split] for split in splits}, **sections)
    rows = read_rows(spec, next(repeats_of(spec)))
    data = prepare(spec, next(repeats_of(spec)))
    expected = dict(data.splits) if data.unlabelled is None else {**data.splits, "unlabelled": data.unlabelled}
    assert rows.divided.keys() == expected.keys()
    for split, frame in rows.divided.items():
        assert frame["text"].tolist() == expected[split].texts
        names = [data.labels[number] if split != "unlabelled" else "" for number in expected[split].labels]
        assert frame["label"].tolist() == names
        for home, row, text in zip(frame["split"], frame["row"], frame["text"], strict=True):
            assert own[home][row - 1]["text"] == text
    for split, frame in rows.read.items():
        assert frame["text"].tolist() == [row["text"] for row in own[split]]
        assert frame["row"].tolist() == list(range(1, len(frame) + 1))
        assert set(frame["split"]) == {split}


def test_equal_texts_have_equal_ids_in_all_splits(tmp_path: Path) -> None:
    train = labelled(("가", "x"), (unicodedata.normalize("NFD", "가"), "y"), (" 가 ", "x"), ("나", "y"))
    rows = card_rows(tmp_path, {"train": train, "test": labelled(("나", "x"), ("다", "y"))})
    one, two = (rows.read[split]["id"].tolist() for split in ("train", "test"))
    assert one[0] == one[1] == one[2] != one[3] == two[0] != two[1]
    assert rows.read["train"]["decomposed"].tolist() == [False, True, False, False]
    assert rows.read["train"]["text"].tolist() == ["가", "가", "가", "나"]


def test_texts_are_as_the_spec_trims_them(tmp_path: Path) -> None:
    train = labelled((" 가 ", "x"), ("가", "y"), ("나", "x"), ("다", "y"))
    rows = card_rows(tmp_path, {"train": train, "test": train}, cleaning={"trim": False})
    assert rows.read["train"]["text"].tolist() == [" 가 ", "가", "나", "다"]
    assert rows.read["train"]["id"].nunique() == 4


def test_data_that_cannot_be_trained_on_are_still_described(tmp_path: Path) -> None:
    rows = card_rows(tmp_path, {"train": labelled(("가", "x"), ("나", "x"))})
    assert rows.prepared is None
    assert not rows.divided
    assert rows.used is rows.read
    (remark,) = rows.remarks
    assert remark.startswith("kexp cannot train on these data: ")
    assert 'every train row has the label "x"' in remark


def test_what_is_unusual_in_the_data_is_remarked(tmp_path: Path) -> None:
    train = labelled(*[(f"글 {number}", ["긍정", "긍정 ", "nan"][number % 3]) for number in range(30)])
    rows = card_rows(tmp_path, {"train": [*train, *labelled(("글", "Nan"))] * 3, "test": train})
    assert any("missing one" in remark for remark in rows.remarks)


def test_splits_that_should_share_no_row(tmp_path: Path) -> None:
    splits = {"train": TRAIN, "test": OTHER}
    rows = card_rows(tmp_path, splits)
    between = [(measured, other) for measured, _, other, _ in rows.between()]
    assert between == [("validation", "train"), ("test", "train"), ("test", "validation")]
    frames = {(measured, other): (one, two) for measured, one, other, two in rows.between()}
    assert frames["test", "train"][1] is rows.read["train"]
    assert frames["validation", "train"][1] is rows.divided["train"]
    assert frames["test", "validation"][0] is rows.divided["test"]
