from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kexp.data.rows import Rows
from kexp.data.texts import Texts
from kexp.experiment.memory_cache import OTHER, RecentResults, size_of


def array(size: int) -> np.ndarray:
    return np.zeros(size, np.uint8)


def test_what_was_used_longest_ago_is_dropped_first() -> None:
    recent, made = RecentResults(limit=100), []

    def get(key: str, size: int = 40) -> None:
        def make() -> np.ndarray:
            made.append(key)
            return array(size)

        assert recent.get(key, make).nbytes == size

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    # When c came, a had been used more recently than b.
    assert made == ["a", "b", "c", "b"]
    get("large", 1000)
    assert list(recent.results) == ["large"]
    get("large", 1000)
    get("a")
    assert made == ["a", "b", "c", "b", "large", "a"]
    assert list(recent.results) == ["a"]


def test_memory_is_bounded_over_many_results() -> None:
    recent = RecentResults(limit=1000)
    for number in range(200):
        recent.get(str(number), lambda: array(90))
        assert sum(result.nbytes for result, _ in recent.results.values()) <= 1000
    assert len(recent.results) == 11


def test_result_that_fails_is_made_again() -> None:
    recent = RecentResults()
    with pytest.raises(ZeroDivisionError):
        recent.get("x", lambda: 1 / 0)
    assert recent.get("x", lambda: 5) == 5


def test_size_counts_texts_and_arrays() -> None:
    rows = Rows(["가" * 1000] * 10, None, np.zeros(10, np.int64), np.zeros(10, np.int64))
    # Two bytes for a syllable, eight for a number and for a reference; the rest is overhead of some bytes per object.
    assert 20_240 < size_of(rows) < 22_000
    assert size_of({"train": rows, "test": rows}) == pytest.approx(2 * size_of(rows), rel=0.01)
    assert size_of(object()) == OTHER


def test_texts_of_a_mapped_file_take_no_memory(tmp_path: Path) -> None:
    texts = Texts.of(["가" * 1000] * 100)
    assert size_of(texts) > 300_000
    mapped = Texts.mapped(texts.arrays(), tmp_path)
    assert list(mapped) == list(texts)
    assert size_of(mapped) == 0
    assert size_of(mapped.take(np.arange(50))) == 400
