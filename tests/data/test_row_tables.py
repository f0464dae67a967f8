from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexp.data.cleaning import clean, contradicting, drop_empty, drop_overlap, keys, lengths, normalise, repetitions
from kexp.data.row_tables import texts_of, with_texts, without_texts
from kexp.data.strata import codes
from kexp.spec.sections import Cleaning

CELLS = st.sampled_from(["가", "나", "가 ", " ", "", "\u3000", "a\x1fb", "a", unicodedata.normalize("NFD", "각"), "각"])
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS, st.sampled_from("xy")), min_size=1, max_size=25)


def table(rows: Sequence[tuple[str, str, str, str]], *left_out: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["text", "text_pair", "augmented", "label"], dtype="str")
    return frame.drop(columns=[*left_out]).assign(number=range(len(frame)))


def apart(frames: dict[str, pd.DataFrame], trim: bool) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    return without_texts({split: frame.copy() for split, frame in frames.items()}, trim)


@settings(deadline=None)
@given(ROWS, ROWS, st.booleans(), st.booleans())
def test_tables_without_texts_are_cleaned_as_those_with_them(
    train: list[tuple[str, str, str, str]], test: list[tuple[str, str, str, str]], paired: bool, trim: bool
) -> None:
    left_out = () if paired else ("text_pair",)
    frames = {"train": table(train, *left_out), "test": table(test, "augmented", *left_out)}
    tables, texts = apart(frames, trim)
    whole = {split: normalise(frame, trim) for split, frame in frames.items()}
    for split, frame in whole.items():
        for name in ("text", "text_pair", "augmented"):
            found = texts_of(tables[split], texts, name)
            assert found == frame[name].tolist() if name in frame else found is None
        assert lengths(tables[split]).tolist() == lengths(frame).tolist()
        assert contradicting(tables[split]).tolist() == contradicting(frame).tolist()
        assert repetitions(tables[split]).tolist() == repetitions(frame).tolist()
    cleaned = []
    for of in (tables, whole):
        counts: dict[str, int] = {}
        kept = clean(drop_empty(of["train"], counts), Cleaning(), (0, 9), counts)
        cleaned.append((drop_overlap(kept, [of["test"]], counts)["number"].tolist(), counts))
    assert cleaned[0] == cleaned[1]
    back = with_texts(tables["train"], texts)
    assert keys(back.drop(columns="id")).tolist() == keys(whole["train"]).tolist()


@pytest.mark.parametrize("values", [1, 2, 3])
def test_two_texts_of_one_hash_are_two(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    def weak(texts: Any, categorize: bool) -> Any:
        return np.array([ord(text) % values for text in texts], np.uint64)

    monkeypatch.setattr(pd.util, "hash_array", weak)
    words = ["가", "나", "가", "다", "나", "다", "나", "라", "가"]
    frames = {"train": pd.DataFrame({"text": words, "label": "x", "number": range(9)})}
    found = without_texts(frames, trim=True)[0]["train"]["id"]
    assert found.tolist() == [words.index(word) for word in words]


def test_missing_texts_are_empty_and_tables_lose_theirs() -> None:
    frame = pd.DataFrame({"text": ["가", None, " 나"], "label": ["x", "y", "x"], "number": range(3), "other": 1})
    tables, texts = without_texts({"train": frame}, trim=True)
    assert texts["text"] == ["가", "", "나"]
    assert tables["train"]["blank"].tolist() == [False, True, False]
    assert "text" not in frame
    assert set(tables["train"]) == {"label", "number", "place", "id", "characters", "blank"}


def test_many_texts_are_in_a_file_and_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [(f"글 {row} ", "짝", "뷰" * (row % 2), "xy"[row % 2]) for row in range(50)]
    tables, texts = apart({"train": table(rows)}, trim=True)
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("kexp.data.row_tables.MAPPED", 100)
    others, mapped = apart({"train": table(rows)}, trim=True)
    assert (tmp_path / "cache" / "texts").is_dir()
    assert others["train"].equals(tables["train"])
    assert mapped == texts
    (tmp_path / "cache" / "texts").rmdir()
    (tmp_path / "cache" / "texts").write_text("in the way")
    assert apart({"train": table(rows)}, trim=True)[1] == texts


def test_codes_are_places_of_names() -> None:
    assert codes(pd.Series(["b", "", "a", "c"]), ["a", "b"]).tolist() == [1, -1, 0, -1]
    assert codes(pd.Series(["b", "", "a"]).iloc[::-1], ["", "a", "b"]).tolist() == [1, 0, 2]
