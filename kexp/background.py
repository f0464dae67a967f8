"""What is done in a thread of its own while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
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
