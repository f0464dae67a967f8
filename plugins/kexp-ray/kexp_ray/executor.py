"""The executor itself: a Ray task for each task, and a mailbox for what it reports before its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kexp.contracts import Answer, Ended, Lost, Message, Task, Work
from kexp_ray.cluster import alive
from kexp_ray.mailbox import GONE, Mailbox, Mark, run_task

CHECK_EVERY = 5.0
"""Seconds between two checks for nodes that are gone: connections to a machine without power stay open."""

PASSED = ("KEXP_CACHE_DIR", "KEXP_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT")
"""Variables that are passed on to trials: where models and texts are found.

Ray shows and logs what it passes on, so none of them is a secret (``KEXP_STORAGE`` may be one, ``HF_TOKEN`` is).
"""


class RayExecutor:
    """Tasks of a cluster; closing it closes ``connection``."""

    def __init__(self, work: Work, cpus: float, gpus: float, connection: ExitStack) -> None:
        self.work = work
        self.connection = connection
        self.tasks: dict[int, Any] = {}
        self.checked = time.monotonic()
        # A lost task is reported, and the search repeats it.
        self.run_task = ray.remote(run_task).options(
            num_cpus=cpus, num_gpus=gpus, max_retries=0, runtime_env={"env_vars": environment(gpus)}
        )
        self._open_mailbox()

    def submit(self, task: Task) -> None:
        """Put the task into the cluster's queue."""
        self.tasks[task.number] = self.run_task.remote(self.work, task, self.mailbox)

    def wait(self, seconds: float) -> Sequence[Message]:
        """Return the end of a task, or else what tasks reported."""
        if time.monotonic() - self.checked > CHECK_EVERY:
            self.checked = time.monotonic()
            self.mailbox.give_up.remote(set(alive()))
        ready, _ = ray.wait([*self.tasks.values(), self.messages], num_returns=1, timeout=seconds)
        if not ready:
            return ()
        if ready[0] == self.messages:
            return self._collect()
        return self._end(next(number for number, end in self.tasks.items() if end == ready[0]))

    def answer(self, number: int, answer: Answer) -> None:
        """Send the answer."""
        self.mailbox.answer.remote(number, answer)

    def stop(self, number: int) -> None:
        """Send a stop, which the task sees after its step, or as the answer to its report."""
        self.mailbox.stop.remote(number)

    def close(self) -> None:
        """Kill what still runs, and disconnect."""
        with self.connection:
            for end in self.tasks.values():
                ray.cancel(end, force=True)
            ray.kill(self.mailbox)

    def _open_mailbox(self) -> None:
        self.mailbox = make_mailbox()
        self.messages = self.mailbox.collect.remote()

    def _collect(self, until: Mark | None = None) -> list[Message]:
        """Return what the mailbox has kept; all that came before a mark, where one was put there."""
        found: list[Message] = []
        marked = until is None
        while True:
            try:
                messages = ray.get(self.messages)
            except RayActorError:
                # The tasks that knew it stop by themselves.
                self._open_mailbox()
                return found
            self.messages = self.mailbox.collect.remote()
            marked = marked or until in messages
            found += self._current(message for message in messages if not isinstance(message, Mark))
            if marked:
                return found

    def _current(self, messages: Iterable[Message]) -> list[Message]:
        """Return the messages of tasks that are not over."""
        current = []
        for message in messages:
            # After the end of a task its messages are ignored.
            if message.number in self.tasks:
                current.append(message)
                if isinstance(message, Lost):
                    ray.cancel(self.tasks.pop(message.number))
        return current

    def _end(self, number: int) -> list[Message]:
        """Return what a task has told that is over, and its end."""
        mark = Mark(number)
        self.mailbox.mark.remote(mark)
        before = self._collect(until=mark)
        if number not in self.tasks:
            return before
        end = self.tasks.pop(number)
        # Nothing of the task waits in the mailbox any longer.
        self.mailbox.stop.remote(number)
        try:
            result = ray.get(end)
            return [*before, Ended(number, result) if result else Lost(number, "it was stopped before it began")]
        except RayError as error:
            return [*before, Lost(number, reason(error))]


def make_mailbox() -> Any:
    """Start a mailbox on the machine of the search, which needs no other machine."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()


def environment(gpus: float) -> dict[str, str]:
    """Return the variables that a trial is given; all others are those of its machine."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    # Ray leaves all GPUs visible to a task that has none.
    return passed if gpus else {**passed, "CUDA_VISIBLE_DEVICES": ""}


def reason(error: RayError) -> str:
    """Return in words why a task is lost."""
    match error:
        case RayTaskError():
            return f"its work raised {type(error.cause).__name__}: {error.cause}"
        case OutOfMemoryError():
            return "Ray killed it, since its machine ran out of memory; with more cpus per trial fewer run there"
        case NodeDiedError():
            return GONE
        case WorkerCrashedError():
            return "its process died, or its machine"
        case TaskCancelledError():
            return "it was cancelled"
    return str(error).strip().partition("\n")[0] or type(error).__name__
