"""Whole studies through the command line, on a cluster of this machine and in its place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from cluster_of_this_machine import call, is_installed, slurm
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

SPEC = """
[dataset]
use = "table"
path = "reviews.csv"
[backbone]
use = "tiny"
layers = 1
hidden = 16
heads = 2
vocabulary = 300
[training]
steps = {steps}
evaluate_every = 50
max_length = 16
batch_size = 16
[search]
trials = 3
jobs = 2
executor = {{use = "slurm", cluster = "{cluster}", folder = "jobs"}}
pruner = "none"
[search.space]
"training.learning_rate" = {{low = 1e-4, high = 2e-2, log = true}}
"""
Tune = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[[int, str], Path]:
    """Return a function that writes a spec whose trials take this many steps, and its data."""
    words = {"좋음": "최고", "나쁨": "최악", "보통": "무난"}
    rows = [
        f"{number}번째 영화 {word} 배우 {number % 7},{label}" for number in range(40) for label, word in words.items()
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    path = tmp_path / "spec.toml"

    def write(steps: int, cluster: str) -> Path:
        path.write_text(SPEC.format(steps=steps, cluster=cluster), encoding="utf-8")
        return path

    return write


@pytest.fixture
def tune(tmp_path: Path) -> Iterator[Tune]:
    """Return a function that begins a search in a process group of its own, as a shell does; none outlives the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(path: Path, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kexp", "tune", str(path), *arguments, "--json", "--quiet"]
        begun.append(
            subprocess.Popen(
                [*command, "--runs-dir", str(tmp_path / "runs")],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            )
        )  # fmt: skip
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def eventually(look: Callable[[], Any], search: subprocess.Popen[str], what: str) -> Any:
    """Look until there is something, while the search goes on, and return it."""
    end = time.monotonic() + 240
    while not (found := look()):
        assert search.poll() is None, search.communicate()
        assert time.monotonic() < end, f"not within four minutes: {what}"
        time.sleep(0.1)
    return found


def trials_of(found: dict[str, Any]) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(f"{found['folder']}/journal.log"))
    return optuna.load_study(study_name=found["study"], storage=storage).trials


def test_study_survives_a_job_that_is_cancelled(
    write_spec: Callable[[int, str], Path], tune: Tune, tmp_path: Path
) -> None:
    if not is_installed():
        if "KEXP_NO_SKIPS" in os.environ:
            pytest.fail("nothing may be skipped here: SLURM is not installed")
        pytest.skip("SLURM is not installed")
    (tmp_path / "slurm").mkdir()
    with slurm(tmp_path / "slurm"):
        search = tune(write_spec(400, "slurm"))

        def training() -> list[str]:
            begun = tmp_path.glob("runs/*/*/trials/*/seed-1/metrics.jsonl")
            return call("squeue", "--noheader", "--states=running", "--format=%i").split() if any(begun) else []

        call("scancel", min(eventually(training, search, "a trial trains"), key=int))
        output, errors = search.communicate(timeout=300)
        assert call("squeue", "--noheader") == ""
    assert search.returncode == 0, errors
    assert "Traceback" not in errors
    found = json.loads(output)
    assert {name: found["trials"].get(name, 0) for name in ("complete", "pruned", "failed", "lost")} == {
        "complete": 3, "pruned": 0, "failed": 0, "lost": 1
    }  # fmt: skip
    trials = trials_of(found)
    (lost,) = [trial for trial in trials if trial.user_attrs.get("outcome") == "lost"]
    assert lost.user_attrs["reason"].startswith("the cluster ended its job: it was cancelled")
    (retry,) = [trial for trial in trials if trial.user_attrs.get("retry of") == lost.number]
    assert retry.state.name == "COMPLETE"
    assert retry.params == lost.params


def test_ctrl_c_gives_the_trials_back_and_the_search_goes_on(
    write_spec: Callable[[int, str], Path], tune: Tune, tmp_path: Path
) -> None:
    path = write_spec(10**6, "local")
    search = tune(path)
    eventually(lambda: list(tmp_path.glob("runs/*/*/trials/*/seed-1/metrics.jsonl")), search, "a trial trains")
    os.killpg(search.pid, signal.SIGINT)
    output, errors = search.communicate(timeout=120)
    assert search.returncode == 130, errors
    assert "Traceback" not in errors
    found = json.loads(output)
    assert found["status"] == "interrupted"
    assert found["trials"]["interrupted"] in (1, 2)
    assert all(trial.state.name == "FAIL" for trial in trials_of(found))


def test_a_machine_without_slurm_is_told_at_once(
    write_spec: Callable[[int, str], Path], tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    search = tune(write_spec(1, "slurm"))
    output, errors = search.communicate(timeout=120)
    assert search.returncode == 2
    assert "there is no sbatch on this machine" in errors
    assert "Traceback" not in errors
    assert not output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews.csv", "spec.toml"]


def weights_of(folder: Path) -> dict[str, bytes]:
    """Return the weights of every run of an experiment by its folder."""
    (run,) = folder.glob("spec/*")
    return {
        path.relative_to(run).parts[1]: path.read_bytes() for path in sorted(run.glob("*/*/model/model.safetensors"))
    }


def test_runs_as_jobs_have_the_weights_of_runs_one_after_the_other(
    write_spec: Callable[[int, str], Path], tmp_path: Path
) -> None:
    path = write_spec(10, "local")
    command = [sys.executable, "-m", "kexp", "run", str(path), "--seeds", "1,2", "--quiet", "--runs-dir"]
    jobs = ["--jobs", "2", "--executor", "slurm", "--set", "execution.executor.cluster=local"]
    jobs += ["--set", f"execution.executor.folder={tmp_path / 'jobs'}"]
    for folder, options in (("one", []), ("both", jobs)):
        subprocess.run([*command, str(tmp_path / folder), *options], check=True, capture_output=True)
    alone = weights_of(tmp_path / "one")
    assert alone.keys() == {"seed-1", "seed-2"}
    assert weights_of(tmp_path / "both") == alone
    # The command was over when its jobs were, and of their specs nothing is left.
    assert not list((tmp_path / "jobs").rglob("*_submitted.pkl"))
