"""What an executor tells, for tests that wait for it."""

from __future__ import annotations

import time

from kexp.contracts import Message
from kexp_slurm.executor import SlurmExecutor


def told(executor: SlurmExecutor, count: int = 1, seconds: float = 120) -> list[Message]:
    """Return as many messages as are told in this time, and no more than ``count``."""
    found: list[Message] = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        found += executor.wait(0.5)
    return found
