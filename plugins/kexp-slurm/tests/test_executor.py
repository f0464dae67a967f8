"""What needs no cluster: time limits, signs of life, jobs that are refused, options."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import works
from told import told

from kexp.contracts import Ended, ExecutorContext, Lost, Reported, Task, Told
from kexp.errors import KexpError
from kexp_slurm import executor as executor_module
from kexp_slurm.cluster import Refused
from kexp_slurm.executor import SlurmExecutor
from kexp_slurm.job import AGAIN, run_task
from kexp_slurm.mailbox import Mailbox, MailLink
from kexp_slurm.options import Slurm


class Queue:
    """A cluster that takes jobs or refuses them as a test wants, and runs none."""

    def __init__(self) -> None:
        self.refusing = ""
        self.submitted: list[tuple[Any, ...]] = []
        self.over: dict[str, str] = {}

    def submit(self, function: Callable[..., None], *arguments: Any) -> Any:
        if self.refusing:
            raise Refused(self.refusing)
        self.submitted.append(arguments)
        return type("Job", (), {"paths": type("Paths", (), {"submitted_pickle": Path("/nowhere/job.pkl")})})

    def ended(self, jobs: Mapping[str, Any]) -> Mapping[str, str]:
        return {key: reason for key, reason in self.over.items() if key in jobs}

    def cancel(self, jobs: Sequence[Any]) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is left."""


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    made = Mailbox(tmp_path / "folder", beat=0.1, grace=1.0)
    made.open()
    return made


def test_a_job_that_was_refused_is_submitted_later_and_told_once(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(executor_module, "RETRY_EVERY", 0.0)
    queue = Queue()
    queue.refusing = "QOSMaxSubmitJobPerUserLimit"
    executor = SlurmExecutor(works.work, 5, queue, mailbox)
    for number in (1, 2):
        executor.submit(Task(number, {}))
    assert told(executor, seconds=1) == []
    assert not queue.submitted
    queue.refusing = ""
    assert told(executor, seconds=1) == []
    assert [arguments[1].number for arguments in queue.submitted] == [1, 2]
    # A job that was taken after all does nothing.
    run_task(works.work, Task(1, {"do": "environment"}), mailbox, "1-1", 5)
    assert mailbox.collect() == []
    run_task(works.work, Task(1, {"do": "environment"}), mailbox, queue.submitted[0][3], 5)
    assert [type(message) for message in told(executor)] == [Ended]
    (record,) = caplog.records
    assert "takes no job now (QOSMaxSubmitJobPerUserLimit); it is tried again every minute" in record.getMessage()
    executor.close()


def test_a_job_that_is_refused_for_an_hour_is_lost(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "RETRY_EVERY", 0.0)
    monkeypatch.setattr(executor_module, "PATIENCE", 0.2)
    queue = Queue()
    queue.refusing = "no"
    executor = SlurmExecutor(works.work, 5, queue, mailbox)
    executor.submit(Task(1, {}))
    assert told(executor) == [Lost(1, "the cluster did not take its job: no")]
    executor.close()


def test_messages_are_read_before_a_job_is_lost_and_ignored_after_its_end(mailbox: Mailbox) -> None:
    queue = Queue()
    executor = SlurmExecutor(works.work, 5, queue, mailbox)
    for number in (1, 2):
        executor.submit(Task(number, {}))
    mailbox.write("1-1", "0", [Told(1, {"글": "값"}), Reported(1, 1, 0.5)])
    mailbox.write("1-1", "1", [Ended(1, {})])
    # A file that is being written, and one that a file system shows before its content.
    (mailbox.folder / "messages" / ".2-2.0.part").write_bytes(b"")
    (mailbox.folder / "messages" / "2-2.0").write_bytes(b"")
    queue.over = {"1-1": "its node is gone", "2-2": "its process died"}
    assert told(executor, 4) == [
        Told(1, {"글": "값"}), Reported(1, 1, 0.5), Ended(1, {}), Lost(2, "its process died")
    ]  # fmt: skip
    mailbox.write("2-2", "1", [Ended(2, {})])
    assert told(executor, seconds=0.5) == []
    executor.close()


def test_a_task_that_comes_again_is_told_apart_from_the_one_before(mailbox: Mailbox) -> None:
    queue = Queue()
    executor = SlurmExecutor(works.work, 5, queue, mailbox)
    executor.submit(Task(1, {}))
    queue.over = {"1-1": "its node is gone"}
    assert told(executor) == [Lost(1, "its node is gone")]
    executor.submit(Task(1, {}))
    mailbox.write("1-1", "0", [Ended(1, {"of": "the first"})])
    mailbox.write("1-2", "0", [Ended(1, {"of": "the second"})])
    assert told(executor) == [Ended(1, {"of": "the second"})]
    executor.close()


def test_a_second_start_of_a_job_does_nothing(mailbox: Mailbox) -> None:
    mailbox.begin("1-1")
    for _ in range(2):
        run_task(works.work, Task(1, {"do": "environment"}), mailbox, "1-1", 5)
    first, second = (message for _, message in mailbox.collect())
    assert isinstance(first, Ended)
    assert second == Lost(1, AGAIN)


def test_work_that_raises_is_told_and_raised_for_the_log(mailbox: Mailbox) -> None:
    mailbox.begin("1-1")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError):
        run_task(works.work, Task(1, {"do": "그런 일"}), mailbox, "1-1", 5)
    assert mailbox.collect() == [("1-1", Lost(1, "its work raised KeyError: '그런 일'"))]
    # Signals are as they were.
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_task_stops_when_its_search_gives_no_sign_of_life(mailbox: Mailbox) -> None:
    mailbox.begin("1-1")
    link = MailLink(mailbox, 1, "1-1")
    with mailbox.beating():
        end = time.monotonic() + 2 * mailbox.grace
        while time.monotonic() < end:
            assert not link.should_stop(at_once=True)
            time.sleep(0.02)
    assert link.report(1, 0.5) == "stop"
    assert link.should_stop()
    link.outbox.close()


def test_a_task_stops_when_the_folder_is_gone(mailbox: Mailbox) -> None:
    mailbox.begin("1-1")
    link = MailLink(mailbox, 1, "1-1")
    mailbox.folder.rename(mailbox.folder.with_name("elsewhere"))
    assert link.report(1, 0.5) == "stop"
    # Nobody listens any more, which is no error of the task.
    link.tell({"글": "값"})
    with pytest.raises(FileNotFoundError):
        link.end(Ended(1, {}))


def test_nobody_else_can_read_what_is_sent(mailbox: Mailbox) -> None:
    assert mailbox.folder.stat().st_mode & 0o077 == 0


def test_near_its_time_limit_a_task_stores_a_checkpoint_and_is_lost(tmp_path: Path) -> None:
    options = Slurm(cluster="local", time=1, notice=52, folder=tmp_path / "작업 폴더")
    executor = options.build(ExecutorContext(works.work, 1, "cpu"))
    try:
        executor.submit(Task(1, {"do": "until_stopped", "folder": str(tmp_path)}))
        (first,) = told(executor)  # type: ignore[arg-type]
        assert isinstance(first, Told)
        reason = "its time limit of 1 minutes was reached; set a higher time for the executor"
        assert told(executor) == [Lost(1, reason)]  # type: ignore[arg-type]
        assert (tmp_path / "checkpoint-1").exists()
    finally:
        executor.close()


PARENT = """
import sys, time, works
from kexp.contracts import ExecutorContext, Task
from kexp_slurm import mailbox
from kexp_slurm.options import Slurm

mailbox.Mailbox.__init__.__defaults__ = (0.2, 2.0)
executor = Slurm(cluster="local", folder=sys.argv[1]).build(ExecutorContext(works.work, 1, "cpu"))
executor.submit(Task(1, {"do": "until_stopped", "folder": sys.argv[1]}))
while not (found := executor.wait(1)):
    pass
print(found[0].news["process"], flush=True)
time.sleep(600)
"""


def test_jobs_end_when_their_search_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            process = psutil.Process(int(parent.stdout.readline()))
        finally:
            parent.kill()
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert (tmp_path / "checkpoint-1").exists()


def test_what_is_sent_to_a_job_can_be_sent() -> None:
    assert pickle.loads(pickle.dumps(Mailbox(Path("folder")))) == Mailbox(Path("folder"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"time": 2, "notice": 120}, "notice: a job of 2 minutes ends before a notice of 120 seconds"),
        ({"extra": {"mem": "8G"}}, "extra.mem: this is the option memory of the executor"),
        ({"extra": {"cpus_per_task": 4}}, "extra.cpus_per_task: this is the option cpus of the executor"),
        ({"extra": {"--exclude": "a"}}, "extra.--exclude: expected a long name of sbatch without --: exclude"),
        ({"folder": "/tmp/100%"}, 'folder: SLURM replaces "%" in paths, found /tmp/100%; choose a name without it'),
        (
            {"cluster": "local", "setup": ["ls"]},
            'setup: cluster = "local" starts no job in which commands could be run',
        ),
    ],
)
def test_options_that_cannot_work_are_problems(options: dict[str, Any], problem: str) -> None:
    (found,) = Slurm(**options).problems()
    assert str(found).startswith(problem)


def test_gpus_that_are_not_used_are_warned_of() -> None:
    (found,) = Slurm(gpus_per_node=8).warnings()
    assert str(found).startswith("gpus_per_node: a task uses one GPU, and its job holds 8; set it to 1")
    assert not list(Slurm(gpus_per_node=1, extra={"exclude": "node7"}).warnings())


def test_a_gpu_that_jobs_do_not_have_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(KexpError, match="jobs have no GPU; set the executor's gpus_per_node = 1"):
        Slurm(cluster="local", folder=tmp_path).build(ExecutorContext(works.work, 1, "cuda"))
    built = Slurm(cluster="local", folder=tmp_path, extra={"gres": "gpu:a100:1"})
    built.build(ExecutorContext(works.work, 1, "cuda")).close()


def test_a_machine_without_slurm_and_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KexpError, match="there is no sbatch on this machine; start the command where jobs are sub"):
        Slurm().build(ExecutorContext(works.work, 1, "cpu"))
    (tmp_path / "file").touch()
    with pytest.raises(KexpError, match=r"the folder .*file cannot be written: Not a directory; choose another one"):
        Slurm(cluster="local", folder=tmp_path / "file").build(ExecutorContext(works.work, 1, "cpu"))
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208
