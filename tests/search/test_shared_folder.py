"""Processes that share a study and its folder: whichever ends last, the files tell of the whole study."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_search import SHARED_STUDY
from support import kexp

from kexp.search import study_files
from kexp.search.study import Study

TRIALS = 5

# The command, which waits before it writes the page until a file is there.
SLOW = """
import sys, time
from pathlib import Path
from kexp.search import study_files
write, told, awaited = study_files.write_page, Path(sys.argv[1]), Path(sys.argv[2])
def wait_and_write(*arguments):
    told.touch()
    while not awaited.exists():
        time.sleep(0.05)
    return write(*arguments)
study_files.write_page = wait_and_write
del sys.argv[1:3]
from kexp.cli import app
app()
"""
Tune = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def tune(reviews: Path, tmp_path: Path) -> Iterator[Tune]:
    """Return a function that joins the search in a process of its own; none outlives the test."""
    spec = tmp_path / "reviews.toml"
    spec.write_text(SHARED_STUDY.format(data=reviews, trials=TRIALS), "utf-8")
    begun: list[subprocess.Popen[str]] = []

    def begin(*program: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, program or ("-m", "kexp")), "tune", str(spec), "--json", "--quiet"]
        begun.append(
            subprocess.Popen(
                [*command, "--runs-dir", str(tmp_path / "runs")],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def eventually(look: Callable[[], Any], *processes: subprocess.Popen[str]) -> Any:
    """Look until there is something, while these processes go on, and return it."""
    end = time.monotonic() + 240
    while not (found := look()):
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "not within four minutes"
        time.sleep(0.05)
    return found


def trains(folder: Path) -> Callable[[], bool]:
    """Return a function that tells whether a trial trains which nobody has ended."""

    def look() -> bool:
        logs = folder.glob("runs/reviews/*/trials/*/seed-1/metrics.jsonl")
        return any(not (log.parent / "result.json").exists() for log in logs)

    return look


def check_files(folder: Path) -> None:
    """Fail unless every file tells of all trials, the best of them and its test."""
    (study,) = folder.glob("runs/reviews/*/study.json")
    found = json.loads(study.read_text("utf-8"))
    assert found["status"] == "done"
    assert found["trials"]["complete"] == TRIALS
    assert Path(found["final"]).is_dir()
    table = list(csv.DictReader((study.parent / "trials.csv").read_text("utf-8").splitlines()))
    assert [row["outcome"] for row in table] == ["complete"] * TRIALS
    best = max(table, key=lambda row: (float(row["validation.macro_f1"]), -float(row["validation_loss"])))
    assert found["best_trial"] == int(best["trial"])
    assert f"# Trial {best['trial']} of study" in (study.parent / "best.toml").read_text("utf-8")
    page = (study.parent / "study.html").read_text("utf-8")
    assert f"{TRIALS} complete" in page
    assert not list(study.parent.glob(".*.part"))


@pytest.mark.parametrize("slow", ["the one that is stopped", "the one that finishes"])
def test_the_last_one_to_end_writes_the_files(slow: str, tune: Tune, tmp_path: Path) -> None:
    told, awaited = tmp_path / "told", tmp_path / "awaited"
    wait = ("-c", SLOW, told, awaited)
    victim = tune()
    eventually(trains(tmp_path), victim)
    # A trial of the process that is killed is done again by another one.
    victim.kill()
    stopped = tune(*wait) if slow == "the one that is stopped" else tune()
    eventually(trains(tmp_path), stopped)
    finishing = tune() if slow == "the one that is stopped" else tune(*wait)
    eventually(lambda: len(list(tmp_path.glob("runs/reviews/*/trials/*"))) > 2, stopped, finishing)
    stopped.send_signal(signal.SIGINT)
    if slow == "the one that is stopped":
        eventually(told.exists, stopped)
        output, errors = finishing.communicate(timeout=300)
        awaited.touch()
        stopped_output, stopped_errors = stopped.communicate(timeout=120)
    else:
        stopped_output, stopped_errors = stopped.communicate(timeout=120)
        awaited.touch()
        output, errors = finishing.communicate(timeout=300)
    assert finishing.returncode == 0, errors
    assert stopped.returncode == 130, stopped_errors
    assert json.loads(output)["status"] == "done"
    assert json.loads(stopped_output)["status"] == "interrupted"
    check_files(tmp_path)


def test_files_are_written_again_for_what_others_did_meanwhile(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "reviews.toml"
    spec.write_text(SHARED_STUDY.format(data=reviews, trials=1).replace("epochs = 4", "steps = 2"), "utf-8")
    command = ("tune", str(spec), "--runs-dir", str(tmp_path / "runs"), "--json", "--quiet")
    write, written = study_files.write_page, list[int]()

    def another_one_ends(folder: Path, study: Study, found: dict[str, Any]) -> Path:
        written.append(found["trials"]["complete"])
        if len(written) == 1:
            # It joins, does another trial and ends, while this one has not yet written its page.
            other = kexp(*command, "--trials", "2")
            assert json.loads(other.stdout)["trials"]["complete"] == 2
        return write(folder, study, found)

    monkeypatch.setattr(study_files, "write_page", another_one_ends)
    found = json.loads(kexp(*command).stdout)
    # The other one's, which is older than this one's last, and not this one's first.
    assert written == [1, 2, 2]
    assert found["trials"]["complete"] == 1
    (study,) = tmp_path.glob("runs/reviews/*/study.json")
    assert json.loads(study.read_text("utf-8"))["trials"]["complete"] == 2
    assert "2 complete" in (study.parent / "study.html").read_text("utf-8")
