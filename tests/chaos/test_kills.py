"""Experiments and studies that are killed at random moments, and resumed, have the results of ones that were not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cases import SPECS, different, results_of, study_results
from processes import Commands, kill

EXPERIMENTS = ["supervised", "uda", "gradual", "variants"]


@dataclass(frozen=True, slots=True)
class Whole:
    """An experiment that nothing was done to: its results, and how long it took."""

    spec: Path
    results: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def whole(kexp: Commands, reviews: Path) -> Callable[[str], Whole]:
    """Return a function that runs an experiment once."""
    known: dict[str, Whole] = {}

    def run(name: str) -> Whole:
        if name not in known:
            spec, runs = kexp.folder / f"{name}.toml", kexp.folder / "whole"
            spec.write_text(SPECS[name].format(data=reviews), "utf-8")
            started = time.monotonic()
            ended = kexp.run("tune" if name == "study" else "run", spec, "--runs-dir", runs, "--quiet")
            assert ended.status == 0, ended.errors
            seconds = time.monotonic() - started
            if name == "study":
                known[name] = Whole(spec, study_results(*(runs / name).glob("study-*")), seconds)
            else:
                known[name] = Whole(spec, results_of(*(runs / name).iterdir()), seconds)
        return known[name]

    return run


def after(seconds: float, begun: Callable[[], bool] = lambda: True) -> Callable[[int], None]:
    """Return what kills a process some time after something has begun."""

    def strike(process: int) -> None:
        deadline = time.monotonic() + 120
        while not begun() and Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(seconds)
        kill(process)

    return strike


@pytest.mark.usefixtures("nothing_lost")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_killed_at_any_moment(
    name: str, kexp: Commands, whole: Callable[[str], Whole], tally: Any, long: bool, tmp_path: Path
) -> None:
    expected, draw = whole(name), random.Random(f"kills {name}")
    kills = {"variants": 16}.get(name, 12) if long else 1
    done = 0
    while done < kills:
        runs = tmp_path / f"runs-{done}"
        folder, moments = None, []
        # Killed once, or once more while it goes on; every second time while it trains.
        for _ in range(draw.choice([1, 1, 2])):
            inside = done % 2 == 0
            before = sum(path.stat().st_size for path in runs.glob("*/*/*/*/metrics.jsonl"))

            def training(before: int = before, runs: Path = runs) -> bool:
                return sum(path.stat().st_size for path in runs.glob("*/*/*/*/metrics.jsonl")) > before

            seconds = draw.random() * expected.seconds * (0.5 if inside else 0.9)
            strike = after(seconds, training) if inside else after(seconds)
            arguments = ("--resume", folder) if folder else (expected.spec, "--runs-dir", runs)
            ended = kexp.run("run", *arguments, "--quiet", meanwhile=strike)
            folder = next((path for path in runs.glob(f"{name}/[!.]*")), None)
            assert ended.status in (0, -9), ended.errors
            if ended.status == 0:
                break
            done += 1
            moments.append(f"{'training + ' if inside else ''}{seconds:.3f} s")
        if not moments:
            continue
        arguments = ("--resume", folder) if folder else (expected.spec, "--runs-dir", runs)
        ended = kexp.run("run", *arguments, "--quiet")
        folder = folder or next(runs.glob(f"{name}/[!.]*"))
        wrong = different(expected.results, results_of(folder)) if ended.status == 0 else []
        outcome = ended.errors if ended.status else ", ".join(wrong) or "survived"
        leftovers = [str(path) for path in runs.rglob(".*.part") if path.parent != folder.parent]
        outcome = f"left over: {leftovers}" if outcome == "survived" and leftovers else outcome
        for _ in moments:
            tally(f"SIGKILL of {name}", outcome, f"{folder} after {moments}")


@pytest.mark.usefixtures("nothing_lost")
def test_a_study_killed_at_any_moment(
    kexp: Commands, whole: Callable[[str], Whole], tally: Any, long: bool, tmp_path: Path
) -> None:
    expected, draw, kills = whole("study"), random.Random("kills of studies"), 8 if long else 1
    done = 0
    while done < kills:
        runs = tmp_path / f"runs-{done}"
        moments: list[str] = []
        # A trial whose process is lost twice counts as failed, so the next kill comes after another trial has begun.
        for begun in sorted(draw.sample(range(1, 6), 2 if long else 1)):

            def trial_begun(begun: int = begun, runs: Path = runs) -> bool:
                journals = runs.glob("study/study-*/journal.log")
                return any(path.read_bytes().count(b'"op_code":4,') >= begun for path in journals)

            seconds = draw.random() * expected.seconds / 8
            ended = kexp.run(
                "tune", expected.spec, "--runs-dir", runs, "--quiet", meanwhile=after(seconds, trial_begun)
            )
            assert ended.status in (0, -9), ended.errors
            if ended.status == 0:
                break
            done += 1
            moments.append(f"trial {begun} + {seconds:.3f} s")
        ended = kexp.run("tune", expected.spec, "--runs-dir", runs, "--quiet")
        wrong = different(expected.results, study_results(*runs.glob("study/study-*"))) if ended.status == 0 else []
        outcome = ended.errors if ended.status else ", ".join(wrong) or "survived"
        for _ in moments:
            tally("SIGKILL of study", outcome, f"{runs} after {moments}")
