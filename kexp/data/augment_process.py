"""A process of its own that augments texts ahead of training: Python code in a thread would hold up the training loop.

It is no fork, which PyTorch's threads do not survive, and it does not import the main module again, which a script of a
user need not expect. What it makes is what the augmenter makes here: a text depends on its random stream alone.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, BinaryIO

from kexp.contracts.augmenter import CheckedAugmenter
from kexp.data.augment_jobs import Changed, Job, augment
from kexp.errors import KexpError, PluginError, describe_error

WORTH = 20_000
"""Texts from which a process pays: starting it costs the time of about ten thousand."""

STRETCH, AHEAD = 1000, 2
"""Texts that are augmented in one go, of whole steps, and how many such stretches are under way or waiting."""

LARGEST = 64 * 2**20
"""Bytes of an augmenter that is copied to a process."""

START = """import os, pickle, sys
jobs = os.fdopen(os.dup(0), "rb")
# What the code of a plugin, or a program that it starts, reads must not be a part of the jobs.
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.path[:] = pickle.load(jobs)
from kexp.data import augment_process as own
"""

logger = logging.getLogger("kexp")


def in_process_of_its_own(of: str, augmenter: CheckedAugmenter, texts: float) -> AugmentProcess | None:
    """Return what augments ahead, where that pays: for ``texts`` in all, on several cores; else None.

    ``of`` is where the spec names the augmenter. One that cannot be copied is told in the log.
    """
    if texts < WORTH or _cores() < 2:
        return None
    try:
        copied = pickle.dumps(augmenter)
        if len(copied) <= LARGEST:
            return AugmentProcess(augmenter, copied)
        reason = f"{len(copied) / 2**20:,.0f} MiB are more than {LARGEST / 2**20:,.0f} MiB"
    # Whatever a plugin holds: pickle raises errors of many types, some of them from the plugin's own code.
    except Exception as error:  # noqa: BLE001
        reason = describe_error(error)
    logger.info(f"{of}: {augmenter.name} is not copied to a process of its own: {reason}; a thread makes its texts")
    return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class AugmentProcess:
    """Augments the texts of jobs in a process, which the first of them starts and ``close`` ends.

    Where the process is lost, or cannot be started, the augmenter makes the same texts here, which is told.
    """

    augmenter: CheckedAugmenter
    copied: bytes
    process: subprocess.Popen[bytes] | None = None
    answers: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    sent: int = 0
    lost: bool = False
    closed: bool = False

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Changed]]:
        """Yield jobs with what was made of them; raises what the augmenter raises, in the place of its job."""
        waiting = deque[tuple[int, list[Job]]]()
        for stretch in stretches(jobs):
            waiting.append((self._send(stretch), stretch))
            if len(waiting) > AHEAD:
                yield from self._received(*waiting.popleft())
        while waiting:
            yield from self._received(*waiting.popleft())

    def close(self) -> None:
        """End the process."""
        self.closed, process = True, self.process
        if process is not None:
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _send(self, stretch: list[Job]) -> int:
        self.sent += 1
        try:
            if self.process is None:
                self._start()
            if not self.lost:
                self._write((self.sent, stretch))
        except OSError as error:
            self._lose(describe_error(error))
        return self.sent

    def _start(self) -> None:
        # What a Ctrl-C ends is the session of the terminal: the process ends when its pipe does, with this one.
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{START}own.serve(jobs)"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        Thread(target=self._listen, args=(self.process.stdout,), name="kexp augmented texts", daemon=True).start()
        self._write(sys.path)
        self._write(self.copied)

    def _write(self, value: Any) -> None:
        stream = self.process.stdin  # type: ignore[union-attr]
        pickle.dump(value, stream)  # type: ignore[arg-type]
        stream.flush()  # type: ignore[union-attr]

    def _listen(self, stream: BinaryIO) -> None:
        """Receive answers as they come, so that neither side waits for the other to read."""
        # At the end of the process half an answer may stand there.
        with stream, suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                self.answers.put(pickle.load(stream))  # noqa: S301
        self.answers.put((0, "it has ended"))

    def _received(self, number: int, stretch: list[Job]) -> Iterator[tuple[Job, Changed]]:
        """Yield the jobs of a stretch with what was made of them."""
        answers = self._answers(number)
        for job in stretch:
            answer = next(answers, None)
            if isinstance(answer, Failure):
                raise PluginError(answer.message) from RuntimeError(answer.traceback)
            if answer is None:
                answer = augment(self.augmenter, job)
            else:
                self.augmenter.count([text for text in answer if text is not None])
            yield job, answer

    def _answers(self, number: int) -> Iterator[Changed | Failure]:
        """Return the answers to a stretch; none where the process is lost."""
        while not self.lost:
            own, answers = self.answers.get()
            if self.closed:
                raise KexpError("texts are augmented no more: the run has ended")
            if own == 0:
                self._lose(answers)
            # Of an epoch that was left before its end there are answers that nobody waits for.
            elif own == number:
                return iter(answers)
        return iter(())

    def _lose(self, reason: str) -> None:
        if not self.lost:
            how = "its texts are made in a thread of this one, which takes longer"
            logger.warning(f"the process in which {self.augmenter.name} augments texts is lost: {reason}; {how}")
        self.lost = True


def stretches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Yield jobs in groups of about ``STRETCH`` texts; the first has a single job, since it is waited for."""
    stretch, texts, limit = list[Job](), 0, 1
    for job in jobs:
        stretch.append(job)
        texts += len(job.texts)
        if texts >= limit:
            limit = min(2 * texts, STRETCH)
            yield stretch
            stretch, texts = [], 0
    if stretch:
        yield stretch


# --- in the other process -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """What an augmenter raised, and where."""

    message: str
    traceback: str


def serve(jobs: BinaryIO) -> None:
    """Augment the texts of jobs, which came as standard input, until they end; the answers go to standard output."""
    # What the code of a plugin prints must not come between two answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    waiting, over = SimpleQueue[Any](), Event()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                waiting.put(pickle.load(jobs))  # noqa: S301
        over.set()
        waiting.put(None)

    def answer(number: int, content: object) -> None:
        pickle.dump((number, content), answers)
        answers.flush()

    # The other side has ended or is killed.
    with suppress(BrokenPipeError):
        try:
            augmenter: CheckedAugmenter = pickle.loads(pickle.load(jobs))  # noqa: S301
        # A module may be missing, or differ from the one that it was copied with.
        except Exception as error:  # noqa: BLE001
            answer(0, f"it cannot be copied: {describe_error(error)}")
            return
        Thread(target=listen, daemon=True).start()
        while (received := waiting.get()) is not None and not over.is_set():
            answer(received[0], list(_made(augmenter, received[1], over)))
        augmenter.close()


def _made(augmenter: CheckedAugmenter, stretch: list[Job], over: Event) -> Iterator[Changed | Failure]:
    """Yield what is made of every job, up to one that fails."""
    for job in stretch:
        if over.is_set():
            return
        try:
            yield augment(augmenter, job)
        except Exception as error:  # noqa: BLE001
            yield Failure(describe_error(error), traceback.format_exc())
            return
