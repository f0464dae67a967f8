"""What the diary says of a run."""

import json
from pathlib import Path

from kexp.contracts import RunIdentity
from kexp_example import diary


def test_every_end_is_written(tmp_path: Path) -> None:
    run = RunIdentity("리뷰", "group", "default", 1, str(tmp_path), {})
    diary.kexp_run_started(run)
    diary.kexp_epoch_ended(run, 0, {"accuracy": 0.5})
    diary.kexp_run_ended(run, {"status": "interrupted"})
    diary.kexp_run_failed(run, "메모리가 모자란다")
    entries = [json.loads(line) for line in (tmp_path / diary.DIARY).read_text("utf-8").splitlines()]
    assert [entry["what"] for entry in entries] == ["started", "epoch", "interrupted", "failed"]
    assert entries[1]["metrics"] == {"accuracy": 0.5}
    assert entries[3]["reason"] == "메모리가 모자란다"
    assert [entry["time"] for entry in entries] == sorted(entry["time"] for entry in entries)
