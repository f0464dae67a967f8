"""Jobs of a real SLURM cluster: their options and variables, and what becomes of those that are ended from outside."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import works
from cluster_of_this_machine import Cluster, call, is_installed, slurm
from told import told

from kexp.contracts import Ended, ExecutorContext, Lost, Task, Told
from kexp.errors import KexpError
from kexp_slurm import cluster
from kexp_slurm.executor import SlurmExecutor
from kexp_slurm.options import Slurm

Build = Callable[..., SlurmExecutor]


@pytest.fixture(scope="module", autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not is_installed():
        if "KEXP_NO_SKIPS" in os.environ:
            pytest.fail("nothing may be skipped here: SLURM is not installed")
        pytest.skip("SLURM is not installed")
    with slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Return a function that builds an executor, which looks at the queue often; it is closed at the end."""
    monkeypatch.setattr(cluster, "CHECK_EVERY", 0.5)
    monkeypatch.setattr(cluster, "SETTLE", 2.0)
    built: list[Any] = []

    def make(**options: Any) -> Any:
        context = ExecutorContext(works.work, 2, "auto")
        built.append(Slurm(**{"folder": tmp_path / "작업 폴더", "time": 5, **options}).build(context))
        return built[-1]

    yield make
    for executor in built:
        executor.close()


def running(executor: SlurmExecutor, number: int, folder: Path) -> tuple[int, str]:
    """Begin a task that works until it is stopped; return its process and its job."""
    executor.submit(Task(number, {"do": "until_stopped", "folder": str(folder)}))
    (message,) = told(executor)
    assert isinstance(message, Told)
    ((_, submitted),) = executor._of(number)
    assert submitted.job is not None
    return message.news["process"], submitted.job.job_id


def test_jobs_have_their_variables_and_none_of_the_launcher(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    for name, value in {"WORLD_SIZE": "8", "SLURM_JOB_ID": "1", "SBATCH_PARTITION": "nowhere", "MINE": "값"}.items():
        monkeypatch.setenv(name, value)
    executor = build(
        cpus=2, partition="short", setup=["export LATER=예"], extra={"comment": "두 낱말", "no-kill": True}
    )
    executor.submit(Task(7, {"do": "environment"}))
    (message,) = told(executor)
    assert isinstance(message, Ended)
    assert message.number == 7
    environment = message.result["environment"]
    assert environment["MINE"] == "값"
    assert environment["LATER"] == "예"
    assert environment["OMP_NUM_THREADS"] == environment["SLURM_CPUS_PER_TASK"] == "2"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["SLURM_JOB_PARTITION"] == "short"
    assert environment["SLURM_JOB_ID"] != "1"
    assert "WORLD_SIZE" not in environment
    # This process is as it was.
    assert (os.environ["WORLD_SIZE"], os.environ["SLURM_JOB_ID"]) == ("8", "1")
    assert "OMP_NUM_THREADS" not in os.environ


def test_task_that_waits_for_a_node_is_cancelled_when_it_is_stopped(build: Build, tmp_path: Path) -> None:
    executor = build(cpus=4)
    _, first = running(executor, 1, tmp_path)
    executor.submit(Task(2, {"do": "until_stopped", "folder": str(tmp_path)}))
    assert told(executor, seconds=2) == []
    executor.stop(2)
    assert told(executor) == [Lost(2, "it was stopped before it began")]
    assert call("squeue", "--noheader", "--format=%i").split() == [first]
    executor.stop(1)
    assert told(executor) == [Ended(1, {"stopped": True})]


def test_cancelled_job_stores_a_checkpoint_and_is_lost(build: Build, tmp_path: Path) -> None:
    executor = build()
    _, job = running(executor, 1, tmp_path)
    call("scancel", job)
    assert told(executor) == [Lost(1, "the cluster ended its job: it was cancelled, or preempted by another one")]
    assert (tmp_path / "checkpoint-1").exists()


def test_job_near_its_time_limit_stores_a_checkpoint_and_is_lost(build: Build, tmp_path: Path) -> None:
    executor = build()
    _, job = running(executor, 1, tmp_path)
    # The signal that sbatch is asked for.
    assert "USR2@120" in next(iter(tmp_path.glob(f"작업 폴더/*/jobs/{job}_submission.sh"))).read_text("utf-8")
    call("scancel", "--signal=USR2", job)
    reason = "its time limit of 5 minutes was reached; set a higher time for the executor"
    assert told(executor) == [Lost(1, reason)]
    assert (tmp_path / "checkpoint-1").exists()


def test_killed_process_is_lost_and_the_others_go_on(build: Build, tmp_path: Path) -> None:
    executor = build()
    process, job = running(executor, 1, tmp_path)
    running(executor, 2, tmp_path)
    os.kill(process, signal.SIGKILL)
    (message,) = told(executor)
    assert isinstance(message, Lost)
    assert message.number == 1
    assert message.reason.startswith("its process died (job state FAILED); ")
    assert message.reason.endswith(f"/{job}_0_log.err")
    executor.stop(2)
    assert told(executor) == [Ended(2, {"stopped": True})]


def test_jobs_of_a_node_that_is_gone_are_lost(build: Build, machine: Cluster, tmp_path: Path) -> None:
    executor = build()
    running(executor, 1, tmp_path)
    (node,) = set(call("sinfo", "--noheader", "--format=%n").split())
    machine.kill_node()
    # SLURM finds out by itself after some minutes.
    call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        (message,) = told(executor)
    finally:
        call("scontrol", "update", f"nodename={node}", "state=resume")
        machine.start_node()
        machine.wait_until_idle()
    assert isinstance(message, Lost)
    assert message.reason.startswith("its node is gone; ")


def test_why_slurm_holds_a_job_back_is_told_once(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    executor = build(time=600)
    for number in (1, 2):
        executor.submit(Task(number, {"do": "environment"}))
    assert told(executor, seconds=6) == []
    said = [re.sub(r"\d+", "N", record.getMessage()) for record in caplog.records]
    # For some seconds the reason is another one.
    assert "SLURM holds job N back: PartitionTimeLimit" in said
    assert len(said) == len(set(said))


def test_closing_cancels_what_runs_and_what_waits(build: Build, tmp_path: Path) -> None:
    executor = Slurm(cpus=4, folder=tmp_path / "folder").build(ExecutorContext(works.work, 2, "cpu"))
    running(executor, 1, tmp_path)  # type: ignore[arg-type]
    executor.submit(Task(2, {"do": "until_stopped", "folder": str(tmp_path)}))
    executor.close()
    end = time.monotonic() + 60
    while call("squeue", "--noheader"):
        assert time.monotonic() < end, "a job outlives its executor"
        time.sleep(0.1)
    # Specs may hold secrets.
    assert not list(tmp_path.rglob("*_submitted.pkl"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "nowhere"}, "invalid partition specified: nowhere"),
        ({"cpus": 500}, "Requested node configuration is not available"),
        ({"extra": {"nonsense": "x"}}, "nonsense"),
    ],
)
def test_what_slurm_does_not_take_is_told_at_once(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(KexpError) as raised:
        Slurm(folder=tmp_path / "folder", **options).build(ExecutorContext(works.work, 2, "auto"))
    told = str(raised.value)
    assert told.startswith('executor "slurm": SLURM does not take such a job: ')
    assert message.lower() in told.lower()
    assert told.endswith("change the executor's options; sinfo shows partitions and their limits")
    assert not (tmp_path / "folder").exists()
