"""Between a search and its trials on other machines: an actor beside the search that both sides call."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from kexp.contracts import Answer, Lost, Message, Reported, Task, Told, Work

GONE = "its machine is gone"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place among the messages, after all that a task has told that is over."""

    number: int


class Mailbox:
    """Keeps reports until the search collects them, and answers and stops until the tasks see them."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message | Mark] = asyncio.Queue()
        self.answers: dict[int, asyncio.Future[Answer]] = {}
        self.stops: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self.started: dict[int, str] = {}
        self.told: Counter[int] = Counter()
        self.early: defaultdict[int, dict[int, Mapping[str, Any]]] = defaultdict(dict)

    # --- called by tasks -------------------------------------------------------------------------------------------

    async def begin(self, number: int, node: str) -> bool:
        """Return whether the task may begin on a node: it was not stopped before."""
        self.started[number] = node
        return not self.stops[number].is_set()

    async def should_stop(self, number: int) -> None:
        """Return when the task should stop."""
        await self.stops[number].wait()

    async def report(self, number: int, step: int, value: float) -> Answer:
        """Keep a value for the search and return its answer."""
        if self.stops[number].is_set():
            return "stop"
        answer: asyncio.Future[Answer] = asyncio.Future()
        self.answers[number] = answer
        await self.messages.put(Reported(number, step, value))
        return await answer

    async def tell(self, number: int, place: int, news: Mapping[str, Any]) -> None:
        """Keep news for the search, by its place among all that the task tells: calls may arrive in another order."""
        early = self.early[number]
        early[place] = news
        while (place := self.told[number]) in early:
            self.told[number] += 1
            await self.messages.put(Told(number, early.pop(place)))

    # --- called by the search --------------------------------------------------------------------------------------

    async def mark(self, mark: Mark) -> None:
        """Put a mark behind all messages that came before."""
        await self.messages.put(mark)

    async def collect(self) -> list[Message | Mark]:
        """Return the messages and marks since the last call, as soon as there are any."""
        messages = [await self.messages.get()]
        while not self.messages.empty():
            messages.append(self.messages.get_nowait())
        return messages

    async def answer(self, number: int, answer: Answer) -> None:
        """Answer the report for which a task waits, if it does."""
        waiting = self.answers.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def stop(self, number: int) -> None:
        """Stop a task; only here is decided whether one that waits for its machine still begins."""
        self.stops[number].set()
        await self.answer(number, "stop")
        if number not in self.started:
            await self.messages.put(Lost(number, "it was stopped before it began"))

    async def give_up(self, nodes: set[str]) -> None:
        """Report the tasks as lost that run on another node than these."""
        for number in [number for number, node in self.started.items() if node not in nodes]:
            del self.started[number]
            await self.messages.put(Lost(number, GONE))


class MailboxLink:
    """A task's side of the mailbox; without the mailbox there is no search, and the task stops."""

    def __init__(self, mailbox: Any, number: int) -> None:
        self.mailbox = mailbox
        self.number = number
        self.stop = mailbox.should_stop.remote(number).future()
        self.telling = threading.Lock()
        self.told = 0
        self.on_the_way: list[Any] = []

    def report(self, step: int, value: float) -> Answer:
        """Send the value and wait for the answer."""
        try:
            # In ray.get a task's processors are lent to the next task.
            answer: Answer = self.mailbox.report.remote(self.number, step, value).future().result()
        except RayError:
            return "stop"
        return answer

    def tell(self, news: Mapping[str, Any]) -> None:
        """Send the news without waiting."""
        with self.telling, suppress(RayError):
            sent = self.mailbox.tell.remote(self.number, self.told, news).future()
            self.told += 1
            self.on_the_way = [*(other for other in self.on_the_way if not other.done()), sent]

    def finish(self) -> None:
        """Wait until all news is in the mailbox."""
        for sent in self.on_the_way:
            with suppress(RayError):
                sent.result()

    def should_stop(self) -> bool:
        """Return whether the mailbox has answered."""
        return bool(self.stop.done())


def run_task(work: Work, task: Task, mailbox: Any) -> Mapping[str, Any]:
    """Run a task; this is the function that other machines run."""
    node = ray.get_runtime_context().get_node_id()
    if not mailbox.begin.remote(task.number, node).future().result():
        return {}
    link = MailboxLink(mailbox, task.number)
    result = work(task, link)
    link.finish()
    return result
