"""Progress of runs, trials and preparation, on a terminal and in a file."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from kexp.cli.display import TerminalDisplay, TerminalSearchDisplay
from kexp.repeats import Repeat
from tests.cli.test_widths import Screen
from tests.support import kexp, tiny_spec

VARIANTS = [SimpleNamespace(name=name, spec=SimpleNamespace(training=SimpleNamespace(monitor="mcc"))) for name in "ab"]
RUNS: Any = [(variant, Repeat(seed)) for variant in VARIANTS for seed in (1, 2)]
EVALUATION = {
    "event": "evaluation", "step": 10, "epoch": 1.0, "train_loss": 0.6938, "seconds": 1.0, "best": True, "pool": {},
    "validation_loss": 0.5, "train_seconds": 1.0, "train_metrics": {},
    "metrics": {"accuracy": 0.5, "macro_f1": None, "mcc": 0.25, "weighted_f1": 0.125},
}  # fmt: skip
STEP = {"event": "step", "step": 5, "loss": 0.5, "examples_per_second": 1234.5}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., io.StringIO]:
    """Return a function that makes standard error a terminal of a width, or a file."""

    def made(width: int | None = None, term: str = "xterm-256color") -> io.StringIO:
        stream = io.StringIO() if width is None else Screen()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("COLUMNS", str(width or 80))
        return stream

    return made


def shown(stream: io.StringIO) -> list[str]:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def folder_of(tmp_path: Path) -> Path:
    (tmp_path / "metrics.jsonl").write_text(json.dumps(EVALUATION) + "\n", "utf-8")
    return tmp_path


def drive(display: TerminalDisplay, tmp_path: Path) -> None:
    """Do the first run, find the second one done already, and begin the third."""
    display.runs_planned(RUNS)
    display.run_started("a", Repeat(1), 10, 0)
    display.event(STEP)
    if display.status.live is not None:
        # As its thread does four times a second.
        display.status.live.refresh()
    display.event(EVALUATION)
    display.run_ended({"status": "done", "variant": "a"}, folder_of(tmp_path))
    display.run_started("b", Repeat(1), 10, 0)
    display.event({"event": "warning", "step": 1, "message": "the loss [bold] is odd"})
    display.run_ended({"status": "failed", "variant": "b", "reason": "no memory"}, tmp_path)


def test_a_file_gets_plain_lines_with_the_number_of_the_run_and_what_is_left(
    on: Callable[..., io.StringIO], tmp_path: Path
) -> None:
    stream = on()
    drive(TerminalDisplay(), tmp_path)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == [
        "run 1 of 4  a seed 1",
        "a seed 1  epoch 1  train loss 0.6938  accuracy 0.5000  macro_f1 –  mcc 0.2500  weighted_f1 0.1250  best",
    ]
    assert lines[2].startswith("a seed 1\tepoch\ttrain loss")
    assert lines[4:] == [
        "run 3 of 4  b seed 1  under a minute left for all",
        "b seed 1  warning: the loss [bold] is odd",
        "b seed 1 failed: no memory",
    ]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", stream.getvalue())


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_terminal_shows_loss_and_monitor_and_breaks_no_unit(
    on: Callable[..., io.StringIO], tmp_path: Path, width: int
) -> None:
    stream = on(width)
    drive(TerminalDisplay(), tmp_path)
    lines = shown(stream)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    for unit in (
        "run 1 of 4",
        "run 3 of 4",
        "5/10  loss 0.5000",
        "mcc 0.2500 best",
        "train loss 0.6938",
        "left for all",
    ):
        assert unit in text, unit
    assert "a seed 1 by epoch" in text
    # The last thing written shows the cursor again, and no line is left that changes.
    assert stream.getvalue().rstrip().endswith("no memory")


def test_a_dumb_terminal_is_written_to_as_a_file_is(on: Callable[..., io.StringIO], tmp_path: Path) -> None:
    plain = on()
    drive(TerminalDisplay(), tmp_path)
    dumb = on(60, "dumb")
    drive(TerminalDisplay(), tmp_path)
    assert dumb.getvalue() == plain.getvalue()


def test_a_single_run_needs_no_number(on: Callable[..., io.StringIO]) -> None:
    stream = on()
    display = TerminalDisplay()
    display.runs_planned(RUNS[:1])
    display.run_started("a", Repeat(1), 10, 0)
    assert stream.getvalue() == ""


def test_what_is_being_done_is_passing_on_a_terminal_and_seldom_repeated_in_a_file(
    on: Callable[..., io.StringIO],
) -> None:
    texts = ["reading the data…", *(f"tokenising {n},000 of 9,000 texts…" for n in range(1, 9)), "", "ready, 3 of 5"]
    for width in (None, 60):
        stream = on(width)
        display = TerminalDisplay()
        for text in texts:
            display.phase(text)
        if width is None:
            expected = ["reading the data…", "tokenising 1,000 of 9,000 texts…", "ready, 3 of 5"]
            assert stream.getvalue().splitlines() == expected
        else:
            assert shown(stream)[-1] == "ready, 3 of 5"
            assert display.status.live is None


def several(display: TerminalDisplay, tmp_path: Path) -> None:
    """Do two runs at once, the second of which fails, while two others are to come."""
    display.runs_planned(RUNS)
    first = display.beside("a", Repeat(1))
    second = display.beside("a", Repeat(2))
    first.phase("reading the data…")
    if display.status.live is not None:
        display.status.live.refresh()
    second.phase("metrics.jsonl lacks 3 bytes")
    for number, run in enumerate((first, second), start=1):
        run.run_started("a", Repeat(number), 10, 0)
        run.event({**STEP, "step": number, "epoch": number / 10})
    first.event(EVALUATION)
    if display.status.live is not None:
        display.status.live.refresh()
    second.event({"event": "warning", "step": 1, "message": "odd"})
    second.run_ended({"status": "failed", "variant": "a", "seed": 2, "reason": "its process was killed"}, tmp_path)
    third = display.beside("b", Repeat(1))
    if display.status.live is not None:
        display.status.live.refresh()
    first.run_ended({"status": "done", "variant": "a", "seed": 1}, folder_of(tmp_path))
    third.run_ended({"status": "interrupted", "variant": "b", "seed": 1, "reason": "stopped"}, tmp_path)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_several_runs_have_a_line_each_and_one_for_all(
    on: Callable[..., io.StringIO], tmp_path: Path, width: int
) -> None:
    stream = on(width)
    display = TerminalDisplay()
    several(display, tmp_path)
    lines = shown(stream)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert "0 of 4 runs ended, 2 going on  under a minute left for all" in text
    assert "1 of 4 runs ended, 2 going on" in text
    assert "a seed 1  1/10  loss 0.5000  mcc 0.2500  epoch 0.10" in text
    assert "a seed 2  2/10  loss 0.5000  epoch 0.20" in text
    assert "b seed 1  beginning…" in text
    assert "a seed 1  reading the data…" in text
    assert "a seed 2  metrics.jsonl lacks 3 bytes" in text
    assert "a seed 2  warning: odd" in text
    assert "a seed 2 failed: its process was killed" in text
    assert "a seed 1 by epoch" in text
    assert lines[-1] == "b seed 1 interrupted: stopped"
    assert display.status.live is None


def test_several_runs_in_a_file_are_told_apart_by_their_names(on: Callable[..., io.StringIO], tmp_path: Path) -> None:
    stream = on()
    several(TerminalDisplay(), tmp_path)
    lines = stream.getvalue().splitlines()
    assert lines[:3] == [
        "a seed 2  metrics.jsonl lacks 3 bytes", "run 1 of 4  a seed 1", "run 2 of 4  a seed 2  under a minute left for all",
    ]  # fmt: skip
    assert lines[3].startswith("a seed 1  epoch 1  train loss 0.6938")
    assert lines[4:6] == ["a seed 2  warning: odd", "a seed 2 failed: its process was killed"]
    assert lines[6].startswith("a seed 1\tepoch\ttrain loss")
    assert lines[-1] == "b seed 1 interrupted: stopped"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", stream.getvalue())


def test_more_runs_than_lines_are_counted(on: Callable[..., io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "6")
    on(80)
    display = TerminalDisplay()
    runs = [(VARIANTS[0], Repeat(seed)) for seed in range(8)]
    display.runs_planned(runs)  # type: ignore[arg-type]
    for _, repeat in runs:
        display.beside("a", repeat)
    assert display._lines(80) == [
        "0 of 8 runs ended, 8 going on", *(f"a seed {seed}  beginning…" for seed in range(3)), "… and 5 more",
    ]  # fmt: skip
    display.status.stop()


def test_a_run_that_fails_before_it_trains_is_named(on: Callable[..., io.StringIO], tmp_path: Path) -> None:
    stream = on()
    display = TerminalDisplay()
    display.runs_planned(RUNS)
    display.run_started("a", Repeat(1), 10, 0)
    display.run_ended({"status": "done", "variant": "a", "seed": 1}, folder_of(tmp_path))
    display.run_ended({"status": "failed", "variant": "a", "seed": 2, "reason": "no memory"}, tmp_path)
    assert stream.getvalue().splitlines()[-1] == "a seed 2 failed: no memory"
    assert len(display.estimate.others) == 2


def test_a_search_says_how_many_trials_are_finished(on: Callable[..., io.StringIO]) -> None:
    stream = on()
    display = TerminalSearchDisplay()
    display.trials_planned(4, 1, 1)
    display.trial_started(SimpleNamespace(position=1, values={"training.epochs": 2}))  # type: ignore[arg-type]
    display.trials_planned(4, 2, 1)
    display.trial_ended(1, "complete", "0.8123")
    display.trials_planned(4, 4, 1)
    display.trial_ended(3, "pruned", "after evaluation 1")
    assert stream.getvalue().splitlines() == [
        "trial 1  training.epochs 2",
        "trial 1  complete  0.8123  2 of 4 trials finished, under a minute left",
        "trial 3  pruned  after evaluation 1  4 of 4 trials finished",
    ]


def test_a_run_says_what_it_prepares_and_which_run_it_does(
    tmp_path: Path, write_spec: Callable[..., Path], reviews: Path
) -> None:
    spec = write_spec(tiny_spec("seeds = [1, 2]", epochs=1).format(data=reviews))
    first = kexp("run", spec, "--runs-dir", tmp_path / "runs").stderr
    told = [line for line in first.splitlines() if line.endswith("…") or line.startswith("run ")]
    assert told[0] == "reading the data…"
    assert re.fullmatch(r"cleaning and dividing [\d,]+ rows…", told[1])
    assert [line.split("  ")[:2] for line in told if line.startswith("run")] == [
        ["run 1 of 2", "default seed 1"],
        ["run 2 of 2", "default seed 2"],
    ]
    assert re.search(r"(?m)^run 2 of 2  default seed 2  under a minute left$", first)
    # Of a resumed experiment only the missing run is done, and is still the second of two.
    (folder,) = (tmp_path / "runs").glob("*/*")
    (folder / "default" / "seed-2" / "result.json").unlink()
    again = kexp("run", "--resume", folder).stderr
    assert [line for line in again.splitlines() if line.startswith("run ")] == ["run 2 of 2  default seed 2"]


def test_runs_that_are_done_already_are_not_among_those_that_are_left(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "".join(f"{'좋' if n % 2 else '싫'}다 {n},{n % 2}\n" for n in range(60)), "utf-8")
    (tmp_path / "spec.toml").write_text(tiny_spec("name = 'r'\nseeds = [1, 2, 3]", epochs=1).format(data=data), "utf-8")
    kexp("run", tmp_path / "spec.toml", "--runs-dir", tmp_path / "runs")
    (folder,) = (tmp_path / "runs" / "r").iterdir()
    (folder / "default" / "seed-2" / "result.json").unlink()
    told = kexp("run", "--resume", folder).stderr.splitlines()
    assert [line for line in told if line.startswith("run ")] == ["run 2 of 3  default seed 2"]
