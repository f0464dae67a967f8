from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from card_rows import Row, card_rows

from kexp.data_card import give_aways as module
from kexp.data_card.give_aways import find, give_aways
from kexp.data_card.traits import PROPERTIES, Trait, completed, traits
from kexp.sample_reviews import korean_reviews


def reviews(count: int = 480) -> list[Row]:
    texts, labels = korean_reviews(count)
    return [{"text": text, "label": ["bad", "good"][label]} for text, label in zip(texts, labels, strict=True)]


def changed(rows: list[Row], change: Callable[[str], str], share: float, label: str, seed: int = 0) -> list[Row]:
    """Change a share of the texts of a label."""
    own = [number for number, row in enumerate(rows) if row["label"] == label]
    chosen = set(random.Random(seed).sample(own, round(share * len(own))))
    return [{**row, "text": change(row["text"])} if number in chosen else row for number, row in enumerate(rows)]


def titles(folder: Path, rows: list[Row], **options: object) -> list[str]:
    return [finding.title for finding in give_aways(card_rows(folder, {"train": rows}, **options))]


def test_natural_reviews_give_nothing_away(tmp_path: Path) -> None:
    assert titles(tmp_path, reviews()) == []


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda text: f"[광고] {text}", '"[광고]"'),
        (lambda text: f"[광고]{text}", '"[광고]'),
        (lambda text: f"{text}#협찬#", '#협찬#"'),
        (lambda text: text.replace(" ", " <br /> ", 1), '<br'),
        (lambda text: f"{text}\u200b", '"<U+200B>"'),
        (lambda text: f"{text} https://naver.me/{len(text)}", "https://naver.me/"),
        (lambda text: f"{text.replace(' ', chr(10), 1)}", "a line break"),
    ],
    ids=["eojeol", "glued", "at the end", "markup", "invisible", "URL", "line break"],
)  # fmt: skip
def test_a_marker_of_a_tenth_of_a_label_is_found(tmp_path: Path, change: Callable[[str], str], shown: str) -> None:
    rows = changed(reviews(), change, 0.1, "good")
    count = sum(row["text"] != before["text"] for row, before in zip(rows, reviews(), strict=True))
    (found,) = give_aways(card_rows(tmp_path, {"train": rows}))
    assert found.title.startswith(f"{count} of 480 train texts have ")
    assert shown in found.title
    assert ', 100% of them with the label "good", which 50% of all texts have; 10% of the texts' in found.title
    assert (found.count, found.rows) == (count, 480)
    for example in found.examples:
        assert rows[example.row - 1]["text"].strip() == example.text
        assert example.label == "good"


def test_a_marker_that_is_nearly_always_right_is_found(tmp_path: Path) -> None:
    rows = changed(reviews(), lambda text: f"[광고] {text}", 0.5, "bad")
    rows = changed(rows, lambda text: f"[광고] {text}", 0.005, "good")
    (title,) = titles(tmp_path, rows)
    assert title.startswith('121 of 480 train texts have "[광고]", 99% of them with the label "bad"')
    rows = changed(rows, lambda text: f"[광고] {text}", 0.3, "good", seed=1)
    assert titles(tmp_path, rows) == []


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda text: text.rstrip(".!?") + "?", '"?"'),
        (lambda text: f"솔직히 {text}", '"솔직히"'),
        (lambda text: f"{text} 😀", '"😀"'),
        (lambda text: f"{text} 그리고 음악과 이야기와 배우의 연기와 화면까지", "a length "),
        (lambda text: f"{text} 7", '"7"'),
    ],
    ids=["punctuation", "word", "emoji", "length", "digit"],
)
def test_words_punctuation_and_length_need_half_of_a_label(
    tmp_path: Path, change: Callable[[str], str], shown: str
) -> None:
    assert titles(tmp_path / "few", changed(reviews(), change, 0.3, "good")) == []
    found = titles(tmp_path / "many", changed(reviews(), change, 0.8, "good"))
    assert any(shown in title for title in found), found


def test_length_is_found_beside_a_marker(tmp_path: Path) -> None:
    rows = changed(reviews(), lambda text: f"{text} 그리고 음악과 이야기와 배우의 연기와 화면까지", 0.9, "good")
    rows = changed(rows, lambda text: f"[광고] {text}", 0.3, "bad")
    found = " ".join(titles(tmp_path, rows))
    assert '"[광고]"' in found
    assert "a length " in found


def test_a_length_and_its_opposite_are_one_finding(tmp_path: Path) -> None:
    texts = [(f"{'가나다라 ' * (2 if number % 2 else 6)}{number}", "xy"[number % 2]) for number in range(200)]
    (title,) = titles(tmp_path, [{"text": text, "label": label} for text, label in texts])
    assert title.startswith("100 of 200 train texts have a length ")


def test_what_most_texts_of_any_label_have_gives_nothing_away(tmp_path: Path) -> None:
    rows = [
        {"text": f"[글] {row['text']}", "label": "good" if number % 25 else "bad"}
        for number, row in enumerate(reviews())
    ]
    assert titles(tmp_path, rows) == []


@pytest.mark.parametrize("seed", range(5))
def test_few_rows_give_nothing_away_by_chance(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    letters = "가나다라마바사아자차카타파하[]#/*"
    rows = [
        {"text": "".join(draw.choices(letters, k=12)), "label": "xy"[number % 2]} for number in range(24)
    ]  # fmt: skip
    assert titles(tmp_path, rows) == []


def test_repetitions_count_once(tmp_path: Path) -> None:
    assert titles(tmp_path, [*reviews(), *[{"text": "[광고] 최고", "label": "good"}] * 200]) == []


def test_the_second_text_of_a_pair_is_looked_at(tmp_path: Path) -> None:
    rows = changed(reviews(), lambda text: f"[광고] {text}", 0.4, "good")
    pairs = [{"text": "감상", "text_pair": row["text"], "label": row["label"]} for row in rows]
    (title,) = titles(tmp_path, pairs, dataset={"text_pair": "text_pair"})
    assert '"[광고]"' in title


def test_counts_are_of_all_rows_where_traits_are_looked_for_in_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE", 200)
    (title,) = titles(tmp_path, changed(reviews(), lambda text: f"[광고] {text}", 0.4, "good"))
    assert title.startswith('96 of 480 train texts have "[광고]", 100% of them with the label "good"')


def test_the_strongest_trait_is_the_one_that_saves_most_errors() -> None:
    texts = [
        f"{'[가]' if number < 40 else ''}{'[나]' if 50 <= number < 75 else ''} {number:03d}" for number in range(100)
    ]
    labels = np.repeat([0, 1], 50)
    found = find(texts, labels, 2)
    assert [str(one.trait) for one in found] == ['"[가]"', '"[나]"']
    # By hand: 40 rows of label 0 have [가], all others are said to be 1: 90 of 100 are right, 50 by the largest label.
    assert [one.saved for one in found] == [(90 - 50) / 50, (75 - 50) / 50]


@pytest.mark.parametrize("kind", ["eojeol", "characters", "first eojeol", "last eojeol", "property"])
def test_a_text_has_the_traits_that_are_found_in_it(kind: str) -> None:
    texts = [*korean_reviews(60)[0], "", "  ", "[광고] 최고!! 😀", "a1 https://x.kr\n둘", "끝."]
    every = {trait for text in texts for trait in traits(text) if trait[0] == kind}
    assert len(every) >= (9 if kind == "property" else 10)
    for trait in every:
        expected = [trait in traits(text) for text in texts]
        assert Trait(*trait).of(texts).tolist() == expected


def test_markers_are_symbols_that_say_nothing_of_the_meaning() -> None:
    for marker in ("[광고]", "#", "<br", "\u200b", "●", "@영화", "a URL", "a|b"):
        assert Trait("property" if marker in PROPERTIES else "characters", marker).is_marker, marker
    for word in (
        "최고",
        "ㅋㅋ",
        "ㅠㅠ",
        "^^",
        "...",
        "!!",
        "😀",
        "👍🏽",
        "♥",
        "a digit",
        "1점",
        "좋아요~",
        "“말”",
        "ok",
    ):
        assert not Trait("property" if word in PROPERTIES else "characters", word).is_marker, word


def test_a_marker_is_completed_by_what_stands_beside_it() -> None:
    texts = ["가 [광고] 나", "[광고]다", "[광고] 라마", "바[광고] "]
    assert completed(Trait("characters", "[광"), texts).value == "[광고]"
    assert completed(Trait("characters", "고]"), texts).value == "[광고]"
    assert completed(Trait("eojeol", "[광고]"), texts) == Trait("eojeol", "[광고]")
    assert completed(Trait("property", "a URL"), texts) == Trait("property", "a URL")


@pytest.mark.shared
def test_real_reviews_give_nothing_away(tmp_path: Path, shared: Path) -> None:
    lines = (shared / "data/nsmc/ratings_train.txt").read_text("utf-8").splitlines()[1:20001]
    rows = [{"text": text, "label": label} for _, text, label in (line.split("\t") for line in lines)]
    assert titles(tmp_path, rows) == []
