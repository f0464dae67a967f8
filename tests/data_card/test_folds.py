from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from card_rows import Row, card_rows, labelled

from kexp.data_card.folds import FOLDS, deal, sample, tied_rows

WORDS = ("영화", "영화!", "영화 ", "재미", "재 미", "FILM", "film", "...", "!", "끝")


def random_rows(seed: int, count: int = 120) -> list[Row]:
    draw = random.Random(seed)
    return [
        {
            "text": " ".join(draw.choices(WORDS, k=3)),
            "label": draw.choice(["x", "y"]),
            "group": draw.choice(["", "", "1", "2", "3", "4"]),
        }
        for _ in range(count)
    ]


def sets_by_hand(rows: list[Row], *, grouped: bool) -> list[set[int]]:
    """Join rows again and again until no two sets share a text or a group."""

    def marks(row: Row) -> set[str]:
        letters = "".join(letter for letter in row["text"].casefold() if letter.isalnum())
        found = {f"text {letters}" if letters else f"text {row['text'].strip()}"}
        return found | ({f"group {row['group']}"} if grouped and row["group"] else set())

    sets = [({number}, marks(row)) for number, row in enumerate(rows)]
    while True:
        for first, (members, own) in enumerate(sets):
            other = next((n for n in range(first + 1, len(sets)) if own & sets[n][1]), None)
            if other is not None:
                more, marked = sets.pop(other)
                sets[first] = (members | more, own | marked)
                break
        else:
            return [members for members, _ in sets]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_what_belongs_together_is_found_as_by_hand(tmp_path: Path, seed: int, grouped: bool) -> None:
    rows = random_rows(seed, 40)
    dataset = {"group": "group"} if grouped else {}
    tied = tied_rows(card_rows(tmp_path, {"train": rows}, dataset=dataset).read["train"])
    found = [{int(row) for row in np.flatnonzero(tied == number)} for number in range(tied.max() + 1)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, sets_by_hand(rows, grouped=grouped)))


def test_a_text_without_letters_is_a_text_of_its_own(tmp_path: Path) -> None:
    rows = labelled(("...", "x"), ("!", "y"), ("... ", "y"), ("영화", "x"), ("영화", "y"))
    assert tied_rows(card_rows(tmp_path, {"train": rows}).read["train"]).tolist() == [0, 1, 0, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_folds_divide_no_set_and_have_about_as_many_rows_of_every_label(seed: int) -> None:
    random_numbers = np.random.default_rng(seed)
    tied = np.unique(random_numbers.integers(0, 400, 600), return_inverse=True)[1]
    labels = random_numbers.choice(3, 600, p=[0.7, 0.2, 0.1])
    folds = deal(labels, tied, np.random.default_rng(seed))
    assert all(len(set(folds[tied == number])) == 1 for number in set(tied.tolist()))
    for label in range(3):
        sizes = Counter(folds[labels == label].tolist())
        assert set(sizes) == set(range(FOLDS))
        assert max(sizes.values()) - min(sizes.values()) <= 0.35 * (labels == label).sum() / FOLDS + 4
    assert (folds != deal(labels, tied, np.random.default_rng(seed + 1))).any()


@pytest.mark.parametrize(
    ("most", "characters", "count"), [(100, 10**6, 60), (20, 10**6, 20), (100, 600, 20), (10, 600, 10)]
)
def test_a_sample_has_so_many_rows_and_about_so_many_characters(
    tmp_path: Path, most: int, characters: int, count: int
) -> None:
    rows = [{"text": f"{number:030d}", "label": "xy"[number % 2]} for number in range(60)]
    frame = card_rows(tmp_path, {"train": rows}).read["train"]
    found = sample(frame, most, characters, seed=1)
    assert abs(len(found) - count) <= 1
    assert found["row"].is_monotonic_increasing
    assert found.index.tolist() == list(range(len(found)))
    assert found.equals(sample(frame, most, characters, seed=1))
    assert count == 60 or not found.equals(sample(frame, most, characters, seed=2))
    # Of a long text counts what a model reads of it: a thousand characters.
    long = frame.assign(text="가" * 100_000)
    assert len(sample(long, 100, 20_000, seed=1)) == 21
