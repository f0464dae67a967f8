"""What every executor has to get right."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from kexp.contracts import Ended, Executor, ExecutorContext, ExecutorOptions, Lost, Message, Reported, Task, Told
from kexp.options import Options
from kexp.testing.executor_work import work
from kexp.testing.options import OptionsContract

Start = Callable[..., Executor]


class ExecutorContract(OptionsContract):
    """Promises of executors: every task ends in exactly one message, whatever becomes of it.

    ``patience`` is how many seconds may pass without a message; ``settle`` how long it is watched that none comes.
    ``works_here`` is whether tasks are processes of this machine, whose end can be seen.
    """

    base: ClassVar[type[Options]] = ExecutorOptions
    patience: ClassVar[float] = 60.0
    settle: ClassVar[float] = 0.2
    works_here: ClassVar[bool] = True

    @pytest.fixture
    def start(self, options: ExecutorOptions) -> Iterator[Start]:
        """Return a function that starts the executor; what was started is closed."""
        started: list[Executor] = []

        def start(jobs: int = 1) -> Executor:
            started.append(options.build(ExecutorContext(work, jobs, "cpu")))
            return started[-1]

        yield start
        for executor in started:
            executor.close()

    def test_every_task_ends_in_one_message(self, start: Start) -> None:
        """Tasks are done elsewhere, several at once, and each ends once with what its work returned."""
        executor, ended = start(jobs=2), list[Message]()
        waiting = [Task(number, {"do": "echo", "text": f"글 {number}"}) for number in range(8)]
        for _ in range(2):
            executor.submit(waiting.pop(0))
        while len(ended) < 8:
            found = self.next_messages(executor)
            ended += found
            for _ in found[: len(waiting)]:
                executor.submit(waiting.pop(0))
        self.nothing(executor)
        assert Counter(message.number for message in ended) == Counter(range(8))
        for message in ended:
            result = result_of(message)
            assert result["number"] == message.number
            assert result["text"] == f"글 {message.number}"
            assert result["process"] != os.getpid()
            assert result["stop"] is False

    def test_report_waits_for_its_answer(self, start: Start) -> None:
        """A task goes on when it is answered, with that answer, and not before."""
        executor = start()
        for number, last in enumerate(("go on", "prune", "stop")):
            executor.submit(Task(number, {"do": "report", "values": [0.5, 0.25]}))
            assert self.next_messages(executor) == [Reported(number, 1, 0.5)]
            self.nothing(executor)
            executor.answer(number, "go on")
            assert self.next_messages(executor) == [Reported(number, 2, 0.25)]
            executor.answer(number, last)  # type: ignore[arg-type]
            assert self.next_messages(executor) == [Ended(number, {"answers": ["go on", last]})]

    def test_answers_reach_their_tasks(self, start: Start) -> None:
        """Of two tasks that wait, each gets its own answer."""
        executor, messages = start(jobs=2), list[Message]()
        for number in (1, 2):
            executor.submit(Task(number, {"do": "report", "values": [float(number)]}))
        while len(messages) < 2:
            messages += self.next_messages(executor)
        assert sorted(message.number for message in messages) == [1, 2]
        executor.answer(2, "prune")
        assert self.next_messages(executor) == [Ended(2, {"answers": ["prune"]})]
        executor.answer(1, "go on")
        assert self.next_messages(executor) == [Ended(1, {"answers": ["go on"]})]

    def test_news_comes_in_order_and_before_the_end(self, start: Start) -> None:
        """What a task tells is passed on without an answer, in order, each once, and nothing of it after its end."""
        executor, messages = start(), list[Message]()
        executor.submit(Task(1, {"do": "tell", "news": 50}))
        while not messages or not isinstance(messages[-1], Ended):
            messages += self.next_messages(executor)
        expected = [Told(1, {"of": "소식", "number": number}) for number in range(50)]
        assert messages == [*expected, Ended(1, {"told": 50})]
        self.nothing(executor)

    def test_several_threads_tell_news(self, start: Start) -> None:
        """Threads of a task tell news while it waits for an answer: everything arrives once."""
        executor, messages = start(), list[Message]()
        executor.submit(Task(1, {"do": "tell from threads"}))
        while not messages or not isinstance(messages[-1], Ended):
            for message in (found := self.next_messages(executor)):
                if isinstance(message, Reported):
                    executor.answer(1, "go on")
            messages += found
        news = [message.news for message in messages if isinstance(message, Told)]
        for of in "가나다라":
            assert [one["number"] for one in news if one["of"] == of] == list(range(20))
        assert len(news) == 80
        assert messages[-1] == Ended(1, {"answers": ["go on"]})

    def test_stopped_task_ends(self, start: Start) -> None:
        """A request to stop reaches a running task, and does not affect the next one."""
        executor = start()
        executor.submit(Task(1, {"do": "wait"}))
        assert [message.number for message in self.next_messages(executor)] == [1]
        executor.answer(1, "go on")
        executor.stop(1)
        assert self.next_messages(executor) == [Ended(1, {"stopped": True})]
        executor.submit(Task(2, {"do": "echo"}))
        assert result_of(self.next_messages(executor)[0])["stop"] is False

    def test_stopping_answers_a_report(self, start: Start) -> None:
        """A task that waits for its answer is not left waiting when it is stopped instead."""
        executor = start()
        executor.submit(Task(1, {"do": "report", "values": [0.5, 0.25]}))
        assert self.next_messages(executor) == [Reported(1, 1, 0.5)]
        executor.stop(1)
        assert self.next_messages(executor) == [Ended(1, {"answers": ["stop"]})]

    def test_stopping_a_finished_task_is_harmless(self, start: Start) -> None:
        """Stopping or answering a task that is over, or that never was, has no effect."""
        executor = start()
        executor.submit(Task(1, {"do": "echo"}))
        time.sleep(self.settle)
        executor.stop(1)
        assert [message.number for message in self.next_messages(executor)] == [1]
        executor.stop(1)
        executor.stop(77)
        executor.answer(1, "prune")
        executor.submit(Task(2, {"do": "report", "values": [0.5]}))
        assert self.next_messages(executor) == [Reported(2, 1, 0.5)]
        executor.answer(2, "go on")
        assert self.next_messages(executor) == [Ended(2, {"answers": ["go on"]})]

    @pytest.mark.parametrize("how", ["die", "raise"])
    def test_lost_task_is_reported(self, start: Start, how: str) -> None:
        """A process that is killed, or work that raises, is reported once with a reason, and the next task is done."""
        executor = start()
        executor.submit(Task(1, {"do": how}))
        (message,) = self.next_messages(executor)
        assert isinstance(message, Lost)
        assert message.number == 1
        assert message.reason
        self.nothing(executor)
        executor.submit(Task(2, {"do": "echo"}))
        assert [found.number for found in self.next_messages(executor)] == [2]

    def test_other_tasks_continue(self, start: Start) -> None:
        """A task that is lost takes no other with it."""
        executor = start(jobs=2)
        executor.submit(Task(1, {"do": "report", "values": [0.5]}))
        assert self.next_messages(executor) == [Reported(1, 1, 0.5)]
        executor.submit(Task(2, {"do": "die"}))
        assert [type(message) for message in self.next_messages(executor)] == [Lost]
        executor.answer(1, "go on")
        assert self.next_messages(executor) == [Ended(1, {"answers": ["go on"]})]

    def test_wait_returns_in_time(self, start: Start) -> None:
        """``wait`` returns in time when there is no message."""
        executor = start()
        began = time.monotonic()
        self.nothing(executor)
        assert time.monotonic() - began < self.patience

    def test_closes_while_tasks_run(self, options: ExecutorOptions) -> None:
        """Tasks at work and tasks that wait for an answer do not hold up the end, nor outlive it."""
        executor = options.build(ExecutorContext(work, 2, "cpu"))
        messages: list[Message] = []
        try:
            executor.submit(Task(1, {"do": "wait"}))
            executor.submit(Task(2, {"do": "report", "values": [0.5]}))
            while len(messages) < 2:
                messages += self.next_messages(executor)
            executor.answer(1, "go on")
        finally:
            end = time.monotonic() + self.patience
            executor.close()
        assert time.monotonic() < end
        # The first task reported its process id.
        (process,) = [int(report.value) for report in messages if isinstance(report, Reported) and report.number == 1]
        while self.works_here and is_alive(process):
            assert time.monotonic() < end, "a process outlives its executor"
            time.sleep(0.05)

    def next_messages(self, executor: Executor) -> list[Message]:
        """Return the next messages."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            if found := list(executor.wait(self.patience)):
                return found
        pytest.fail(f"no message within {self.patience:g} s")

    def nothing(self, executor: Executor) -> None:
        """Fail when a message comes."""
        assert list(executor.wait(self.settle)) == []


def is_alive(process: int) -> bool:
    """Return whether a process of this machine runs; a zombie has ended."""
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def result_of(message: Message) -> Any:
    """Return the result of a task that has ended."""
    assert isinstance(message, Ended), message
    return message.result
