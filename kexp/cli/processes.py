"""One command line in several processes: the first one shows what there is to see, and all end with its status."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from kexp.cli.errors import settings
from kexp.distributed import World


@contextmanager
def shown_once() -> Iterator[None]:
    """Show nothing in processes that follow another one of the same command; with ``--debug`` their errors."""
    from kexp.launchers import follows

    with ExitStack() as stack:
        if os.environ.get("WORLD_SIZE", "1") != "1":
            stack.enter_context(_sigterm_ignored())
        if not follows():
            yield
            return
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
        stack.enter_context(redirect_stdout(nowhere))
        if not settings.debug:
            stack.enter_context(redirect_stderr(nowhere))
        yield


@contextmanager
def _sigterm_ignored() -> Iterator[None]:
    """Ignore SIGTERM around what handles it: a launcher sends it to all processes once one has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def several_processes() -> Iterator[World]:
    """Join the processes that a launcher has begun of a command, and yield the world of all; they fail together.

    A launcher ends all processes once one has failed, so the others wait until the first one has ended by itself.
    """
    from kexp.errors import KexpError, ProcessLost
    from kexp.launchers import launched

    place = launched()
    if place.size == 1:
        yield place
        return
    from kexp.process_group import join

    try:
        world = join(place)
    except KexpError as error:
        # The first process waits for this one, and does not learn why it is not there.
        if not place.first:
            _say(error)
        raise
    try:
        with world.together():
            yield world
    except ProcessLost as error:
        # The first process may be the one that is lost.
        if place.rank == 1:
            _say(error)
        raise
    finally:
        if not place.first:
            world.wait_for_first()


def _say(error: Exception) -> None:
    """Print an error of a process that shows nothing else."""
    if sys.__stderr__ is not None:
        print(error, file=sys.__stderr__)
