"""The store: what is kept, whose work is what, and what happens to the claims of the dead."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kexp.contracts import Decoding
from kexp.errors import KexpError
from kexp_backtranslation.store import Job, Store

JOB = Job("toy", "ko", "en", Decoding("sampling", temperature=0.8), 0, 0)


def other(**changes: Any) -> Job:
    stated = {"translator": "toy", "source": "ko", "target": "en", "decoding": JOB.decoding, "seed": 0, "copy": 0}
    return Job(**stated | changes)


def test_keeps_translations(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        assert store.kept(JOB, ["가", "나"]) == {}
        assert store.claim(JOB, ["가", "나"]) == ["가", "나"]
        store.keep(JOB, {"가": "a"})
    with Store(path) as store:
        assert store.kept(JOB, ["가", "나"]) == {"가": "a"}
        assert store.claim(JOB, ["가", "나"]) == ["나"]


@pytest.mark.parametrize(
    "changes",
    [
        {"translator": "else"},
        {"source": "ja"},
        {"target": "ja"},
        {"decoding": Decoding("sampling", temperature=0.9)},
        {"decoding": Decoding("greedy")},
        {"decoding": Decoding("beam", beams=4)},
        {"seed": 1},
        {"copy": 1},
    ],
)
def test_another_job_has_its_own(changes: dict[str, Any], tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.keep(JOB, {"가": "a"})
        assert store.kept(other(**changes), ["가"]) == {}


def test_what_a_method_does_not_use_makes_no_difference(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.keep(other(decoding=Decoding("greedy", temperature=0.8), seed=1), {"가": "a"})
        assert store.kept(other(decoding=Decoding("greedy", temperature=0.9), seed=2), ["가"]) == {"가": "a"}


def test_many_texts(tmp_path: Path) -> None:
    results = {f"글 {number}": str(number) for number in range(1203)}
    with Store(tmp_path / "store.sqlite") as store:
        assert len(store.claim(JOB, list(results))) == 1203
        store.keep(JOB, results)
        assert store.kept(JOB, list(results)) == results


def test_the_first_translation_stands_and_repetitions_are_counted(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.keep(JOB, {"가": "a"})
        store.keep(JOB, {"가": "b"})
        assert store.kept(JOB, ["가"]) == {"가": "a"}
    assert sqlite3.connect(tmp_path / "store.sqlite").execute("SELECT times FROM translations").fetchall() == [(2,)]


def test_the_claims_of_the_living_are_respected_and_end_with_them(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as first, Store(path) as second:
        assert first.claim(JOB, ["가", "나"]) == ["가", "나"]
        assert second.claim(JOB, ["나", "다"]) == ["다"]
        assert first.claim(JOB, ["가", "나", "다"]) == ["가", "나"]  # its own, once more
        first.keep(JOB, {"가": "a"})
        assert second.claim(JOB, ["가", "나"]) == []
        first.__exit__(None, None, None)
        assert second.claim(JOB, ["가", "나"]) == ["나"]
        first.__enter__()  # so that its end has something to close


def test_the_claims_of_the_dead_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as dead, Store(path) as heir:
        assert dead.claim(JOB, ["가", "나"]) == ["가", "나"]
        assert heir.claim(JOB, ["가"]) == []
        dead._alive.release()  # as the kernel does with a killed process's locks
        assert heir.claim(JOB, ["가", "나"]) == ["가", "나"]
        dead._alive.acquire()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(KexpError, match=r"store\.sqlite: NOT NULL"):
            store.keep(JOB, {"가": "a", "나": None})  # type: ignore[dict-item]
        assert store.kept(JOB, ["가"]) == {}
        store.keep(JOB, {"가": "a"})


def test_explains_a_file_that_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(KexpError, match=r"store\.sqlite cannot be opened: .*name another folder"), Store(path):
        pass
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(KexpError, match=r"of another version \(9\)"), Store(path):
        pass
