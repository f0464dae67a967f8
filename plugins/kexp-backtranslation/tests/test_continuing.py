"""Jobs that are killed, and jobs that share a store."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toy_language

from kexp.contracts import AugmenterContext

TEXTS = toy_language.korean(120, seed=5)
SAMPLED = {"method": "sampling", "temperature": 1.5, "copies": 2}


def rows(read_store: Any, folder: Path) -> int:
    try:
        return len(read_store(folder).rows)
    except sqlite3.Error:
        return 0  # not made yet


@pytest.fixture
def uninterrupted(tmp_path: Path, back_translation: Any, read_store: Any) -> Callable[[str], list[Any]]:
    def run(engine: str) -> list[Any]:
        folder = tmp_path / "uninterrupted"
        augmenter = back_translation(engine, **SAMPLED).build(AugmenterContext(store=folder, device="cpu"))
        augmenter(TEXTS, [random.Random(0) for _ in TEXTS])
        found: list[Any] = read_store(folder).rows
        return found

    return run


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_a_killed_job_continues_to_the_same_store(
    engine: str, tmp_path: Path, start: Any, read_store: Any, uninterrupted: Any
) -> None:
    folder, dice = tmp_path / "killed", random.Random(7)
    expected = uninterrupted(engine)
    kills = 0
    while kills < 4:
        process = start(folder, engine, TEXTS, **SAMPLED)
        wanted = rows(read_store, folder) + dice.randint(1, 60)
        while process.is_alive() and rows(read_store, folder) < wanted:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.02)
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills += 1
    assert kills == 4
    left = read_store(folder)
    assert 0 < len(left.rows) < len(expected)
    last = start(folder, engine, TEXTS, **SAMPLED)
    last.join(30)
    assert last.exitcode == 0
    found = read_store(folder)
    assert found.rows == expected
    assert found.times == {1}
    assert found.claims == 0
    assert len(found.owners) >= kills
    assert list((folder / "back-translation" / "translations.sqlite-owners").iterdir()) == []


@pytest.mark.parametrize("engine", ["marian", "ctranslate2"])
def test_two_processes_share_a_store(
    engine: str, tmp_path: Path, start: Any, read_store: Any, uninterrupted: Any
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    both = [start(folder, engine, TEXTS, together=2, **SAMPLED) for _ in range(2)]
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    found = read_store(folder)
    assert found.times == {1}  # nothing was made twice
    assert len(found.owners) == 2  # and both had a share in it
    assert found.claims == 0
    assert found.rows == uninterrupted(engine)
