"""The executor itself: a job for each task, and a mailbox for what tasks report and are answered."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from kexp.contracts import Answer, Ended, ExecutorContext, Lost, Message, Reported, Task, Work
from kexp.errors import KexpError
from kexp.settings import cache_folder
from kexp_slurm.cluster import Cluster, Job, LocalCluster, Refused, SlurmCluster, require
from kexp_slurm.job import run_task
from kexp_slurm.mailbox import Mailbox
from kexp_slurm.options import Slurm

RETRY_EVERY = 60.0
"""Seconds between two attempts to submit a job that the cluster does not take."""

PATIENCE = 3600.0
"""Seconds in which the cluster has to take a job that it accepted at the beginning: limits and restarts pass."""

logger = logging.getLogger("kexp")


@dataclass(slots=True)
class Submitted:
    """A task with its job, if the cluster has taken it, and how many reports came from it."""

    task: Task
    since: float
    job: Job | None = None
    reports: int = 0


class SlurmExecutor:
    """Tasks as jobs of a cluster. ``minutes`` is the time limit of one."""

    def __init__(self, work: Work, minutes: int, cluster: Cluster, mailbox: Mailbox) -> None:
        self.work, self.minutes, self.cluster, self.mailbox = work, minutes, cluster, mailbox
        self.tasks: dict[str, Submitted] = {}
        """What is under way, by key."""
        self.count = 0
        self.refused: float | None = None
        self.lost: list[Message] = []
        self.open = ExitStack()
        self.open.callback(cluster.close)
        self.open.enter_context(mailbox.beating())

    def submit(self, task: Task) -> None:
        """Submit the task's job; one that the cluster does not take now is submitted later."""
        self._submit(Submitted(task, time.monotonic()))

    def wait(self, seconds: float) -> Sequence[Message]:
        """Look for messages, more and more seldom, and for jobs that are over without one."""
        end, pause = time.monotonic() + seconds, 0.02
        while not (found := self._look()):
            left = end - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(pause, left))
            pause = min(1.0, 1.5 * pause)
        return found

    def answer(self, number: int, answer: Answer) -> None:
        """Write the answer to the latest report."""
        for key, submitted in self._of(number):
            self.mailbox.answer(key, submitted.reports, answer)

    def stop(self, number: int) -> None:
        """Write that the task should stop; a job that waits in the queue is cancelled."""
        for key, submitted in self._of(number):
            self.mailbox.stop(key)
            if not self.mailbox.has_begun(key):
                self._cancel([submitted])
                self.lost.append(Lost(self._forget(key).number, "it was stopped before it began"))

    def close(self) -> None:
        """Cancel what still runs or waits."""
        with self.open:
            for key in self.tasks:
                self.mailbox.stop(key)
            self._cancel(list(self.tasks.values()))
            for key in list(self.tasks):
                self._forget(key)

    def _forget(self, key: str) -> Task:
        """Return a task that is over, whose spec may hold secrets and is removed from the folder."""
        submitted = self.tasks.pop(key)
        if submitted.job is not None:
            with suppress(OSError):
                submitted.job.paths.submitted_pickle.unlink()
        return submitted.task

    def _of(self, number: int) -> list[tuple[str, Submitted]]:
        return [(key, submitted) for key, submitted in self.tasks.items() if submitted.task.number == number]

    def _cancel(self, tasks: list[Submitted]) -> None:
        self.cluster.cancel([submitted.job for submitted in tasks if submitted.job is not None])

    def _submit(self, submitted: Submitted) -> None:
        self.count += 1
        key = f"{submitted.task.number}-{self.count}"
        self.mailbox.begin(key)
        self.tasks[key] = submitted
        try:
            submitted.job = self.cluster.submit(run_task, self.work, submitted.task, self.mailbox, key, self.minutes)
        except Refused as error:
            if self.refused is None:
                logger.warning("the cluster takes no job now (%s); it is tried again every minute", error)
            self.refused = time.monotonic()
            # SLURM may have taken a job and have been too slow to say so.
            self.mailbox.stop(key)
            if time.monotonic() - submitted.since > PATIENCE:
                self._forget(key)
                self.lost.append(Lost(submitted.task.number, f"the cluster did not take its job: {error}"))
        else:
            self.refused = None

    def _submit_again(self) -> None:
        if self.refused is not None and time.monotonic() - self.refused > RETRY_EVERY:
            for key in [key for key, submitted in self.tasks.items() if submitted.job is None]:
                self._submit(self.tasks.pop(key))

    def _look(self) -> list[Message]:
        self._submit_again()
        # A job that is over has sent its messages before.
        jobs = {key: submitted.job for key, submitted in self.tasks.items() if submitted.job is not None}
        ended = self.cluster.ended(jobs)
        found, self.lost = self.lost, []
        for key, message in self.mailbox.collect():
            # After the end of a task its messages are ignored.
            if key in self.tasks:
                found.append(message)
                self.tasks[key].reports += isinstance(message, Reported)
                if isinstance(message, Ended | Lost):
                    self._forget(key)
        for key, reason in ended.items():
            if key in self.tasks:
                found.append(Lost(self._forget(key).number, reason))
        return found


def start(options: Slurm, context: ExecutorContext) -> SlurmExecutor:
    """Return the executor; raises ``KexpError`` when the cluster does not take such jobs."""
    if context.device.startswith("cuda") and not options.has_gpu:
        remedy = "set the executor's gpus_per_node = 1"
        raise KexpError(f'executor "slurm": training.device is "{context.device}" and jobs have no GPU; {remedy}')
    base = options.folder or cache_folder() / "slurm"
    # No other command has this name, on whatever machine it runs.
    folder = Path(base).resolve() / f"{time.strftime('%Y%m%d-%H%M%S')}-{socket.gethostname()}-{os.urandom(4).hex()}"
    if options.cluster == "slurm":
        require(options)
    mailbox = Mailbox(folder)
    try:
        mailbox.open()
    except OSError as error:
        remedy = "choose another one with the executor's option folder, on a file system that all nodes share"
        raise KexpError(f'executor "slurm": the folder {base} cannot be written: {error.strerror}; {remedy}') from None
    cluster = (SlurmCluster if options.cluster == "slurm" else LocalCluster)(options, folder / "jobs")
    return SlurmExecutor(context.work, options.time, cluster, mailbox)
