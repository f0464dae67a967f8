"""What a thread does while something else goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from kexp.background import one_ahead, one_behind


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("made ahead")]


def test_items_are_made_one_ahead_in_a_thread() -> None:
    made: list[int] = []
    reached = [threading.Event() for _ in range(5)]

    def items() -> Iterator[str]:
        for number in range(4):
            made.append(number)
            reached[number].set()
            yield f"{number} {threading.current_thread() is threading.main_thread()}"
        reached[4].set()

    found = one_ahead(items(), "made ahead")
    for number in range(4):
        assert next(found) == f"{number} False"
        assert reached[number + 1].wait(10)
        assert made == list(range(min(number + 2, 4)))
    assert next(found, "end") == "end"
    assert threads() == []


def test_what_making_an_item_raises_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise SystemExit("the second cannot be made")

    found = one_ahead(items(), "made ahead")
    assert next(found) == 1
    with pytest.raises(SystemExit, match="the second cannot be made"):
        next(found)
    assert threads() == []


def test_a_closed_generator_leaves_no_thread_behind() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    found = one_ahead(items(), "made ahead")
    next(found)
    found.close()
    assert threads() == []
    assert made in ([0], [0, 1])


@pytest.fixture
def _interrupted_by_ctrl_c() -> Iterator[None]:
    """Heed SIGINT as Python does, also where a shell has started the tests in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupted_by_ctrl_c")
def test_an_interrupt_does_not_wait_for_a_slow_item() -> None:
    go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert go_on.wait(60)

    found = one_ahead(items(), "made ahead")
    assert next(found) == 1
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(found)
    (left,) = (thread for thread in threading.enumerate() if thread.name.startswith("made ahead"))
    assert left.daemon
    go_on.set()
    left.join(60)
    assert threads() == []


def test_items_that_are_left_are_done_one_after_the_other_while_the_block_goes_on() -> None:
    done: list[int] = []
    free = threading.Event()

    def slowly(item: int) -> None:
        assert free.wait(10)
        done.append(item)

    with one_behind(slowly, "kexp test") as leave:
        leave(1)
        # The block goes on while the first one is not done.
        assert done == []
        free.set()
        for item in (2, 3):
            leave(item)
            assert done[: item - 1] == [*range(1, item)]
    assert done == [1, 2, 3]


@pytest.mark.parametrize("bad", [1, 3])
def test_what_goes_wrong_behind_is_raised_by_the_next_call_or_at_the_end(bad: int) -> None:
    done: list[int] = []
    left: list[int] = []

    def fail(item: int) -> None:
        if item == bad:
            raise OSError(28, "full")
        done.append(item)

    def leave_all() -> None:
        with one_behind(fail, "kexp test") as leave:
            for item in (1, 2, 3):
                leave(item)
                left.append(item)

    with pytest.raises(OSError, match="full"):
        leave_all()
    assert left == ([1] if bad == 1 else [1, 2, 3])
    assert done == [*range(1, bad)]


def test_a_block_that_is_left_by_a_ctrl_c_leaves_no_call_under_way() -> None:
    done: list[int] = []

    def interrupted() -> None:
        with one_behind(done.append, "kexp test") as leave:
            leave(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kexp test")]
