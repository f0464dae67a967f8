"""Ctrl-C and SIGTERM: the first one stops a run after its step, so that it can be resumed; the second one at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

REPEATED = 5.0
"""Seconds in which a second signal is the first one again: torchrun passes on what a terminal sends to all."""


def ignore_sigterm() -> None:
    """Ignore SIGTERM from here on: by it a launcher ends the processes that are left, which still have to write."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def graceful_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the run should stop: True after the first Ctrl-C or SIGTERM.

    A second one raises ``KeyboardInterrupt``; of several processes that ``torchrun`` has begun, one that comes some
    seconds later. Outside of the main thread signals are left as they are.
    """
    requested = threading.Event()
    until = 0.0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal until
        if requested.is_set() and time.monotonic() >= until:
            raise KeyboardInterrupt
        if not requested.is_set():
            until = time.monotonic() + (REPEATED if "TORCHELASTIC_RUN_ID" in os.environ else 0.0)
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
