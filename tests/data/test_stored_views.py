from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest

from kexp.contracts import Augmenter, Rejected
from kexp.data.augment_jobs import Job
from kexp.data.rows import Rows
from kexp.data.stored_views import LabelledViews, StoredViews, ViewMaker, make_views

TEXTS = [f"문장 {number}" for number in range(12)]


class Counting:
    """Rejects every text that ends in 5, keeps the texts that it is given, and fails after some of them."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.fail_at: int | None = None

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        if self.fail_at is not None and len(self.given) >= self.fail_at:
            raise KeyboardInterrupt
        self.given += texts
        return [
            Rejected(text, "ends in 5") if text.endswith("5") else f"{text} {generator.randrange(1000)}"
            for text, generator in zip(texts, generators, strict=True)
        ]


def rows_of(texts: list[str] = TEXTS) -> Rows:
    return Rows(texts, None, np.full(len(texts), -1), np.arange(len(texts)))


def run(
    folder: Path, augmenter: Augmenter, views: int = 2, seed: int = 0, identity: str = "x", texts: list[str] = TEXTS
) -> StoredViews:
    return make_views(rows_of(texts), ViewMaker(lambda: augmenter, seed, folder, identity), views)


def test_accepted_rows_rejected_rows_and_views(tmp_path: Path) -> None:
    made = run(tmp_path, Counting())
    assert made.accepted().tolist() == [row for row in range(12) if row != 5]
    assert made.rejected() == {"ends in 5": 1}
    first, second = made.accepted_texts()
    assert len(first) == len(second) == 11
    assert first != second
    assert [text.rpartition(" ")[0] for text in first] == [text for text in TEXTS if not text.endswith("5")]
    assert made.views[0][5] == Rejected("문장 5", "ends in 5")


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    first = run(tmp_path, Counting())
    again = Counting()
    assert run(tmp_path, again).views == first.views
    assert again.given == []


def test_other_seed_options_or_texts_are_made_anew(tmp_path: Path) -> None:
    run(tmp_path, Counting())
    for change in ({"seed": 1}, {"identity": "y"}, {"texts": TEXTS[1:]}):
        counting = Counting()
        run(tmp_path, counting, **change)
        assert counting.given


def test_stopped_job_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kexp.data.stored_views.CHUNK", 4)
    whole = run(tmp_path / "whole", Counting(), views=1)
    stopped = Counting()
    stopped.fail_at = 8
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stopped, views=1)
    assert stopped.given == TEXTS[:8]
    rest = Counting()
    assert run(tmp_path / "parts", rest, views=1).views == whole.views
    assert rest.given == TEXTS[8:]


def swap(content: str) -> str:
    """Let the first text of a chunk be another one."""
    stored = json.loads(content)
    stored["texts"][0] = "다른 글"
    return json.dumps(stored)


@pytest.mark.parametrize(
    "harm",
    [lambda content: '["half', swap, lambda content: "[]", lambda content: '{"checksum": "x"}', lambda content: "3"],
    ids=["half", "another text", "list", "no texts", "number"],
)
def test_a_chunk_that_is_not_what_was_stored_is_made_anew_and_told(tmp_path: Path, harm: Callable[[str], str]) -> None:
    whole = run(tmp_path, Counting())
    path = next(tmp_path.glob("*.json"))
    path.write_text(harm(path.read_text("utf-8")), "utf-8")
    again, told = Counting(), list[str]()
    assert make_views(rows_of(TEXTS), ViewMaker(lambda: again, 0, tmp_path, "x", told.append), 2).views == whole.views
    assert again.given == TEXTS
    assert told[0] == f"{path} is damaged, or of an earlier version; its texts are augmented anew"


def test_the_chunk_of_other_texts_is_never_taken(tmp_path: Path) -> None:
    whole = run(tmp_path, Counting(), views=1)
    (path,) = tmp_path.glob("*.json")
    run(tmp_path, Counting(), views=1, texts=["다른 글"] * 12)
    (other,) = (found for found in tmp_path.glob("*.json") if found != path)
    other.replace(path)
    again = Counting()
    assert run(tmp_path, again, views=1).views == whole.views
    assert again.given == TEXTS


def test_epochs_take_views_in_turn_and_count_what_was_rejected(tmp_path: Path) -> None:
    made = run(tmp_path, Counting())
    views = LabelledViews("counting", made.views)
    rows = [11, 5, 2]
    for epoch in range(4):
        job = Job(epoch, rows, ["as it was"] * 3, [1, 2, 3])
        assert list(views([job])) == [(job, [made.views[epoch % 2][row] for row in rows])]
    assert views.total == 12
    assert views.rejected == {"ends in 5": 4}
