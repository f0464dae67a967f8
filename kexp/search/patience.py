"""A storage that is not reached for a while, such as a server that is restarted, is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from kexp.errors import KexpError, RunFailed
from kexp.redaction import without_passwords

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

WAIT = 900.0
"""Seconds for which a storage is waited for."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


def patient(storage: BaseStorage, name: str, tell: Callable[[str], None]) -> BaseStorage:
    """Return a storage of which every call waits until it is reached; after ``WAIT`` seconds ``RunFailed`` is raised.

    ``tell`` is told once that it is waited for, and once that it is back. Until it has been written to once, nothing is
    waited for: ``KexpError`` is raised, since it may never have been there.
    """
    return cast("BaseStorage", _Patient(storage, name, tell))


class _Patient:
    def __init__(self, storage: BaseStorage, name: str, tell: Callable[[str], None]) -> None:
        self.storage, self.name, self.tell = storage, name, tell
        self.lock = threading.Lock()
        self.gone_since: float | None = None
        self.written = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.storage, name)
        return self._patiently(found, name.startswith(("create_", "set_"))) if callable(found) else found

    def _patiently(self, method: Callable[..., Any], writes: bool) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            pause = FIRST_PAUSE
            while True:
                try:
                    result = method(*arguments, **options)
                # Drivers and servers raise errors of their own kinds.
                except Exception as error:
                    if (cause := unreachable(error)) is None:
                        self.written |= writes
                        raise
                    self._wait_for(cause, pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    self.written |= writes
                    self._back()
                    return result

        return call

    def _wait_for(self, cause: BaseException, seconds: float) -> None:
        reason = first_line(cause)
        if not self.written:
            raise KexpError(f"{self.name} cannot be used: {reason}")
        with self.lock:
            if self.gone_since is None:
                self.gone_since = time.monotonic()
                self.tell(f"{self.name} is not reached ({reason}); waiting for {WAIT / 60:.0f} minutes at most")
            gone = time.monotonic() - self.gone_since
        if gone > WAIT:
            again = "the same command continues the study when it is back"
            raise RunFailed(f"{self.name} was not reached for {WAIT / 60:.0f} minutes ({reason}); {again}")
        time.sleep(seconds)

    def _back(self) -> None:
        with self.lock:
            if self.gone_since is not None:
                self.gone_since = None
                self.tell(f"{self.name} is back")


def unreachable(error: BaseException) -> BaseException | None:
    """Return the cause that says that a storage is not reached; None if it refuses what it was asked."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        lost = isinstance(cause, DBAPIError) and cause.connection_invalidated
        if lost or isinstance(cause, OperationalError | InterfaceError) or _is_unavailable(cause):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _is_unavailable(error: BaseException) -> bool:
    """Return whether gRPC says that its server is not there; gRPC itself may not be installed."""
    code = getattr(error, "code", None)
    return type(error).__module__.startswith("grpc") and callable(code) and code().name == "UNAVAILABLE"


def first_line(error: BaseException) -> str:
    """Return the first line of what a driver says, without passwords."""
    details = getattr(error, "details", None)
    said = getattr(error, "orig", None) or (details() if callable(details) else error)
    lines = str(said).strip().splitlines()
    return without_passwords(lines[0]) if lines else type(error).__name__
