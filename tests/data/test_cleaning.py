"""Cleaning against a plain-Python reference: the same rows stay, and every row that goes is counted once."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kexp.data.cleaning import (
    cap_classes,
    clean,
    drop_empty,
    drop_overlap,
    length_bounds,
    lengths,
    need_rows,
    normalise,
)
from kexp.errors import DataError
from kexp.spec.sections import Cleaning

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NFD = unicodedata.normalize("NFD", "한국어")
NO_BOUNDS = (0.0, float("inf"))


def frame(
    texts: list[str | None], labels: list[str] | None = None, pairs: list[str | None] | None = None
) -> pd.DataFrame:
    columns: dict[str, Any] = {"text": texts, "label": labels or ["a"] * len(texts)}
    if pairs is not None:
        columns["text_pair"] = pairs
    return pd.DataFrame(columns).assign(number=range(len(texts)))


def cleaned(rows: pd.DataFrame, **options: Any) -> tuple[list[int], dict[str, int]]:
    """Return the numbers of the rows that stay, and the counts."""
    counts: dict[str, int] = {}
    kept = clean(rows, Cleaning(**options), NO_BOUNDS, counts)
    return kept["number"].tolist(), counts


# --- texts -----------------------------------------------------------------------------------------------------------


def test_decomposed_hangul_is_composed() -> None:
    assert len(NFD) == 8
    changed = normalise(frame([f"{NFD} 좋아"], pairs=[NFD]), trim=True)
    assert changed["text"].tolist() == ["한국어 좋아"]
    assert changed["text_pair"].tolist() == ["한국어"]


def test_compatibility_characters_are_left_alone() -> None:
    texts = ["ㅋㅋㅋ", "①", "Ａ", "㈜"]
    assert normalise(frame(texts), trim=True)["text"].tolist() == texts


def test_white_space_is_trimmed_from_both_ends_and_only_if_asked() -> None:
    rows = frame([" \t가 나\u3000\n"], pairs=["\u00a0다 "])
    assert normalise(rows, trim=True)["text"].tolist() == ["가 나"]
    assert normalise(rows, trim=True)["text_pair"].tolist() == ["다"]
    assert normalise(rows, trim=False)["text"].tolist() == [" \t가 나\u3000\n"]


@PATIENT
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_every_text_is_normalised_and_trimmed_as_python_does_it(texts: list[str]) -> None:
    expected = [unicodedata.normalize("NFC", text).strip() for text in texts]
    assert normalise(frame(list(texts)), trim=True)["text"].tolist() == expected


def test_normalising_leaves_the_given_table_as_it_was() -> None:
    rows = frame([NFD])
    normalise(rows, trim=True)
    assert rows["text"].tolist() == [NFD]


def test_rows_without_text_are_dropped_and_counted() -> None:
    counts: dict[str, int] = {}
    rows = normalise(frame(["가", "", " \u3000", None, "나"]), trim=False)
    assert drop_empty(rows, counts)["number"].tolist() == [0, 4]
    assert counts == {"empty": 3}


def test_a_pair_of_which_one_text_is_missing_is_empty_and_counts_once() -> None:
    counts: dict[str, int] = {}
    rows = normalise(frame(["가", "", "나", ""], pairs=["가", "나", None, " "]), trim=True)
    assert drop_empty(rows, counts)["number"].tolist() == [0]
    assert counts == {"empty": 3}


def test_lengths_are_characters_and_pairs_count_together() -> None:
    assert lengths(frame(["한국어", "😀 a"])).tolist() == [3, 3]
    assert lengths(frame(["한국어"], pairs=["가나"])).tolist() == [5]


# --- repetitions and contradictions ----------------------------------------------------------------------------------


def test_the_first_of_equal_rows_stays() -> None:
    kept, counts = cleaned(frame(["가", "나", "가", "가"]))
    assert kept == [0, 1]
    assert counts["duplicates"] == 2


def test_duplicates_may_be_kept() -> None:
    kept, counts = cleaned(frame(["가", "나", "가"]), duplicates="keep")
    assert kept == [0, 1, 2]
    assert "duplicates" not in counts


def test_all_rows_of_a_text_with_two_labels_are_dropped_and_are_no_duplicates() -> None:
    kept, counts = cleaned(frame(["가", "가", "가", "나"], ["a", "b", "a", "a"]))
    assert kept == [3]
    assert (counts["contradictions"], counts["duplicates"]) == (3, 0)


def test_contradictions_may_be_kept_and_are_told_without_counting_as_dropped() -> None:
    kept, counts = cleaned(frame(["가", "가", "가", "나"], ["a", "b", "a", "a"]), contradictions="keep")
    assert kept == [0, 1, 3]
    assert "contradictions" not in counts
    assert counts["contradictions_kept"] == 3
    assert counts["duplicates"] == 1


def test_pairs_are_equal_only_if_both_texts_are() -> None:
    rows = frame(["가", "가", "가", "가나"], ["a", "b", "a", "b"], ["나", "다", "나", ""])
    kept, counts = cleaned(rows)
    assert kept == [0, 1, 3]
    assert (counts["contradictions"], counts["duplicates"]) == (0, 1)


# --- lengths ---------------------------------------------------------------------------------------------------------


def test_bounds_in_characters_are_inclusive() -> None:
    kept, counts = cleaned(frame(["가", "가나", "가나다", "가나다라"]), min_characters=2, max_characters=3)
    assert kept == [1, 2]
    assert (counts["too_short"], counts["too_long"]) == (1, 1)


def test_pairs_are_as_long_as_both_texts() -> None:
    kept, _ = cleaned(frame(["가", "가나"], pairs=["나", "다라"]), max_characters=3)
    assert kept == [0]


@pytest.mark.parametrize(("low", "high"), [(0, 100), (5, 95), (25, 75), (50, 100), (0, 10), (33.3, 66.6)])
def test_percentiles_are_those_of_numpy(low: float, high: float) -> None:
    sizes = np.random.default_rng(0).integers(1, 60, size=101)
    found = length_bounds(frame(["가" * size for size in sizes]), Cleaning(min_percentile=low, max_percentile=high))
    expected = (np.percentile(sizes, low) if low else 0, np.percentile(sizes, high) if high < 100 else np.inf)
    assert found == pytest.approx(expected)


def test_the_stricter_of_characters_and_percentiles_wins() -> None:
    rows = frame(["가" * size for size in range(1, 11)])
    for bounds, options, expected in [
        ((3.0, 8.0), {"min_characters": 2, "max_characters": 9}, range(3, 9)),
        ((3.0, 8.0), {"min_characters": 4, "max_characters": 7}, range(4, 8)),
        ((2.5, 7.5), {}, range(3, 8)),
    ]:
        counts: dict[str, int] = {}
        kept = clean(rows, Cleaning(**options), bounds, counts)
        assert lengths(kept).tolist() == list(expected)
        assert counts["too_short"] + counts["too_long"] == 10 - len(expected)


# --- train alone -----------------------------------------------------------------------------------------------------


def test_train_rows_that_stand_in_other_splits_are_dropped_whatever_their_label() -> None:
    counts: dict[str, int] = {}
    train = frame(["가", "나", "가", "다"], ["a", "a", "b", "b"])
    kept = drop_overlap(train, [frame(["가"], ["a"]), frame(["다", "라"], ["a", "a"])], counts)
    assert kept["number"].tolist() == [1]
    assert counts == {"overlap": 3}


def test_overlap_of_pairs_needs_both_texts() -> None:
    counts: dict[str, int] = {}
    train = frame(["가", "가"], pairs=["나", "다"])
    assert drop_overlap(train, [frame(["가"], pairs=["다"])], counts)["number"].tolist() == [0]
    assert counts == {"overlap": 1}


def test_classes_are_capped_balanced_or_left_alone() -> None:
    train = frame([f"글 {row}" for row in range(30)], ["a"] * 16 + ["b"] * 9 + ["c"] * 5)
    for options, expected in [
        ({}, {"a": 16, "b": 9, "c": 5}),
        ({"max_per_class": 7}, {"a": 7, "b": 7, "c": 5}),
        ({"balance": True}, {"a": 5, "b": 5, "c": 5}),
        ({"balance": True, "max_per_class": 3}, {"a": 3, "b": 3, "c": 3}),
        ({"balance": True, "max_per_class": 8}, {"a": 5, "b": 5, "c": 5}),
    ]:
        counts: dict[str, int] = {}
        kept = cap_classes(train, Cleaning(**options), 0, counts)
        assert Counter(kept["label"]) == expected
        assert counts.get("over_class_limit", 0) == 30 - len(kept)
        assert kept["number"].is_monotonic_increasing


def test_a_cap_draws_by_the_seed_and_not_from_the_front() -> None:
    train = frame([f"글 {row}" for row in range(40)])
    drawn = [cap_classes(train, Cleaning(max_per_class=10), seed, {})["number"].tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert max(drawn[0]) > 20


def test_a_split_of_which_nothing_is_left_is_refused_with_what_became_of_its_rows() -> None:
    need_rows(frame(["가"]), "train", {})
    with pytest.raises(DataError) as caught:
        need_rows(frame([]), "test", {"read": 5, "empty": 2, "duplicates": 0, "too_short": 3})
    assert str(caught.value) == (
        "dataset: no row of the test split is left (5 read, 2 empty, 3 too short); relax [cleaning] or check the data"
    )
    with pytest.raises(DataError, match="no row of the train split is left \\(it was empty\\)"):
        need_rows(frame([]), "train", {"read": 0})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_characters": 5, "max_characters": 4}, "max_characters: 4 is below min_characters, 5"),
        ({"min_percentile": 50.0, "max_percentile": 50.0}, "max_percentile: 50 is not above min_percentile, 50"),
    ],
)
def test_bounds_that_leave_nothing_are_told_before_any_row_is_read(options: dict[str, Any], expected: str) -> None:
    assert [str(problem) for problem in Cleaning(**options).problems()] == [expected]


# --- all together, against a reference -------------------------------------------------------------------------------

Row = tuple[str, str, str]


def reference(rows: list[Row], options: Cleaning) -> tuple[list[int], Counter[str]]:
    """Clean in plain Python: return the numbers of the rows that stay, and the counts of those that go."""
    gone: Counter[str] = Counter()
    texts = [tuple(unicodedata.normalize("NFC", text) for text in row[:2]) for row in rows]
    if options.trim:
        texts = [(first.strip(), second.strip()) for first, second in texts]
    left = [number for number, pair in enumerate(texts) if all(text.strip() for text in pair)]
    gone["empty"] = len(rows) - len(left)
    size = [len(first) + len(second) for first, second in texts]
    if not left:
        return [], gone
    low = np.percentile([size[number] for number in left], options.min_percentile)
    high = np.percentile([size[number] for number in left], options.max_percentile)
    labels = defaultdict(set)
    for number in left:
        labels[texts[number]].add(rows[number][2])
    kept, seen = [], set()
    for number in left:
        key = (*texts[number], rows[number][2])
        if options.contradictions == "drop" and len(labels[texts[number]]) > 1:
            gone["contradictions"] += 1
        elif options.duplicates == "drop" and key in seen:
            gone["duplicates"] += 1
        elif size[number] < max(options.min_characters, low if options.min_percentile else 0):
            gone["too_short"] += 1
        elif size[number] > min(options.max_characters or 999, high if options.max_percentile < 100 else 999):
            gone["too_long"] += 1
        else:
            kept.append(number)
        seen.add(key)
    return kept, gone


WORDS = st.text("가나 가", max_size=3)
ROWS = st.lists(st.tuples(WORDS, WORDS, st.sampled_from("ab")), min_size=1, max_size=25)
OPTIONS = st.builds(
    Cleaning,
    trim=st.booleans(),
    duplicates=st.sampled_from(["drop", "keep"]),
    contradictions=st.sampled_from(["drop", "keep"]),
    min_characters=st.integers(1, 4),
    max_characters=st.none() | st.integers(1, 5),
    min_percentile=st.sampled_from([0.0, 10.0, 25.0]),
    max_percentile=st.sampled_from([100.0, 90.0, 50.0]),
)


@PATIENT
@given(ROWS, OPTIONS, st.booleans())
def test_any_table_is_cleaned_as_the_reference_does_it(rows: list[Row], options: Cleaning, paired: bool) -> None:
    if not paired:
        rows = [(first, "x", label) for first, _, label in rows]
    table = frame([row[0] for row in rows], [row[2] for row in rows], [row[1] for row in rows])
    counts: dict[str, int] = {}
    left = drop_empty(normalise(table, options.trim), counts)
    if not left.empty:
        left = clean(left, options, length_bounds(left, options), counts)
    kept, gone = reference(rows, options)
    assert left["number"].tolist() == kept
    counts.pop("contradictions_kept", None)
    assert {reason: count for reason, count in counts.items() if count} == {
        reason: count for reason, count in gone.items() if count
    }
    assert len(kept) + sum(counts.values()) == len(rows)
