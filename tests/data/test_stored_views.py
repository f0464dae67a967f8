from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from kexp.contracts import Augmenter, Rejected
from kexp.data import stored_views as costly
from kexp.data.rows import Rows
from kexp.data.stored_views import ViewMaker, make_views

TEXTS = [f"문장 {number}" for number in range(12)]


class Counting:
    """Rejects every text that ends in 5, counts what it is asked for, and fails when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fail_at: int | None = None

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        if self.fail_at is not None and len(self.asked) >= self.fail_at:
            raise KeyboardInterrupt
        self.asked += texts
        return [
            Rejected(text, "ends in 5") if text.endswith("5") else f"{text} {generator.randrange(1000)}"
            for text, generator in zip(texts, generators, strict=True)
        ]


def pool(texts: list[str] = TEXTS) -> Rows:
    return Rows(texts, None, np.full(len(texts), -1), np.arange(len(texts)))


def run(
    folder: Path, augmenter: Augmenter, copies: int = 2, seed: int = 0, identity: str = "x", texts: list[str] = TEXTS
):
    return make_views(pool(texts), ViewMaker(lambda: augmenter, seed, folder, identity), copies)


def test_accepted_rows_rejected_rows_and_copies(tmp_path: Path) -> None:
    made = run(tmp_path, Counting())
    assert made.rows.tolist() == [row for row in range(12) if row != 5]
    assert made.rejected == {"ends in 5": 1}
    assert [len(copy) for copy in made.copies] == [11, 11]
    assert made.copies[0] != made.copies[1]
    assert [text.rpartition(" ")[0] for text in made.copies[0]] == [text for text in TEXTS if not text.endswith("5")]


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    first = run(tmp_path, Counting())
    again = Counting()
    assert run(tmp_path, again).copies == first.copies
    assert again.asked == []


def test_other_seed_options_or_texts_are_made_anew(tmp_path: Path) -> None:
    run(tmp_path, Counting())
    for change in ({"seed": 1}, {"identity": "y"}, {"texts": TEXTS[1:]}):
        counting = Counting()
        run(tmp_path, counting, **change)
        assert counting.asked


def test_stopped_job_goes_on_where_it_was(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(costly, "CHUNK", 4)
    whole = run(tmp_path / "whole", Counting(), copies=1)
    stopped = Counting()
    stopped.fail_at = 8
    try:
        run(tmp_path / "parts", stopped, copies=1)
    except KeyboardInterrupt:
        assert stopped.asked == TEXTS[:8]
    rest = Counting()
    assert run(tmp_path / "parts", rest, copies=1).copies == whole.copies
    assert rest.asked == TEXTS[8:]


def test_damaged_chunk_is_made_anew(tmp_path: Path) -> None:
    whole = run(tmp_path, Counting())
    next(tmp_path.glob("*.json")).write_text('["half')
    again = Counting()
    assert run(tmp_path, again).copies == whole.copies
    assert again.asked == TEXTS
