"""The local executor with real processes: results, reports, wishes to stop, and processes that are gone."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kexp.catalog import Catalog
from kexp.contracts import Ended, ExecutorContext, Lost, Reported, Task

MODULE = "work_of_the_executor_tests"
# numpy stands at the top as it does in what trials import.
SOURCE = """
import os, time, numpy
from threadpoolctl import threadpool_info
def work(task, link):
    return globals()[task.payload["do"]](link, **task.payload["options"])
def echo(link, **options):
    return {**options, "pid": os.getpid(), "stop": link.should_stop()}
def tell(link, values=(1.0,)):
    answers = [link.report(1, values[0])]
    while answers[-1] == "go on" and len(answers) < len(values):
        answers.append(link.report(len(answers) + 1, values[len(answers)]))
    return {"answers": answers, "stop": link.should_stop()}
def last(link, deaf=False):
    link.report(1, 1.0)
    while deaf or not link.should_stop():
        time.sleep(0.01)
    return {"stopped": True}
def end(link, how):
    if isinstance(how, int): os.kill(os.getpid(), how)
    raise {"exit": SystemExit(3), "value": ValueError("planted"), "file": FileNotFoundError(), "end": EOFError()}[how]
def environment(link):
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"env": [os.environ.get(key) for key in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")], "blas": blas}
"""
Build = Callable[..., Any]
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog: Catalog) -> Iterator[Build]:
    """Return a function that starts an executor; its work is a module's own, which a spawned process can import."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    work, built = importlib.import_module(MODULE).work, list[Any]()

    def start(jobs: int = 1, device: str = "cpu") -> Any:
        built.append(catalog.find("executor", "local").options().build(ExecutorContext(work, jobs, device)))  # type: ignore[attr-defined]
        return built[-1]

    yield start
    for executor in built:
        executor.close()
    del sys.modules[MODULE]


def submit(executor: Any, number: int, do: str, **options: Any) -> None:
    executor.submit(Task(number, {"do": do, "options": options}))


def told(executor: Any, count: int = 1) -> list[Any]:
    messages: list[Any] = []
    while len(messages) < count:
        found = executor.wait(60)
        assert found, "nothing was told within a minute"
        messages += found
    return messages


def done(executor: Any, number: int) -> Any:
    submit(executor, number, "echo")
    return told(executor)[0].result


def gone(process: psutil.Process) -> bool:
    """Tell whether a process ends; one whose parent was killed may stay as a zombie where nobody reaps."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for _ in range(1200):
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.05)
        return False
    return True


def test_reports_wait_for_their_answers(build: Build) -> None:
    executor = build()
    for number, last in enumerate(("go on", "prune", "stop")):
        submit(executor, number, "tell", values=[0.5, 0.25])
        assert told(executor) == [Reported(number, 1, 0.5)]
        assert list(executor.wait(0.05)) == []
        executor.answer(number, "go on")
        assert told(executor) == [Reported(number, 2, 0.25)]
        executor.answer(number, last)
        assert told(executor) == [Ended(number, {"answers": ["go on", last], "stop": False})]


def test_every_task_ends_once_in_processes_that_stay(build: Build) -> None:
    executor, ended, numbers = build(jobs=2), list[Any](), iter(range(2, 12))
    for number in range(2):
        submit(executor, number, "echo", value=number**2)
    while len(ended) < 12:
        ended += (found := told(executor))
        for number in itertools.islice(numbers, len(found)):
            submit(executor, number, "echo", value=number**2)
    assert sorted((message.number, message.result["value"]) for message in ended) == [(n, n**2) for n in range(12)]
    assert len({message.result["pid"] for message in ended} | {os.getpid()}) == 3


def test_a_running_task_is_stopped(build: Build) -> None:
    executor = build()
    submit(executor, 1, "last")
    told(executor)
    executor.answer(1, "go on")
    executor.stop(1)
    assert told(executor) == [Ended(1, {"stopped": True})]
    # Who is stopped before its answer comes takes the wish for the answer, and what comes after it is forgotten.
    submit(executor, 2, "tell", values=[1.0, 2.0])
    assert executor.slots[0].connection.poll(60)
    executor.stop(2)
    assert told(executor) == [Reported(2, 1, 1.0)]
    executor.answer(2, "stop")
    assert told(executor)[0].result["answers"] == ["stop"]
    assert done(executor, 3)["stop"] is False


def test_a_stop_that_crosses_the_end_of_a_task_is_not_for_the_next_one(build: Build) -> None:
    executor = build()
    submit(executor, 1, "echo")
    # The end has been told but not read.
    assert executor.slots[0].connection.poll(60)
    executor.stop(1)
    assert [message.number for message in told(executor)] == [1]
    executor.stop(1)
    submit(executor, 2, "tell")
    assert told(executor) == [Reported(2, 1, 1.0)]
    executor.answer(2, "go on")
    assert told(executor) == [Ended(2, {"answers": ["go on"], "stop": False})]


@pytest.mark.parametrize(
    ("how", "reason"),
    [*((how, "its process was killed by signal 9; the system may have run out of memory: use fewer jobs") for how in (9, "idle")),
     (15, "its process was killed by signal 15"), ("exit", "its process ended with status 3"),
     # Errors of the work itself are not the end of the pipe, whatever they are.
     *((error, "its process ended with status 1") for error in ("value", "file", "end"))],
)  # fmt: skip
def test_a_process_that_is_gone_is_told_and_replaced(build: Build, how: Any, reason: str) -> None:
    executor = build()
    before = psutil.Process(done(executor, 1)["pid"])
    if how == "idle":
        before.kill()
        assert gone(before)
    submit(executor, 2, "end", how=how)
    assert told(executor) == [Lost(2, reason)]
    assert done(executor, 3)["pid"] not in (before.pid, os.getpid())


def environments(executor: Any, jobs: int) -> list[Any]:
    for number in range(jobs):
        submit(executor, number, "environment")
    return [message.result for message in sorted(told(executor, jobs), key=lambda message: message.number)]


@pytest.mark.parametrize(
    ("jobs", "device", "visible", "threads", "devices"),
    [(2, "auto", "2,5", None, ["2", "5"]), (3, "cuda", "2,5", "7", ["2", "5", "2"]), (2, "cpu", "2,5", None, ["2,5", "2,5"]),
     (2, "cuda:1", "2,5", "7", ["2,5", "2,5"]), (2, "auto", "5", None, ["5", "5"]), (1, "auto", "2,5", None, ["2,5"])],
)  # fmt: skip
def test_jobs_share_processors_and_devices(
    build: Build, monkeypatch: pytest.MonkeyPatch, jobs: int, device: str, visible: str, threads: Any, devices: Any
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("OMP_NUM_THREADS", threads) if threads else monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    expected = threads or (None if jobs == 1 else str(max(1, PROCESSORS // jobs)))
    assert [one["env"] for one in environments(build(jobs, device), jobs)] == [[expected, each] for each in devices]


def test_who_replaces_a_lost_job_takes_over_its_device(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    executor = build(2, "cuda")
    for number in (1, 2):
        submit(executor, number, "tell", values=[number])
    # Both are under way, and each gets its own answer.
    assert sorted(map(repr, told(executor, 2))) == [repr(Reported(number, 1, number)) for number in (1, 2)]
    executor.answer(2, "prune")
    assert told(executor) == [Ended(2, {"answers": ["prune"], "stop": False})]
    submit(executor, 3, "end", how=9)
    assert [(type(message), message.number) for message in told(executor)] == [(Lost, 3)]
    executor.answer(1, "go on")
    assert told(executor) == [Ended(1, {"answers": ["go on"], "stop": False})]
    assert [result["env"][1] for result in environments(executor, 2)] == ["2", "5"]


def test_the_share_is_there_before_the_work_imports_anything(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    used = [threads for result in environments(build(2), 2) for threads in result["blas"]]
    assert all(threads <= max(1, PROCESSORS // 2) for threads in used), used


def test_closing_ends_processes_that_are_at_work_and_those_that_are_not(build: Build) -> None:
    executor = build(3)
    processes = [psutil.Process(slot.process.pid) for slot in executor.slots]
    submit(executor, 1, "last", deaf=True)
    submit(executor, 2, "tell")
    told(executor, 2)
    executor.answer(1, "go on")
    executor.close()
    executor.slots.clear()
    assert not any(process.is_running() for process in processes)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="there are no signals to block")
def test_ctrl_c_while_processes_begin_is_none_of_their_business(build: Build) -> None:
    # A terminal sends it to every process that began in it and has not left its session.
    executor = build(2)
    processes = [slot.process.pid for slot in executor.slots]
    for number, process in enumerate(processes):
        os.kill(process, signal.SIGINT)
        submit(executor, number, "echo")
    assert {message.result["pid"] for message in told(executor, 2)} == {*processes}


def test_processes_without_a_task_are_not_waited_for(build: Build) -> None:
    executor = build(2)
    # Long before they have imported what they need, after which the end of their pipe would end them.
    executor.close()
    assert [slot.process.exitcode for slot in executor.slots] == [-signal.SIGKILL, -signal.SIGKILL]
    executor.slots.clear()


PARENT = f"""
import sys, time
from kexp.builtin.executors import Local
from kexp.contracts import ExecutorContext, Task
import {MODULE}
if __name__ == "__main__":
    executor = Local().build(ExecutorContext({MODULE}.work, 1, "cpu"))
    executor.submit(Task(1, {{"do": sys.argv[1], "options": {{}}}}))
    executor.wait(60)
    if sys.argv[1] == "last": executor.answer(1, "go on")
    print(executor.slots[0].process.pid, flush=True), time.sleep(600)
"""


@pytest.mark.parametrize("do", ["last", "tell", "echo"], ids=["at work", "waiting for an answer", "idle"])
def test_a_process_ends_by_itself_when_its_parent_is_killed(build: Build, tmp_path: Path, do: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script, do], stdout=subprocess.PIPE, text=True) as parent:
        try:
            child = psutil.Process(int(parent.stdout.readline()))  # type: ignore[union-attr]
            assert child.ppid() == parent.pid
        finally:
            parent.kill()
    assert gone(child)


SCRIPT = """
import sys
from pathlib import Path

from kexp.builtin.executors import Local
from kexp.contracts import ExecutorContext, Task
from kexp.testing.executor_work import work

with open(sys.argv[1], "a") as file:
    file.write("begun\\n")
executor = Local().build(ExecutorContext(work, 1, "cpu"))
executor.submit(Task(7, {"do": "echo", "word": "말"}))
while not (messages := executor.wait(10)):
    pass
executor.close()
print(messages[0].result["word"], Path(__file__).name, __spec__)
"""


def test_a_script_does_not_begin_again_in_its_processes(tmp_path: Path) -> None:
    script, begun = tmp_path / "프로그램.py", tmp_path / "begun"
    script.write_text(SCRIPT, "utf-8")
    done = subprocess.run([sys.executable, script, begun], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert begun.read_text() == "begun\n"
    # The program is as it was.
    assert done.stdout == "말 프로그램.py None\n"
