"""What is done in a thread of its own while something else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
    its end, the thread has ended too, after the item that it was at.
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, name) as thread:
        made = thread.submit(next, iterator, end)
        while (item := made.result()) is not end:
            made = thread.submit(next, iterator, end)
            yield item  # type: ignore[misc]
