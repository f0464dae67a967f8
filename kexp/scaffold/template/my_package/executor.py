"""An executor: it does the trials of `kexp tune` and the runs of `kexp run` elsewhere, several at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import kexp
from kexp.contracts import (
    Answer,
    Ended,
    Executor,
    ExecutorContext,
    ExecutorOptions,
    Lost,
    Message,
    Reported,
    Task,
    Told,
    Work,
)
from pydantic import Field

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyExecutor(ExecutorOptions):
    """A process per task, begun through a program of yours, such as ``srun`` of a cluster; not for Windows.

    The program has to pass on standard input and output and to end with the process.
    """

    prefix: tuple[str, ...] = Field((), description='Words before the command, such as ["srun", "--gres=gpu:1"].')

    def build(self, context: ExecutorContext) -> Executor:
        """Return the executor; a process is begun with each task."""
        return Processes(self.prefix, context.work)


@kexp.hookimpl
def kexp_executors() -> Mapping[str, type[ExecutorOptions]]:
    """Name the executors of this package."""
    return {"my-name": MyExecutor}


@dataclass(frozen=True, slots=True)
class Running:
    """A process at work, and the two ends of its pipes."""

    process: subprocess.Popen[bytes]
    requests: Connection
    messages: Connection


class Processes:
    """The processes, by the numbers of their tasks."""

    def __init__(self, prefix: Sequence[str], work: Work) -> None:
        self.command = [*prefix, sys.executable, "-m", __name__]
        self.work = work
        self.running: dict[int, Running] = {}

    def submit(self, task: Task) -> None:
        """Begin a process, and send it what to do."""
        pipe = subprocess.PIPE
        # In a session of its own: Ctrl-C is for the process that a person started, other processes are stopped by a message.
        process = subprocess.Popen(self.command, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True)
        assert process.stdin is not None
        assert process.stdout is not None
        requests = Connection(os.dup(process.stdin.fileno()), readable=False)
        messages = Connection(os.dup(process.stdout.fileno()), writable=False)
        process.stdin.close()
        process.stdout.close()
        self.running[task.number] = Running(process, requests, messages)
        self._send(task.number, (self.work, task))

    def wait(self, seconds: float) -> Sequence[Message]:
        """Return the messages of the processes; the end of a pipe is the end of its task."""
        ready = wait([running.messages for running in self.running.values()], timeout=seconds)
        return [self._read(number) for number, running in list(self.running.items()) if running.messages in ready]

    def answer(self, number: int, answer: Answer) -> None:
        """Answer the report of a task."""
        self._send(number, answer)

    def stop(self, number: int) -> None:
        """Stop a task; it reads the word as the answer to its next report if it does not check before."""
        self._send(number, "stop")

    def close(self) -> None:
        """End all processes at once."""
        for running in self.running.values():
            running.process.kill()
        for number in list(self.running):
            self._let_go(number)

    def _read(self, number: int) -> Message:
        try:
            message: Message = self.running[number].messages.recv()
        except (EOFError, OSError):
            message = Lost(number, f"its process ended with status {self._let_go(number)}")
        if isinstance(message, Ended):
            self._let_go(number)
        return message

    def _send(self, number: int, word: object) -> None:
        # A task that has ended, or a process that is gone, is reported by the next message.
        with suppress(KeyError, OSError):
            self.running[number].requests.send(word)

    def _let_go(self, number: int) -> int:
        running = self.running.pop(number)
        running.requests.close()
        running.messages.close()
        return running.process.wait()


@dataclass(frozen=True, slots=True)
class Pipes:
    """A task's side of the connection."""

    number: int
    requests: Connection
    messages: Connection
    sending: threading.Lock = field(default_factory=threading.Lock)

    def report(self, step: int, value: float) -> Answer:
        """Report a value and wait for the answer."""
        with self.sending:
            self.messages.send(Reported(self.number, step, value))
        answer: Answer = self.requests.recv()
        return answer

    def tell(self, news: Mapping[str, Any]) -> None:
        """Pass on news, from any thread; where nobody reads any more, the task is told to stop by the end of a pipe."""
        with self.sending, suppress(OSError):
            self.messages.send(Told(self.number, news))

    def should_stop(self) -> bool:
        """Return whether something was received: only the request to stop comes without a report."""
        return self.requests.poll()


def main() -> None:
    """Do the one task that comes by standard input."""
    requests, messages = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    # What the work prints must not mix with the messages.
    os.dup2(2, 1)
    work, task = requests.recv()
    messages.send(Ended(task.number, work(task, Pipes(task.number, requests, messages))))


if __name__ == "__main__":
    main()
