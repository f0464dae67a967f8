"""One process makes what several want, and the others wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kexp.errors import RunInterrupted


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether another process was ``waited`` for, and what ``refused`` a lock, if anything did.

    A folder that cannot be written refuses one, as does a file system without locks.
    """

    waited: bool
    refused: OSError | None


@contextmanager
def making(
    what: str, path: Path, tell: Callable[[str], None], should_stop: Callable[[], bool] = lambda: False
) -> Iterator[Turn]:
    """Hold the lock ``path`` while ``what``, in the plural, is made; wait for another process that makes the same.

    Raises ``RunInterrupted`` where ``should_stop`` returns True while it waits.
    """
    # Not of one thread alone: a generator may be closed in another.
    lock, waited = FileLock(path, thread_local=False), False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=1 if waited else 0)
            break
        except Timeout:
            if not waited:
                tell(f"another process makes the same {what}; they are waited for")
            waited = True
            if should_stop():
                raise RunInterrupted(f"stopped while another process made the same {what}") from None
        except (OSError, NotImplementedError) as error:
            yield Turn(waited, error if isinstance(error, OSError) else OSError(str(error)))
            return
    try:
        yield Turn(waited, None)
    finally:
        lock.release()
