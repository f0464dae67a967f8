"""A synthetic corpus with faults that are known: the card finds every one, and none in the corpus without them."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from card_rows import Row, labelled, spec_of

from kexp.data_card.card import DataCard, make_card
from kexp.data_card.finding import Finding
from kexp.plan.resolve import Variant
from kexp.sample_reviews import korean_reviews
from kexp_korean.dialect_grammar import utterances

KINDS = {
    "duplicates", "contradictions", "overlap", "near-duplicates", "near-duplicates-between", "label-errors",
    "give-away", "shift", "decomposed", "emoji", "empty", "sorted-by-label", "runs-of-one-label",
}  # fmt: skip
"""The findings that the planted faults should lead to."""


SEED = 1
"""Of the corpus: with other ones, two of the texts that are composed at random may differ in a letter alone."""


@dataclass
class Planted:
    """The splits of a corpus, and the numbers of the train rows, from 1, with each fault."""

    splits: dict[str, list[Row]]
    rows: dict[str, set[int]] = field(default_factory=dict)


def corpus(seed: int, count: int = 1500) -> list[Row]:
    """Return different rows of everyday talk and a review, with the label of the review."""
    texts, labels = korean_reviews(480)
    said = [one.standard for one in utterances("jeju", 2 * count, seed=seed)]
    distinct = [*dict.fromkeys(said)][:count]
    rows = labelled(
        *(
            (f"{talk} {texts[number % 480]}", ["나쁨", "좋음"][labels[number % 480]])
            for number, talk in enumerate(distinct)
        )
    )
    random.Random(seed).shuffle(rows)
    return rows


def clean() -> dict[str, list[Row]]:
    rows = corpus(SEED)
    return {"train": rows[:1000], "test": rows[1000:1300], "unlabelled": [{"text": row["text"]} for row in rows[1300:]]}


def other(label: str) -> str:
    return {"좋음": "나쁨", "나쁨": "좋음"}[label]


def planted() -> Planted:
    """Return the corpus with faults of every kind."""
    splits, draw = clean(), random.Random(1)
    train = [{**row, "faults": set()} for row in splits["train"]]
    for row in draw.sample([row for row in train if row["label"] == "좋음"], 150):
        row |= {"text": f"[광고] {row['text']}", "faults": {"give-away"}}
    for row in draw.sample(train, 50):
        row |= {"label": other(row["label"]), "faults": row["faults"] | {"label-errors"}}
    untouched = [row for row in train if not row["faults"]]
    repeated, contradicted, decomposed, smiling = (draw.sample(untouched, count) for count in (30, 10, 25, 15))
    for row in decomposed:
        row |= {"text": unicodedata.normalize("NFD", row["text"]), "faults": row["faults"] | {"decomposed"}}
    for row in smiling:
        row |= {"text": f"{row['text']} 😀", "faults": row["faults"] | {"emoji"}}
    train += [{**row, "faults": {"duplicates"}} for row in repeated]
    train += [{**row, "label": other(row["label"]), "faults": {"contradictions"}} for row in contradicted]
    train += [{"text": text, "label": "좋음", "faults": {"empty"}} for text in ("", " ", "\u3000", "\t", " ")]
    train.sort(key=lambda row: row["label"])
    leaked, nearly = draw.sample(untouched, 20), draw.sample(untouched, 20)
    test = [
        *splits["test"],
        *({"text": row["text"], "label": row["label"]} for row in leaked),
        *({"text": f"{row['text']}!!", "label": row["label"]} for row in nearly),
    ]
    away = [{"text": f"주문하신 상품이 배송되었습니다: {row['text']}"} for row in splits["unlabelled"]]
    rows = {kind: {number for number, row in enumerate(train, 1) if kind in row["faults"]} for kind in sorted(KINDS)}
    given = [{"text": row["text"], "label": row["label"]} for row in train]
    return Planted({"train": given, "test": test, "unlabelled": away}, rows)


def card_of(folder: Path, splits: dict[str, list[Row]]) -> DataCard:
    return make_card(Variant("default", spec_of(folder, splits)), lambda line: None)


@pytest.fixture(scope="module")
def faulty() -> Planted:
    return planted()


@pytest.fixture(scope="module")
def found(faulty: Planted, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    card = card_of(tmp_path_factory.mktemp("planted"), faulty.splits)
    names = [finding.name for finding in card.findings]
    assert len(set(names) & KINDS) == len([name for name in names if name in KINDS]), names
    return {finding.name: finding for finding in card.findings}


def test_every_kind_of_fault_is_found(found: dict[str, Finding]) -> None:
    assert KINDS - set(found) == {"runs-of-one-label"}  # a sorted order is told as that


def test_a_corpus_without_faults_gives_no_finding_of_these_kinds(tmp_path: Path) -> None:
    found = card_of(tmp_path, clean()).findings
    assert [(finding.name, finding.title) for finding in found if finding.name in KINDS] == []


@pytest.mark.parametrize("kind", ["give-away", "decomposed", "emoji", "empty", "duplicates"])
def test_as_many_rows_are_found_as_were_planted(found: dict[str, Finding], faulty: Planted, kind: str) -> None:
    rows = faulty.rows[kind]
    # Rows that leaked into test have the fault there too.
    in_train = re.search(r"\(train (\d+)", found[kind].title)
    assert (int(in_train[1]) if in_train else found[kind].count) == len(rows)
    assert {example.row for example in found[kind].examples if example.split == "train"} <= rows


def test_contradicting_rows_come_with_those_that_they_contradict(found: dict[str, Finding]) -> None:
    assert found["contradictions"].count == 20


def test_leakage_is_found_exact_and_near(found: dict[str, Finding]) -> None:
    assert found["overlap"].count == 20
    assert found["near-duplicates-between"].count >= 20


def test_half_of_the_flipped_labels_are_among_the_first_tenth(found: dict[str, Finding], faulty: Planted) -> None:
    first = {row for split, row in found["label-errors"].named[: len(faulty.splits["train"]) // 10] if split == "train"}
    flipped = faulty.rows["label-errors"]
    assert len(flipped) == 50
    assert len(first & flipped) >= 0.7 * len(flipped)


def test_the_marker_is_named(found: dict[str, Finding]) -> None:
    assert 'train texts have "[광고]", 9' in found["give-away"].title
    assert 'with the label "좋음"' in found["give-away"].title


def test_the_order_and_the_shift_are_told(found: dict[str, Finding]) -> None:
    assert found["sorted-by-label"].title.startswith("train is sorted by label")
    assert "labelled and unlabelled rows are of different kinds" in found["shift"].title
    assert "상품이" in found["shift"].title
