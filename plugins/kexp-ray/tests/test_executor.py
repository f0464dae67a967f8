"""The executor with real processes of Ray: results, answers, wishes to stop, and what becomes of tasks that die."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
import ray
import works
from helpers import eventually, process_of

from kexp.contracts import Ended, Executor, ExecutorContext, Lost, Message, Reported, Task
from kexp.errors import KexpError
from kexp_ray.executor import RayExecutor
from kexp_ray.options import Ray

HERE = Path(__file__).parent
Build = Callable[..., RayExecutor]


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    """A cluster with two processors and, as it believes, a GPU; its processes find ``works``."""
    # Short, for Ray's sockets.
    with TemporaryDirectory(prefix="kexp-", ignore_cleanup_errors=True) as folder:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
            patch.delenv("OMP_NUM_THREADS", raising=False)
            ray.init(
                "local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                object_store_memory=100_000_000, _temp_dir=folder,
            )  # fmt: skip
        yield
        ray.shutdown()


@pytest.fixture
def build() -> Iterator[Build]:
    """Return a function that builds an executor; it is closed at the end."""
    built: list[Executor] = []

    def make(**options: Any) -> Any:
        built.append(Ray(**options).build(ExecutorContext(works.work, 2, "auto")))
        return built[-1]

    yield make
    for executor in built:
        executor.close()


def task(number: int, do: str, **payload: Any) -> Task:
    return Task(number, {"do": do, **payload})


def told(executor: Executor, count: int = 1, seconds: float = 120) -> list[Message]:
    """Return as many messages as are told in this time, and no more than ``count``."""
    found: list[Message] = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        found += executor.wait(0.5)
    return found


def test_tasks_have_their_threads_and_the_variables_of_the_search_but_no_secrets(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEXP_CACHE_DIR", str(tmp_path))
    for name in ("KEXP_STORAGE", "HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "secret")
    executor = build(cpus=2)
    executor.submit(task(7, "environment"))
    (message,) = told(executor)
    assert isinstance(message, Ended)
    assert message.number == 7
    assert message.result["processors"] == 2
    environment = message.result["environment"]
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["KEXP_CACHE_DIR"] == str(tmp_path)
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert "secret" not in environment.values()


def test_gpus_are_shared_and_hidden(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    executor = build(gpus=0.5)
    executor.submit(task(0, "environment"))
    (message,) = told(executor)
    assert isinstance(message, Ended)
    assert message.result["environment"]["CUDA_VISIBLE_DEVICES"] == "0"
    assert not caplog.records
    build()
    (record,) = caplog.records
    assert "set gpus = 1 in the executor's table to use them" in record.getMessage()


def test_reports_are_answered(build: Build) -> None:
    executor = build()
    executor.submit(task(0, "tell", values=[0.5, 0.25, 0.125]))
    assert told(executor) == [Reported(0, 1, 0.5)]
    executor.answer(0, "go on")
    assert told(executor) == [Reported(0, 2, 0.25)]
    executor.answer(0, "prune")
    assert told(executor) == [Ended(0, {"answers": ["go on", "prune"]})]


def test_tasks_run_at_the_same_time_and_are_told_apart(build: Build) -> None:
    executor = build()
    for number in range(2):
        executor.submit(task(number, "tell", values=[number]))
    assert sorted(told(executor, 2), key=lambda message: message.number) == [Reported(0, 1, 0), Reported(1, 1, 1)]
    executor.answer(1, "prune")
    assert told(executor) == [Ended(1, {"answers": ["prune"]})]
    executor.answer(0, "stop")
    assert told(executor) == [Ended(0, {"answers": ["stop"]})]


def test_task_that_waits_for_its_answer_keeps_its_processors(build: Build, tmp_path: Path) -> None:
    executor = build(cpus=2)
    executor.submit(task(0, "tell", values=[0.5]))
    executor.submit(task(1, "until_stopped", folder=str(tmp_path)))
    assert told(executor) == [Reported(0, 1, 0.5)]
    assert told(executor, seconds=4) == []
    assert not (tmp_path / "1").exists()
    executor.answer(0, "go on")
    assert told(executor) == [Ended(0, {"answers": ["go on"]})]
    process_of(1, tmp_path)


def test_running_task_stops_and_returns_its_result(build: Build, tmp_path: Path) -> None:
    executor = build()
    executor.submit(task(0, "until_stopped", folder=str(tmp_path)))
    process_of(0, tmp_path)
    executor.stop(0)
    assert told(executor) == [Ended(0, {"stopped": True})]
    # It is over: a wish that comes too late changes nothing.
    executor.stop(0)
    assert told(executor, seconds=1) == []


def test_task_that_waits_for_an_answer_can_be_stopped(build: Build) -> None:
    executor = build()
    executor.submit(task(0, "tell", values=[0.5]))
    assert told(executor) == [Reported(0, 1, 0.5)]
    executor.stop(0)
    assert told(executor) == [Ended(0, {"answers": ["stop"]})]


def test_task_in_the_queue_is_stopped_without_beginning(build: Build, tmp_path: Path) -> None:
    executor = build(cpus=2)
    for number in range(2):
        executor.submit(task(number, "until_stopped", folder=str(tmp_path)))
    process_of(0, tmp_path)
    executor.stop(1)
    assert told(executor) == [Lost(1, "it was stopped before it began")]
    executor.stop(0)
    assert told(executor) == [Ended(0, {"stopped": True})]
    executor.submit(task(2, "until_stopped", folder=str(tmp_path)))
    process_of(2, tmp_path)
    assert not (tmp_path / "1").exists()


def test_work_that_raises_is_lost_with_its_error(build: Build) -> None:
    executor = build()
    executor.submit(task(0, "fail"))
    assert told(executor) == [Lost(0, "its work raised ValueError: there is no such thing")]


def test_process_that_dies_is_lost_and_the_next_task_has_another(build: Build, tmp_path: Path) -> None:
    executor = build()
    executor.submit(task(0, "die"))
    (message,) = told(executor)
    assert isinstance(message, Lost)
    assert message.reason.startswith("its process died")
    executor.submit(task(1, "until_stopped", folder=str(tmp_path)))
    process_of(1, tmp_path).kill()
    (message,) = told(executor)
    assert isinstance(message, Lost)
    executor.submit(task(2, "tell", values=[]))
    assert told(executor) == [Ended(2, {"answers": []})]


def test_tasks_stop_when_the_mailbox_is_gone_and_the_next_ones_have_another(build: Build, tmp_path: Path) -> None:
    executor = build()
    executor.submit(task(0, "until_stopped", folder=str(tmp_path)))
    executor.submit(task(1, "tell", values=[0.5]))
    assert told(executor) == [Reported(1, 1, 0.5)]
    process_of(0, tmp_path)
    ray.kill(executor.mailbox)
    ends = sorted(told(executor, 2), key=lambda message: message.number)
    assert ends == [Ended(0, {"stopped": True}), Ended(1, {"answers": ["stop"]})]
    executor.submit(task(2, "tell", values=[0.5]))
    assert told(executor) == [Reported(2, 1, 0.5)]


def test_waiting_ends_after_its_time_and_takes_no_processor(build: Build) -> None:
    executor = build()
    start, worked = time.monotonic(), time.process_time()
    assert list(executor.wait(2)) == []
    assert 2 <= time.monotonic() - start < 10
    assert time.process_time() - worked < 1


def busy(process: psutil.Process) -> bool:
    """Tell whether a worker still does a task: it may be killed, or see first that its search is gone, and be idle."""
    try:
        return "run_task" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_closing_kills_what_runs_and_leaves_a_connection_that_was_there(build: Build, tmp_path: Path) -> None:
    executor = Ray().build(ExecutorContext(works.work, 2, "auto"))
    executor.submit(task(0, "until_stopped", folder=str(tmp_path)))
    process = process_of(0, tmp_path)
    assert busy(process)
    executor.close()
    eventually(lambda: not busy(process), "the task runs no more")
    assert ray.is_initialized()


@pytest.mark.parametrize(
    ("options", "device", "message"),
    [
        (
            {"cpus": 64},
            "auto",
            "no node of the cluster has 64 processors and 0 GPUs for a trial or run, only 2 processors",
        ),
        (
            {"gpus": 2},
            "auto",
            "no node of the cluster has 1 processors and 2 GPUs for a trial or run, only 2 processors",
        ),
        ({}, "cuda", 'training.device is "cuda" and trials and runs have no GPU; set gpus = 1 in the executor'),
    ],
)
def test_what_no_node_has_is_told_at_once(options: dict[str, Any], device: str, message: str) -> None:
    with pytest.raises(KexpError, match=message):
        Ray(**options).build(ExecutorContext(works.work, 2, device))


def test_share_of_several_gpus_is_a_problem() -> None:
    assert [str(problem) for problem in Ray(gpus=1.5).problems()] == [
        "gpus: a trial has whole GPUs or a part of one, found 1.5"
    ]
    assert not list(Ray(gpus=0.5).problems())
    assert not list(Ray(gpus=2).problems())
