"""What is done in a thread of its own while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def repeating(action: Callable[[], object], seconds: float, name: str) -> Iterator[None]:
    """Call ``action`` every some seconds, at first after as many, until the block ends; then no call is under way."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Worker:
    """A thread that does one piece of work after the other. It ends with the process, whatever it waits for."""

    def __init__(self, name: str) -> None:
        self._wanted = SimpleQueue[Callable[[], None] | None]()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def begin(self, work: Callable[[], Item]) -> Future[Item]:
        """Begin with some work once all before it is done, and return what will have its result."""
        future = Future[Item]()

        def do() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)

        self._wanted.put(do)
        return future

    def close(self) -> None:
        """End the thread once all work is done."""
        self._wanted.put(None)

    def _work(self) -> None:
        while (do := self._wanted.get()) is not None:
            do()


def one_ahead(items: Iterable[Item], name: str) -> Generator[Item, None, None]:
    """Yield the items of an iterable, each of which a thread has made while the one before was used.

    What making an item raises is raised where that item would have been yielded. Once this generator is closed or at
    its end, the thread has ended too, after the item that it was at. A Ctrl-C that comes while an item is waited for
    leaves it behind, and it ends with the process: what it is at may take long.
    """
    iterator, end = iter(items), object()
    wanted, made = SimpleQueue[bool](), SimpleQueue[Future[object]]()

    def make() -> None:
        while wanted.get():
            item = Future[object]()
            try:
                item.set_result(next(iterator, end))
            except BaseException as error:  # noqa: BLE001
                item.set_exception(error)
            made.put(item)

    thread, left_behind = threading.Thread(target=make, name=name, daemon=True), False
    thread.start()
    try:
        wanted.put(True)
        while (item := made.get().result()) is not end:
            wanted.put(True)
            yield item  # type: ignore[misc]
    except KeyboardInterrupt:
        left_behind = True
        raise
    finally:
        wanted.put(False)
        if not left_behind:
            thread.join()


@contextmanager
def one_behind(action: Callable[[Item], object], name: str) -> Iterator[Callable[[Item], None]]:
    """Yield a function that leaves an item to a thread, which calls ``action`` with it while the block goes on.

    The one before is waited for, so that one item at most is under way. What ``action`` raises is raised by the next
    call, or at the end of the block. When the block is left, by an error or a Ctrl-C too, no call is under way.
    """
    with ThreadPoolExecutor(1, name) as pool:
        last: Future[object] | None = None

        def leave(item: Item) -> None:
            nonlocal last
            if last is not None:
                last.result()
            last = pool.submit(action, item)

        yield leave
        if last is not None:
            last.result()
