from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from card_rows import Row, card_rows, labelled

from kexp.data_card.rows import CardRows
from kexp.data_card.tokens import Tokenised, lengths, samples, token_findings, tokenise_rows, tokens

WORDS = ["영화", "각본", "배우", "좋다", "나쁘다", "정말", "조금", "지루하다"]


def sentences(count: int, longest: int = 12) -> list[Row]:
    draw = random.Random(0)
    texts = (f"{' '.join(draw.choices(WORDS, k=draw.randint(1, longest)))} {number}" for number in range(count))
    return labelled(*[(text, "xy"[number % 2]) for number, text in enumerate(texts)])


def tokenised(folder: Path, train: Sequence[Row], **sections: Any) -> tuple[CardRows, Tokenised]:
    rows = card_rows(folder, {"train": train}, **sections)
    return rows, tokenise_rows(rows, lambda line: None)


def whole(rows: CardRows, found: Tokenised, split: str) -> list[list[int]]:
    """Return the ids of a split as its tokenizer gives them."""
    frame = rows.used[split]
    pairs = frame["text_pair"].tolist() if "text_pair" in frame else None
    return [
        found.tokenizer(text, None if pairs is None else pairs[number])["input_ids"]
        for number, text in enumerate(frame["text"])
    ]


@pytest.mark.parametrize("paired", [False, True])
def test_lengths_are_those_of_the_tokenizer_before_anything_is_cut(tmp_path: Path, paired: bool) -> None:
    train = [{**row, "other": f"둘째 글 {number} 좋다"} for number, row in enumerate(sentences(120))]
    rows, found = tokenised(
        tmp_path, train, dataset={"text_pair": "other"} if paired else {}, training={"max_length": 12}
    )
    described = {one.split: one for one in lengths(found, 12)}
    assert described.keys() == rows.divided.keys() == {"train", "validation", "test"}
    for split, one in described.items():
        by_hand = [len(ids) for ids in whole(rows, found, split)]
        assert one.rows == len(by_hand)
        assert one.mean == pytest.approx(sum(by_hand) / len(by_hand))
        assert (one.percentiles[0], one.percentiles[100]) == (min(by_hand), max(by_hand))
        assert one.cut == {cut: sum(length > cut for length in by_hand) for cut in (12, 16, 32, 64, 128, 256)}


def test_the_suggested_length_holds_nearly_all_rows_of_training(tmp_path: Path) -> None:
    train = sentences(300, longest=40)
    rows, found = tokenised(tmp_path, train, training={"max_length": 16}, backbone={"use": "tiny", "positions": 512})
    made = tokens(rows.spec, found)
    by_hand = sorted(len(ids) for ids in whole(rows, found, "train"))
    assert (made.max_length, made.positions) == (16, 512)
    assert made.suggested % 8 == 0
    assert sum(length <= made.suggested for length in by_hand) >= 0.99 * len(by_hand)
    assert sum(length <= made.suggested - 8 for length in by_hand) < 0.99 * len(by_hand)
    (cut,) = token_findings(rows, found, made)
    every = [ids for split in rows.used for ids in whole(rows, found, split)]
    assert cut.name == "cut"
    assert (cut.count, cut.rows) == (sum(len(ids) > 16 for ids in every), 300)
    assert cut.remedy == f"training.max_length = {made.suggested}"
    for example in cut.examples:
        assert len(found.tokenizer(example.text)["input_ids"]) > 16


def test_no_more_is_suggested_than_the_backbone_reads(tmp_path: Path) -> None:
    rows, found = tokenised(
        tmp_path, sentences(60, longest=60), training={"max_length": 16}, backbone={"use": "tiny", "positions": 20}
    )
    made = tokens(rows.spec, found)
    assert (made.suggested, made.positions) == (20, 20)


def test_a_length_that_is_enough_is_left_as_it_is(tmp_path: Path) -> None:
    train = [*sentences(250, longest=3), *labelled(("영화 " * 60, "x"))]
    rows, found = tokenised(tmp_path, train, training={"max_length": 48}, split={"validation": 0, "test": 1})
    made = tokens(rows.spec, found)
    (cut,) = token_findings(rows, found, made)
    assert cut.count == 1
    assert cut.handled
    rows, found = tokenised(tmp_path, train, training={"max_length": 128}, split={"validation": 0, "test": 1})
    assert not list(token_findings(rows, found, tokens(rows.spec, found)))


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    test = labelled(("頂上 영화", "x"), ("頂上", "y"), ("영화 좋다", "x"), ("龍 龍", "x"))
    rows = card_rows(tmp_path, {"train": sentences(100), "test": test}, split={"validation": 0})
    found = tokenise_rows(rows, lambda line: None)
    made = tokens(rows.spec, found)
    unknown = found.tokenizer.unk_token_id
    ids = [found.tokenizer(row["text"], add_special_tokens=False)["input_ids"] for row in test]
    count = sum(own.count(unknown) for own in ids)
    assert made.unknown == {"train": 0, "test": pytest.approx(count / sum(map(len, ids)))}
    findings = {finding.name: finding for finding in token_findings(rows, found, made)}
    assert findings.keys() == {"unknown-tokens", "only-unknown-tokens"}
    assert [one.row for one in findings["unknown-tokens"].examples] == [1, 2, 4]
    assert [one.row for one in findings["only-unknown-tokens"].examples] == [2, 4]
    assert findings["only-unknown-tokens"].rows == 104


def test_sample_rows_are_as_the_model_is_given_them(tmp_path: Path) -> None:
    rows, found = tokenised(tmp_path, sentences(60), training={"max_length": 6})
    shown = samples(rows, found)
    assert len(shown) == 3
    for sample, text in zip(shown, rows.divided["train"]["text"], strict=False):
        assert sample.text == text
        assert sample.ids == found.tokenizer(text, truncation=True, max_length=6)["input_ids"]
        assert sample.tokens == found.tokenizer.convert_ids_to_tokens(sample.ids)
        assert (sample.tokens[0], sample.tokens[-1]) == (found.tokenizer.cls_token, found.tokenizer.sep_token)
