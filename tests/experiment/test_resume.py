"""Runs that are killed at any step, event or write go on to the bytes of runs that were never interrupted."""

from __future__ import annotations

import errno
import gc
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support import kexp, tiny_spec

from kexp import atomic_files
from kexp.report.run_folder import EventLog
from kexp.train.step import OptimizerStep

# A process that is killed closes its files; here they are left to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

Write = Callable[[str], Path]
TIMES = {"seconds", "train_seconds", "examples_per_second", "tokens_per_second", "data_share"}
FILES = ("default/seed-1/model/model.safetensors", "default/seed-1/predictions.parquet", "spec.toml")

LABELLED = '[augmentation.labelled]\nuse = "random-swap"\n[augmentation.unlabelled]\nuse = "random-swap"\n'
FEW = f"[labelled]\nper_class = 12\n{LABELLED}"
KINDS = {
    "supervised": ("", "[augmentation.labelled]\nuse = 'random-swap'\n"),
    "gradual": ("freezing = 'gradual'", ""),
    "frozen": ("freezing = {{use = 'bottom-layers', layers = 1}}", ""),
    "uda": ("objective = {{use = 'uda', distribution_alignment = 'uniform'}}", FEW),
    "mean-teacher": ("objective = 'mean-teacher'", FEW),
    "flexmatch": ("objective = 'flexmatch'", FEW),
}


class Killed(BaseException):
    """Ends a run as a kill does: nobody catches it."""


@pytest.fixture
def spec(write_spec: Write, reviews: Path) -> Callable[[str], Path]:
    def of(kind: str) -> Path:
        top, tables = KINDS[kind]
        text = tiny_spec(
            f"name = 'spec'\nseeds = [1]\n{top}", f"{tables}[evaluation]\nbaselines = []", layers=2, epochs=2,
            batch_size=8 if FEW in tables else 32, log_every=3, checkpoint_every_steps=2,
        )  # fmt: skip
        return write_spec(text.format(data=reviews))

    return of


def run(spec: Path, runs: Path) -> dict[str, Any]:
    result = kexp("run", spec, "--runs-dir", runs, "--json", "--quiet")
    assert result.stdout, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def finish(runs: Path) -> Path:
    """Resume the experiment in a folder and return its folder."""
    gc.collect()
    (folder,) = (runs / "spec").iterdir()
    result = kexp("run", "--resume", folder, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["status"] == "done"
    return folder


def events(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "default" / "seed-1" / "metrics.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [
        {key: value for key, value in event.items() if key not in TIMES}
        for event in found
        if event["event"] != "started"
    ]


def assert_same(folder: Path, whole: Path) -> None:
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert events(folder) == events(whole)
    results = [json.loads((of / "default" / "seed-1" / "result.json").read_text()) for of in (folder, whole)]
    for key in ("metrics", "steps", "best_step", "kept_step", "parameters", "labels", "confusion_matrix"):
        assert results[0][key] == results[1][key]
    assert "remarks" not in results[0]
    assert not (folder / "default" / "seed-1" / "checkpoint").exists()
    assert not list(folder.rglob("*.part"))


def nth(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int, error: BaseException) -> Iterator[int]:
    """Let the call with this number of a function raise; return the counter of its calls."""
    calls, original = count(1), getattr(owner, name)

    def counting(*given: Any, **named: Any) -> Any:
        if next(calls) == number:
            raise error
        return original(*given, **named)

    monkeypatch.setattr(owner, name, counting)
    return calls


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_within_an_epoch_ends_as_if_it_had_not_been(
    spec: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = spec(kind)
    whole = Path(run(path, tmp_path / "whole")["folder"])
    for step in (4, 8):
        runs = tmp_path / str(step)
        with monkeypatch.context() as patched:
            nth(patched, OptimizerStep, "__call__", step, Killed())
            with pytest.raises(Killed):
                run(path, runs)
        assert_same(finish(runs), whole)


def count_of(spec: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> tuple[Path, int]:
    with monkeypatch.context() as patched:
        calls = nth(patched, owner, name, -1, Killed())
        return Path(run(spec, runs)["folder"]), next(calls) - 1


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (atomic_files, "_sync", Killed()),
        (atomic_files, "_sync", OSError(errno.ENOSPC, "No space left on device")),
        (EventLog, "log", Killed()),
        (EventLog, "log", OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=["killed at a write", "failed write", "killed at an event", "failed event"],
)
def test_a_run_that_ends_at_any_write_can_be_finished(
    spec: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str,
    error: BaseException,
) -> None:  # fmt: skip
    path = spec("supervised")
    whole, calls = count_of(path, tmp_path / "whole", monkeypatch, owner, name)
    assert calls >= 10
    for number in range(1, calls + 1):
        runs = tmp_path / str(number)
        with monkeypatch.context() as patched:
            nth(patched, owner, name, number, error)
            with suppress(Killed, OSError, AssertionError):
                run(path, runs)
        # Before its first files are whole, nothing stands under the name of a run folder.
        folders = list(runs.glob("spec/*"))
        assert all((folder / "spec.toml").is_file() for folder in folders)
        assert len(folders) == 1 or number <= 3
        if folders:
            assert_same(finish(runs), whole)


def test_a_resumed_experiment_compares_its_variants_as_an_uninterrupted_one(
    write_spec: Write, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = '[evaluation]\nmetrics = ["accuracy", "macro_f1"]\n'
    variants = "[variants.slow.training]\nlearning_rate = 1e-4\n[variants.fast.training]\nlearning_rate = 1e-2\n"
    path = write_spec(tiny_spec("name = 'spec'\nseeds = [1, 2]", metrics + variants, epochs=1).format(data=reviews))
    whole = run(path, tmp_path / "whole")
    with monkeypatch.context() as patched:
        nth(patched, OptimizerStep, "__call__", 40, Killed())
        with pytest.raises(Killed):
            run(path, tmp_path / "runs")
    (folder,) = (tmp_path / "runs" / "spec").iterdir()
    assert len(list(folder.glob("*/*/result.json"))) in {2, 3}
    finish(tmp_path / "runs")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["tests"] == whole["tests"]
    assert len(whole["tests"]) > 0
    assert summary["remarks"] == whole["remarks"] == []
    assert {name: of["metrics"] for name, of in summary["variants"].items()} == {
        name: of["metrics"] for name, of in whole["variants"].items()
    }


def test_a_damaged_checkpoint_is_told_recorded_and_changes_no_bit(
    spec: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spec("supervised")
    whole = Path(run(path, tmp_path / "whole")["folder"])
    with monkeypatch.context() as patched:
        nth(patched, OptimizerStep, "__call__", 8, Killed())
        with pytest.raises(Killed):
            run(path, tmp_path / "runs")
    (one,) = (tmp_path / "runs" / "spec").glob("*/default/seed-1")
    checkpoint = one / "checkpoint" / "step-6.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-5] ^= 16
    checkpoint.write_bytes(content)
    folder = finish(tmp_path / "runs")
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    result = json.loads((one / "result.json").read_text())
    said = f"{checkpoint} is damaged: its contents do not match its checksum; training goes on from step 4"
    assert result["remarks"] == [said]
    assert [one["message"] for one in events(folder) if one["event"] == "warning"] == [said]
    assert said in (one / "log.txt").read_text()


def test_the_checkpoint_of_another_run_is_refused_by_what_differs(
    spec: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for name, more in (("first", ""), ("second", "[split]\nseed = 5\n")):
        path = spec("supervised")
        path.write_text(path.read_text("utf-8") + more, "utf-8")
        with monkeypatch.context() as patched:
            nth(patched, OptimizerStep, "__call__", 8, Killed())
            with pytest.raises(Killed):
                run(path, tmp_path / name)
        folders.append(next((tmp_path / name / "spec").glob("*/default/seed-1")))
    gc.collect()
    shutil.rmtree(folders[0] / "checkpoint")
    shutil.copytree(folders[1] / "checkpoint", folders[0] / "checkpoint")
    refused = kexp("run", "--resume", folders[0].parent.parent, "--quiet")
    assert refused.exit_code == 1
    reason = json.loads((folders[0] / "result.json").read_text())["reason"]
    place = folders[0] / "checkpoint"
    assert reason == (
        f"{place / 'step-6.safetensors'} was made from something else: rows, tokenizer differ; put back what "
        f"it was, or delete {place} to start this run anew"
    )
