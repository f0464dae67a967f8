"""Runs of several processes that are stopped, killed or broken in one of them: what is said, and how they go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from distributed.launched import Ended, torchrun, wait_until
from distributed.plain_model import without_dropout
from safetensors.torch import load_file
from support import kexp

PLUGIN = """
import os
import signal
from typing import ClassVar

import torch

from kexp import hookimpl
from kexp.builtin.objectives import CrossEntropy, CrossEntropyOptions
from kexp.contracts import SupervisedObjectiveOptions


class Failing(CrossEntropy):
    def __init__(self, faults, seen):
        super().__init__(0.0, None)
        self.faults, self.seen = faults, seen

    def step(self, model, labelled, unlabelled, progress):
        for fault in self.faults:
            cause, rank, step = fault.split()
            if os.environ.get("RANK", "0") == rank and progress.step == int(step):
                self.fail(cause, model, labelled, os.path.join(self.seen, fault))
        return super().step(model, labelled, unlabelled, progress)

    def fail(self, cause, model, labelled, seen):
        if cause == "memory" and len(labelled.inputs) > 2:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
        # Once only: the run goes on afterwards.
        if cause == "memory" or os.path.exists(seen):
            return
        open(seen, "w").close()
        if cause == "bug":
            raise ZeroDivisionError("division by zero")
        if cause == "weights":
            with torch.no_grad():
                next(iter(model.module.parameters())).view(-1)[0] += 1e-6
        else:
            os.kill(os.getpid(), getattr(signal, cause))


class FailingOptions(SupervisedObjectiveOptions):
    faults: tuple[str, ...] = ()
    seen: str

    def build(self, context):
        return Failing(self.faults, self.seen)


class AloneOptions(CrossEntropyOptions):
    several_processes: ClassVar[bool] = False


@hookimpl
def kexp_objectives():
    return {"failing": FailingOptions, "alone": AloneOptions}
"""

SPEC = """
seeds = [1]
plugins.local = ["failing.py"]
[dataset]
use = "table"
path = "data.csv"
[backbone]
use = "hf"
path = "plain"
[training]
epochs = 3
batch_size = 13
max_length = 12
learning_rate = 3e-3
checkpoint_every_steps = 3
[evaluation]
baselines = []
[objective]
use = "failing"
seen = "{folder}"
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, reviews: Path) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    table = pd.read_csv(reviews).iloc[:120]
    table.to_csv(folder / "data.csv", index=False)
    without_dropout(folder / "plain", table["text"].tolist())
    (folder / "failing.py").write_text(PLUGIN)
    path = folder / "spec.toml"
    path.write_text(SPEC.format(folder=folder))
    return path


@pytest.fixture(scope="module")
def expected(spec: Path) -> Path:
    """The run of one process that nothing happens to."""
    runs = spec.parent / "expected"
    ended = kexp("run", spec, "--runs-dir", runs, "--quiet", "--allow-local-code")
    assert ended.exit_code == 0, ended.output
    (folder,) = (runs / "spec").iterdir()
    return folder


def run(processes: int, *arguments: str | Path, **options: Any) -> Ended:
    return torchrun("-m", "kexp", "run", *arguments, "--quiet", "--allow-local-code", processes=processes, **options)


def only_folder(runs: Path) -> Path:
    (folder,) = (runs / "spec").iterdir()
    return folder


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "default/seed-1/result.json").read_text())
    return found


def need_equal(folder: Path, expected: Path) -> None:
    """Compare the results of a run that went on with those of one that was not interrupted."""
    found, known = (load_file(one / "default/seed-1/model/model.safetensors") for one in (folder, expected))
    for name, values in known.items():
        torch.testing.assert_close(found[name], values, atol=2e-5, rtol=0, msg=name)
    for split, metrics in result(expected)["metrics"].items():
        assert result(folder)["metrics"][split] == pytest.approx(metrics, abs=1e-4), split
    logs = [(one / "default/seed-1/metrics.jsonl").read_text().splitlines() for one in (folder, expected)]
    steps = [
        [(event["event"], event["step"]) for event in map(json.loads, log) if event["event"] in ("epoch", "evaluation")]
        for log in logs
    ]
    assert steps[0] == steps[1]


def faults(spec: Path, *named: str) -> list[str]:
    for name in named:
        (spec.parent / name).unlink(missing_ok=True)
    return ["--set", f"objective.faults={json.dumps(named)}"]


@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_processes(spec: Path, expected: Path, tmp_path: Path) -> None:
    """Memory that is short in one process, a lost process, a Ctrl-C in one process; then one process ends the run."""
    chosen = faults(spec, "memory 1 4", "SIGKILL 1 8", "SIGINT 2 13")
    ended = run(2, spec, "--runs-dir", tmp_path, *chosen)
    folder = only_folder(tmp_path)
    again = f"continue with: kexp run --resume {folder}"
    assert ended.status != 0
    assert "another process of this run has ended, or cannot be reached" in ended.errors
    assert again in ended.errors
    assert "Traceback" not in ended.errors.partition("torch/distributed")[0]
    assert result(folder)["status"] == "failed"

    ended = run(3, "--resume", folder)
    assert ended.status != 0
    assert f"interrupted; {again}" in ended.errors
    assert result(folder)["reason"] == "stopped after step 14 of 24"

    assert kexp("run", "--resume", folder, "--quiet", "--allow-local-code").exit_code == 0
    need_equal(folder, expected)
    found = result(folder)
    assert found["rows_per_pass"] == 4
    assert "processes" not in found
    said = "\n".join(found["remarks"])
    assert "out of memory at step 5: from here on a batch takes 2 passes" in said
    assert "on 3 processes train, until then 2 did" in said
    assert "from step 14 on one process train" in said


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_two(spec: Path, expected: Path, tmp_path: Path) -> None:
    """A Ctrl-C; the first process is lost; weights that are not those of the other; an error of a plugin."""
    chosen = faults(spec, "SIGINT 0 2", "SIGKILL 0 7", "weights 1 12", "bug 1 17")
    ended = kexp("run", spec, "--runs-dir", tmp_path, "--quiet", "--allow-local-code", *chosen)
    folder = only_folder(tmp_path)
    assert ended.exit_code == 130, ended.output

    ended = run(2, "--resume", folder)
    assert ended.status != 0
    assert f"continue with: kexp run --resume {folder}" in ended.errors

    ended = run(2, "--resume", folder)
    assert ended.status != 0
    assert "the 2 processes have different weights at step 15 (bert.embeddings.word_embeddings.weight" in ended.errors

    ended = run(2, "--resume", folder)
    assert ended.status != 0
    reason = result(folder)["reason"]
    assert reason.startswith("process 1 on ")
    assert reason.endswith("ZeroDivisionError: division by zero")
    assert reason in ended.errors

    ended = run(2, "--resume", folder)
    assert ended.status == 0, ended.errors
    need_equal(folder, expected)
    assert result(folder)["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_launcher_stops_all_processes_after_their_step(number: signal.Signals, spec: Path, tmp_path: Path) -> None:
    def stop(launcher: subprocess.Popen[str]) -> None:
        wait_until(
            lambda: any(
                "evaluation" in path.read_text() for path in tmp_path.glob("spec/*/default/seed-1/metrics.jsonl")
            )
        )
        os.kill(launcher.pid, number)

    ended = run(2, spec, "--runs-dir", tmp_path, "--set", "training.epochs=5000", meanwhile=stop)
    folder = only_folder(tmp_path)
    assert ended.status != 0
    assert f"interrupted; continue with: kexp run --resume {folder}" in ended.errors
    assert result(folder)["status"] == "interrupted"
    assert sorted((folder / "default/seed-1/checkpoint").glob("step-*"))


@pytest.mark.slow
def test_what_cannot_be_run_is_refused_once_and_leaves_nothing(spec: Path, tmp_path: Path) -> None:
    ended = run(2, spec, "--runs-dir", tmp_path, "--set", 'objective={use = "alone"}')
    assert ended.status != 0
    said = "variant default: objective alone cannot train in 2 processes: it does not return the part of a process"
    assert ended.errors.count(said) == 1
    assert "exitcode  : 2" in ended.errors
    assert list(tmp_path.iterdir()) == []
