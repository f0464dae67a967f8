"""Executor ``local``: a process per job on this machine, each with its share of the processors and a GPU of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess


class Local(ExecutorOptions):
    """One process per job on this machine; what one trial or run loaded, the next one of the same process reuses."""

    def build(self, context: ExecutorContext) -> Executor:
        """Start the processes, so that they import what they need while the first task is being prepared."""
        return LocalExecutor(context)


@dataclass(slots=True)
class Slot:
    """A process, the number of its task, and whether it ever had one."""

    process: SpawnProcess
    connection: Connection
    environment: Mapping[str, str]
    task: int | None = None
    used: bool = False


class LocalExecutor:
    """Processes that run one task after the other, connected by pipes."""

    def __init__(self, context: ExecutorContext) -> None:
        self.work = context.work
        self.slots = [self._start(_environment(number, context)) for number in range(context.jobs)]

    def submit(self, task: Task) -> None:
        """Give the task to a process that has none."""
        slot = next(slot for slot in self.slots if slot.task is None)
        slot.task, slot.used = task.number, True
        try:
            slot.connection.send(task)
        except OSError:
            # It died while it was idle; the task is reported as lost when the pipe's end is read.
            return

    def wait(self, seconds: float) -> Sequence[Message]:
        """Read the messages of the processes; one that is gone is replaced."""
        from multiprocessing.connection import wait

        ready = wait([slot.connection for slot in self.slots if slot.task is not None], timeout=seconds)
        messages: list[Message] = []
        for index, slot in enumerate(self.slots):
            if slot.connection in ready and slot.task is not None:
                message = self._read(slot)
                messages.append(message)
                if isinstance(message, Lost):
                    self.slots[index] = self._start(slot.environment)
                elif isinstance(message, Ended):
                    slot.task = None
        return messages

    def answer(self, number: int, answer: Answer) -> None:
        """Send the answer."""
        self._send(number, answer)

    def stop(self, number: int) -> None:
        """Send a stop, which the task sees after its step, or as the answer to its next report."""
        self._send(number, "stop")

    def close(self) -> None:
        """End the processes: those that have done their tasks by the end of their pipe, others by force."""
        for slot in self.slots:
            slot.connection.close()
            # One that never had a task may still import for long, and has nothing to lose.
            if slot.task is not None or not slot.used:
                slot.process.kill()
        for slot in self.slots:
            slot.process.join(timeout=5)
            if slot.process.is_alive():
                slot.process.kill()
                slot.process.join()

    def _send(self, number: int, answer: Answer) -> None:
        for slot in self.slots:
            if slot.task == number:
                try:
                    slot.connection.send(answer)
                except OSError:
                    return

    def _read(self, slot: Slot) -> Message:
        assert slot.task is not None
        try:
            message: Message = slot.connection.recv()
            return message
        except (EOFError, OSError):
            slot.process.join(timeout=5)
            return Lost(slot.task, _death(slot.process.exitcode))

    def _start(self, environment: Mapping[str, str]) -> Slot:
        import multiprocessing

        # A forked child would inherit torch's threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self.work), daemon=True)
        # Libraries look at it when they are imported, which finding the work may do already.
        with _environ(environment), _without_main(), _without_ctrl_c():
            process.start()
        theirs.close()
        return Slot(process, ours, environment)


@dataclass(frozen=True, slots=True)
class PipeLink:
    """A task's side of its pipe."""

    connection: Connection
    number: int
    sending: threading.Lock = field(default_factory=threading.Lock)

    def report(self, step: int, value: float) -> Answer:
        """Send the value and wait for the answer."""
        with self.sending:
            self.connection.send(Reported(self.number, step, value))
        answer: Answer = self.connection.recv()
        return answer

    def tell(self, news: Mapping[str, Any]) -> None:
        """Send the news; where the pipe has ended, ``should_stop`` says so."""
        with self.sending, suppress(OSError):
            self.connection.send(Told(self.number, news))

    def should_stop(self) -> bool:
        """Return whether anything came: a stop, or the end of the pipe, which means the same."""
        return self.connection.poll()


def serve(connection: Connection, work: Work) -> None:
    """Run tasks until the pipe ends."""
    if hasattr(os, "setsid"):
        # Ctrl-C is for the process that a person started; this one is stopped through its pipe.
        os.setsid()
    while (task := _next(connection)) is not None:
        try:
            result = work(task, PipeLink(connection, task.number))
        # The work catches its own errors; any other is reported by the end of the process.
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            raise SystemExit(1) from None
        try:
            connection.send(Ended(task.number, result))
        except OSError:
            return


def _next(connection: Connection) -> Task | None:
    """Wait for the next task and return it; None when the pipe has ended."""
    try:
        while True:
            # An answer that came after the end of its task is of no use any more.
            if isinstance(task := connection.recv(), Task):
                return task
    except (EOFError, OSError):
        return None


@contextmanager
def _environ(changes: Mapping[str, str]) -> Iterator[None]:
    """Change variables for a process that is started meanwhile."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep a process that is started meanwhile from importing the program of this one, of which it needs nothing.

    A script that searches without ``if __name__ == "__main__"`` would begin again in it.
    """
    main = vars(sys.modules["__main__"])
    before: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(before)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from a process that is started meanwhile; here it is seen a moment later.

    Until the process has left the terminal's session, which it does after its imports, it would be interrupted too.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # Otherwise it is started with the process, and unblocks the signal before that.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment(number: int, context: ExecutorContext) -> dict[str, str]:
    """Return what job ``number`` of several may use; what the user has set stays."""
    if context.jobs == 1:
        return {}
    environment = {}
    if "OMP_NUM_THREADS" not in os.environ:
        environment["OMP_NUM_THREADS"] = str(max(1, processors() // context.jobs))
    devices = _devices() if context.device in ("auto", "cuda") else []
    if len(devices) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
    return environment


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices() -> list[str]:
    """Return the GPUs in CUDA's numbering; those that the user made visible, if any were named."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        remedy = "; the system may have run out of memory: use fewer jobs" if exitcode == -9 else ""
        return f"its process was killed by signal {-exitcode}{remedy}"
    return f"its process ended with status {exitcode}"
