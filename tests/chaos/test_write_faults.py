"""A run of which any write fails says which file it was and how to go on, and goes on to the same results."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import FEW, SPECS, different, results_of, study_results
from processes import Commands, Ended
from support import tiny_spec

SPEC = tiny_spec(tables=FEW, epochs=1, checkpoint_every_steps=4)
FAULTS = (("ENOSPC", True), ("EIO", False), ("EROFS", True), ("ENOENT", False))
"""Errors, and whether all later writes fail too, as they do on a full disk."""


class Case:
    """A short run, what it writes, and its results where nothing fails."""

    def __init__(self, kexp: Commands, reviews: Path) -> None:
        self.kexp, self.spec = kexp, kexp.folder / "short.toml"
        self.spec.write_text(SPEC.format(data=reviews), "utf-8")
        ended, self.writes = self.faulty(kexp.folder / "whole", 0, "EIO", on=False)
        assert ended.status == 0, ended.errors
        (folder,) = (kexp.folder / "whole" / "short").iterdir()
        self.results = results_of(folder)

    def faulty(self, runs: Path, number: int, error: str, *, on: bool) -> tuple[Ended, list[str]]:
        """Run it with a write that fails, and return the operations that were tried."""
        runs.mkdir(exist_ok=True)
        counted = self.kexp.folder / "writes"
        fault = {"folder": str(runs), "number": number, "error": getattr(errno, error), "on": on}
        ended = self.kexp.run(
            "run", self.spec, "--runs-dir", runs, "--quiet", failing_writes={**fault, "counted": str(counted)}
        )
        return ended, counted.read_text("utf-8").splitlines()

    def outcome(self, ended: Ended, runs: Path) -> str:
        """Return "survived", or what is wrong with how it ended, or with the results once nothing fails any more."""
        folder = next((path for path in runs.glob("short/[!.]*")), None)
        if wrong := "".join(_wrong(ended, runs, folder)):
            return wrong
        if ended.status:
            arguments = ("--resume", folder) if folder else (self.spec, "--runs-dir", runs)
            again = self.kexp.run("run", *arguments, "--quiet")
            if again.status:
                return f"not resumed: {again.errors}"
        folder = folder or next(runs.glob("short/[!.]*"))
        return ", ".join(different(self.results, results_of(folder))) or "survived"


def _wrong(ended: Ended, runs: Path, folder: Path | None) -> Iterator[str]:
    if "Traceback" in ended.errors or "--- Logging error" in ended.errors:
        yield f"a traceback: {ended.errors}"
    if ended.status not in ((0, 1) if folder else (2,)):
        yield f"status {ended.status}, folder {folder}: {ended.errors}"
    if folder and not (folder / "spec.toml").is_file():
        yield "a folder without spec.toml"
    if ended.status and str(runs) not in ended.errors:
        yield f"no file is named: {ended.errors}"
    if ended.status and (f"kexp run --resume {folder}" if folder else "choose another place") not in ended.errors:
        yield f"not how to go on: {ended.errors}"


@pytest.fixture(scope="module")
def case(kexp: Commands, reviews: Path) -> Case:
    return Case(kexp, reviews)


@pytest.mark.usefixtures("nothing_lost")
def test_any_write_may_fail(case: Case, tmp_path: Path, tally: Any, long: bool) -> None:
    count = len(case.writes)
    assert count > 50
    for number in range(1, count + 1) if long else range(9, count + 1, 30):
        error, on = FAULTS[number % 4] if long else FAULTS[number // 30 % 4]
        runs = tmp_path / f"runs-{number}"
        ended, writes = case.faulty(runs, number, error, on=on)
        outcome = case.outcome(ended, runs)
        failed = writes[number - 1] if len(writes) >= number else "none"
        if failed.endswith("log.txt") and not on and ended.status:
            outcome = f"a log stopped the run: {ended.errors}"
        tally("failing writes", outcome, f"write {number} ({failed}) {error} {'on' if on else 'once'}")


@pytest.mark.usefixtures("nothing_lost")
def test_files_that_may_not_grow_beyond_a_size(case: Case, tmp_path: Path, tally: Any, long: bool) -> None:
    """Whatever writes a file, also code that is not Python's, is refused by the system."""
    sizes = sorted({path.stat().st_size for path in (case.kexp.folder / "whole").rglob("*") if path.is_file()})
    draw = random.Random("sizes")
    for size in sizes if long else sizes[-2:-1]:
        runs = tmp_path / f"runs-{size}"
        # So that the cache and the lock are not what fails.
        limit = max(4096, size - draw.randrange(1, 100))
        ended = case.kexp.run("run", case.spec, "--runs-dir", runs, "--quiet", file_size={"most": limit})
        tally(
            "files that are too large", case.outcome(ended, runs), f"at most {limit} bytes: {os.strerror(errno.EFBIG)}"
        )


@pytest.mark.usefixtures("nothing_lost", "long_only")
def test_writes_of_a_study_may_fail(kexp: Commands, reviews: Path, tmp_path: Path, tally: Any) -> None:
    """Trials have processes of their own; what fails here are the journal, the reports and the test of the best spec."""
    spec, counted = tmp_path / "study.toml", tmp_path / "writes"
    spec.write_text(SPECS["study"].replace("trials = 5", "trials = 2").format(data=reviews), "utf-8")

    def tune(runs: Path, number: int, error: str, *, on: bool) -> Ended:
        runs.mkdir()
        fault = {"folder": str(runs), "number": number, "error": getattr(errno, error), "on": on}
        fault["counted"] = str(counted)
        return kexp.run("tune", spec, "--runs-dir", runs, "--quiet", failing_writes=fault)

    assert tune(tmp_path / "whole", 0, "EIO", on=False).status == 0
    expected = study_results(*(tmp_path / "whole").glob("study/study-*"))
    count = len(counted.read_text("utf-8").splitlines())
    for turn, number in enumerate(range(2, count + 1, max(1, count // 24))):
        error, on = FAULTS[turn % 4]
        runs = tmp_path / str(number)
        ended = tune(runs, number, error, on=on)
        failed = counted.read_text("utf-8").splitlines()[number - 1]
        outcome = "".join(_wrong_study(ended, runs))
        again = kexp.run("tune", spec, "--runs-dir", runs, "--quiet")
        if again.status:
            outcome += f"not continued: {again.errors}"
        elif not outcome:
            outcome = ", ".join(different(expected, study_results(*runs.glob("study/study-*")))) or "survived"
        tally("failing writes of a study", outcome, f"write {number} ({failed}) {error} {'on' if on else 'once'}")


def _wrong_study(ended: Ended, runs: Path) -> Iterator[str]:
    if "Traceback" in ended.errors or "--- Logging error" in ended.errors:
        yield f"a traceback: {ended.errors}"
    if ended.status not in (0, 1, 2):
        yield f"status {ended.status}: {ended.errors}"
    if ended.status and str(runs) not in ended.errors:
        yield f"no file is named: {ended.errors}"
