"""Ctrl-C and SIGTERM: the first one stops a run after its step, so that it can be resumed; the second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def ignore_sigterm() -> None:
    """Ignore SIGTERM from here on: by it a launcher ends the processes that are left, which still have to write."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def graceful_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the run should stop: True after the first Ctrl-C or SIGTERM.

    A second one raises ``KeyboardInterrupt``. Outside of the main thread signals are left as they are.
    """
    requested = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
