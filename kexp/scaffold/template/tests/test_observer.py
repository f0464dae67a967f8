"""What the observer writes."""

import json
from pathlib import Path

import pytest
from kexp.contracts import RunIdentity

from my_package.observer import HISTORY, kexp_run_ended


def test_keeps_a_line_per_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        run = RunIdentity("리뷰", "group", "default", seed, str(tmp_path), {})
        kexp_run_ended(run, {"status": "done", "metrics": {"test": {"accuracy": 0.5}}})
    kexp_run_ended(run, {"status": "interrupted"})
    lines = [json.loads(line) for line in Path(HISTORY).read_text("utf-8").splitlines()]
    assert [(line["seed"], line["status"]) for line in lines] == [(1, "done"), (2, "done"), (2, "interrupted")]
    assert lines[0]["experiment"] == "리뷰"
    assert lines[0]["test"] == {"accuracy": 0.5}
