"""Whole studies through the command line, on clusters whose machines are processes of this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
import works
from helpers import Node, eventually, free_port, listening, process_of
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from kexp.contracts import Ended, ExecutorContext, Lost, Task
from kexp_ray.options import Ray

HERE = Path(__file__).parent

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
trials = 4
jobs = 2
executor = "ray"
pruner = "none"
[search.space]
"training.learning_rate" = {{low = 1e-4, high = 2e-2, log = true}}
"""
Write = Callable[[int], Path]


@dataclass(frozen=True)
class Cluster:
    """Where a cluster listens, and the node of it that is not the head."""

    address: str
    other: Node


@pytest.fixture
def write_spec(tmp_path: Path) -> Write:
    """Return a function that writes a spec whose trials take this many steps, and its data."""
    words = {"좋음": "최고", "나쁨": "최악", "보통": "무난"}
    rows = [
        f"{number}번째 영화 {word} 배우 {number % 7},{label}" for number in range(40) for label, word in words.items()
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    path = tmp_path / "spec.toml"

    def write(steps: int) -> Path:
        path.write_text(SPEC.format(steps=steps), encoding="utf-8")
        return path

    return write


@pytest.fixture
def tune(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that begins a search, or runs, in a process group of its own, as a shell does; none outlives the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, command: str = "tune", **environment: str) -> subprocess.Popen[str]:
        kexp = str(Path(sys.executable).with_name("kexp"))
        line = [kexp, command, *map(str, arguments), "--runs-dir", str(tmp_path / "runs"), "--json", "--quiet"]
        pipe = subprocess.PIPE
        begun.append(
            subprocess.Popen(
                line, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment}, start_new_session=True
            )
        )
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def trials_of(found: dict[str, Any]) -> list[FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(f"{found['folder']}/journal.log"))
    return optuna.load_study(study_name=found["study"], storage=storage).trials


def number_of(log: Path) -> int:
    """Return the number of the trial whose log this is: ``trials/NUMBER/seed-1/log.txt`` of its first attempt."""
    return int(log.parent.parent.name.partition("-")[0])


@pytest.fixture
def start_cluster(short_folder: Path) -> Iterator[Callable[..., Cluster]]:
    """Return a function that starts a cluster of two nodes; they are gone after the test."""
    nodes: list[Node] = []

    def start(**environment: str) -> Cluster:
        port, client = free_port(), free_port()
        head = ("--head", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false")
        nodes.append(Node(short_folder / "a", *head, **environment))
        eventually(lambda: listening(port), "the head of the cluster listens")
        nodes.append(Node(short_folder / "b", f"--address=127.0.0.1:{port}", **environment))
        return Cluster(f"127.0.0.1:{port}", nodes[-1])

    yield start
    for node in nodes:
        node.kill()


def test_study_survives_a_machine(
    start_cluster: Callable[..., Cluster], write_spec: Write, tune: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    cluster = start_cluster()
    search = tune(write_spec(500), RAY_ADDRESS=cluster.address)

    def later_trial() -> Path | None:
        assert search.poll() is None, search.communicate()
        logs = [log for log in tmp_path.glob("runs/*/*/trials/*/seed-1/log.txt") if number_of(log) >= 2]
        # A file that is open on a node is that of the trial which runs there; to look is costly.
        return next((log for log in logs if log in cluster.other.open_files("log.txt")), None)

    log = eventually(later_trial, "the other node has a trial after the first ones")
    cluster.other.kill()
    assert not (log.parent / "result.json").exists(), "the trial was over before its machine was"

    output, errors = search.communicate(timeout=240)
    assert search.returncode == 0, errors
    assert "Traceback" not in errors
    found = json.loads(output)
    assert {name: found["trials"].get(name, 0) for name in ("complete", "pruned", "failed", "lost")} == {
        "complete": 4, "pruned": 0, "failed": 0, "lost": 1
    }  # fmt: skip
    trials = trials_of(found)
    lost = trials[number_of(log)]
    assert lost.user_attrs["outcome"] == "lost"
    assert "machine" in lost.user_attrs["reason"]
    (retry,) = [trial for trial in trials if trial.user_attrs.get("retry of") == lost.number]
    assert retry.state.name == "COMPLETE"
    assert retry.params == lost.params


def test_frozen_machine_is_lost_though_its_connections_stay(
    start_cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    quick = {"initial_delay": "1000", "period": "1000", "timeout": "1000"}
    cluster = start_cluster(
        PYTHONPATH=os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        **{f"RAY_health_check_{name}_ms": value for name, value in quick.items()},
    )
    executor = Ray(address=cluster.address).build(ExecutorContext(works.work, 2, "cpu"))
    try:
        for number in range(2):
            executor.submit(Task(number, {"do": "until_stopped", "folder": str(tmp_path)}))
        processes = [process_of(number, tmp_path) for number in range(2)]
        frozen = next(number for number in range(2) if processes[number] in cluster.other.processes())
        cluster.other.freeze()
        assert eventually(lambda: executor.wait(1), "the task is lost") == [Lost(frozen, "its machine is gone")]
        executor.stop(1 - frozen)
        assert eventually(lambda: executor.wait(1), "the other task ends") == [Ended(1 - frozen, {"stopped": True})]
    finally:
        executor.close()
    assert not ray.is_initialized()


def test_ctrl_c_gives_the_trials_back_and_the_cluster_of_this_machine_ends(
    write_spec: Write, tune: Callable[..., subprocess.Popen[str]], tmp_path: Path, short_folder: Path
) -> None:
    path = write_spec(10**6)
    search = tune(path, "--jobs", "1", "--set", "search.executor.address=local", RAY_TMPDIR=str(short_folder))

    def begun() -> bool:
        assert search.poll() is None, search.communicate()
        return bool(list(tmp_path.glob("runs/*/*/trials/*/seed-1/metrics.jsonl")))

    eventually(begun, "a trial runs")
    os.killpg(search.pid, signal.SIGINT)
    output, errors = search.communicate(timeout=120)
    assert search.returncode == 130, errors
    assert "Traceback" not in errors
    found = json.loads(output)
    assert found["status"] == "interrupted"
    assert found["trials"]["interrupted"] == 1
    assert all(trial.state.name == "FAIL" for trial in trials_of(found))


def test_runs_go_to_the_cluster_and_ctrl_c_leaves_none_waiting(
    write_spec: Write, tune: Callable[..., subprocess.Popen[str]], tmp_path: Path, short_folder: Path
) -> None:
    path = write_spec(30)
    path.write_text(path.read_text("utf-8").partition("[search]")[0], "utf-8")
    options = ("--executor", "ray", "--set", "execution.executor.address=local", "--seeds", "1,2,3", "--jobs", "3")
    runs = tune(path, *options, command="run", RAY_TMPDIR=str(short_folder))
    output, errors = runs.communicate(timeout=400)
    assert runs.returncode == 0, errors
    assert "Traceback" not in errors
    found = json.loads(output)
    assert found["status"] == "done"
    assert found["variants"]["default"]["status"] == {"1": "done", "2": "done", "3": "done"}

    path.write_text(path.read_text("utf-8").replace("steps = 30", "steps = 1000000"), "utf-8")
    runs = tune(path, *options, command="run", RAY_TMPDIR=str(short_folder))

    def begun() -> bool:
        assert runs.poll() is None, runs.communicate()
        return len(list(tmp_path.glob("runs/*/*/default/seed-*/metrics.jsonl"))) > 3

    eventually(begun, "a run trains")
    os.killpg(runs.pid, signal.SIGINT)
    output, errors = runs.communicate(timeout=240)
    assert runs.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("interrupted; continue with: kexp run --resume ")
    statuses = json.loads(output)["variants"]["default"]["status"]
    assert set(statuses.values()) == {"interrupted"}


DEAF = f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("stated", "left", "message"),
    [
        (DEAF, "", f"no cluster answers at {DEAF}"),
        ("", DEAF, f"no cluster answers at {DEAF}"),
        ("nonsense", "", 'expected the address HOST:PORT, auto or local, found "nonsense"'),
    ],
)
def test_cluster_that_cannot_be_reached_is_told_at_once(
    stated: str, left: str, message: str, write_spec: Write, tune: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    if left:
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(left)
    search = tune(write_spec(1), RAY_ADDRESS=stated, RAY_TMPDIR=str(tmp_path))
    output, errors = search.communicate(timeout=60)
    assert search.returncode == 2
    assert message in errors
    assert "Traceback" not in errors
    assert not output
    assert not (tmp_path / "runs").exists()
