"""What an executor promises: to run tasks in other processes, several at once, and to pass on reports and answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

from kexp.options import Options, component


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work as plain data, by a number of its own."""

    number: int
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reported:
    """The task has a value at a step and waits for ``Executor.answer``."""

    number: int
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class Told:
    """The task says something about its progress and goes on; ``news`` is plain data."""

    number: int
    news: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The task is over; ``result`` is what the work returned."""

    number: int
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lost:
    """The process of the task is gone (killed, or its machine is lost), for a reason in words."""

    number: int
    reason: str


Message = Reported | Told | Ended | Lost
Answer = Literal["go on", "prune", "stop"]


class Link(Protocol):
    """The task's side of the connection."""

    def report(self, step: int, value: float) -> Answer:
        """Report a value and wait for the answer."""

    def tell(self, news: Mapping[str, Any]) -> None:
        """Pass on news without waiting; other threads of the task may call it too.

        What a task tells arrives in order and before its end; that of a task that is lost may be lost with it. It never
        raises an error where nobody listens any more: the task learns that from ``should_stop``.
        """

    def should_stop(self) -> bool:
        """Return whether the task should stop; cheap enough for every training step."""


Work = Callable[[Task, Link], Mapping[str, Any]]
"""The function that runs a task. Other processes import it, so it is a function of a module."""


@dataclass(frozen=True, slots=True)
class ExecutorContext:
    """The function that runs tasks, how many run at once, and ``training.device`` of the spec.

    A task is a trial of ``kexp tune``, or a run of ``kexp run --jobs N``.
    """

    work: Work
    jobs: int
    device: str


class Executor(Protocol):
    """Runs tasks; every submitted task ends in one ``Ended`` or ``Lost``, whatever happens to it."""

    def submit(self, task: Task) -> None:
        """Begin a task; at most ``jobs`` are under way at once."""

    def wait(self, seconds: float) -> Sequence[Message]:
        """Return the messages since the last call; waits at most ``seconds`` if there are none."""

    def answer(self, number: int, answer: Answer) -> None:
        """Answer the report of a task."""

    def stop(self, number: int) -> None:
        """Stop a task after its step; it still ends in a message."""

    def close(self) -> None:
        """Release everything, without waiting for tasks; called exactly once, also after errors."""


class ExecutorOptions(Options):
    """Base of every executor."""

    kind: ClassVar[str] = "executor"

    @abstractmethod
    def build(self, context: ExecutorContext) -> Executor:
        """Return the executor, ready for tasks; raises ``KexpError`` when its machines cannot be reached."""


AnyExecutor = Annotated[ExecutorOptions, *component("executor")]
"""A field that holds a component of this kind."""
