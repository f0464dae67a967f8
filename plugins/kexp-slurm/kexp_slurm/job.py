"""What runs in a job: a task, whose end is told whatever it is."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from submitit.core.job_environment import JobEnvironment

from kexp.contracts import Ended, Lost, Task, Work
from kexp_slurm.mailbox import Mailbox, MailLink

AGAIN = "the cluster started its job a second time"
ENDED = "the cluster ended its job: it was cancelled, or preempted by another one"


def run_task(work: Work, task: Task, mailbox: Mailbox, key: str, minutes: int) -> None:
    """Run a task; ``minutes`` is the time limit of its job.

    Shortly before the limit, and when it is cancelled or preempted, a job gets a signal. The work is then told to stop,
    so that it can store a checkpoint, and the task is lost for that reason.
    """
    link = MailLink(mailbox, task.number, key)
    if not link.begin():
        link.end(Lost(task.number, AGAIN))
        return
    if link.should_stop(at_once=True):
        # Nobody waits for it.
        link.outbox.close()
        return
    with _signals(link, f"its time limit of {minutes} minutes was reached; set a higher time for the executor"):
        try:
            result = work(task, link)
        # It is told, and raised for the job's log.
        except BaseException as error:
            link.end(Lost(task.number, link.ending or f"its work raised {type(error).__name__}: {error}"))
            raise
        link.end(Lost(task.number, link.ending) if link.told else Ended(task.number, result))


@contextmanager
def _signals(link: MailLink, limit: str) -> Iterator[None]:
    """Keep what signals of the cluster say for the task's next look, instead of ending the process."""

    def keep(reason: str) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            link.ending = link.ending or reason

        return handle

    handlers = {JobEnvironment._usr_sig(): keep(limit), signal.SIGTERM: keep(ENDED)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
