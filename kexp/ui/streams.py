"""Server-sent events: a browser is told what has changed, until it leaves or the server stops."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from kexp.errors import KexpError
from kexp.report.run_folder import finite
from kexp.ui.library import UnknownRun

T = TypeVar("T")
Event = tuple[str, Any]
"""The kind of an event, and plain data."""

PAUSE = 1.0
"""Seconds between two looks at what a browser watches."""

SLICE = 0.2
"""Seconds after which a stream notices that the server stops."""

SHARE = 20
"""A look that took long is followed by a pause of so many times its duration."""

SILENCE = 15.0
"""Seconds without an event after which a comment is sent, so that a broken connection is noticed."""


class Source(Protocol):
    """What a browser watches."""

    def changes(self) -> Sequence[Event] | None:
        """Return what has changed since the last call, None at the end; called in a thread. May raise ``KexpError``."""


class Streams:
    """The open event streams of a server."""

    def __init__(self) -> None:
        """Let streams run until ``stop``."""
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End all streams; may be called from any thread and from a signal handler."""
        self._stopped.set()

    def response(self, source: Source) -> StreamingResponse:
        """Answer a request with the changes of a source; an error is an event, and is told once."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(source), media_type="text/event-stream", headers=headers)

    async def result(self, future: Future[T]) -> T:
        """Wait for what a thread does; answers 503 when the server stops meanwhile."""
        waited = asyncio.wrap_future(future)
        while not waited.done():
            if self._stopped.is_set():
                raise HTTPException(503, "the server was stopped")
            await asyncio.wait([waited], timeout=SLICE)
        return waited.result()

    async def _events(self, source: Source) -> AsyncIterator[str]:
        told, spoken = "", time.monotonic()
        while not self._stopped.is_set():
            began = time.monotonic()
            events, trouble = await run_in_threadpool(_look, source)
            if trouble and trouble != told:
                yield _text("trouble", {"detail": trouble})
            told = trouble
            for kind, data in events or ():
                yield _text(kind, data)
            if events is None:
                yield _text("end", {})
                return
            now = time.monotonic()
            if events:
                spoken = now
            elif now - spoken > SILENCE:
                spoken = now
                yield ": \n\n"
            await self._sleep(max(PAUSE, SHARE * (now - began)))

    async def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped.is_set() and (rest := until - time.monotonic()) > 0:
            await asyncio.sleep(min(SLICE, rest))


def _look(source: Source) -> tuple[Sequence[Event] | None, str]:
    """Return what has changed, None at the end, and what went wrong."""
    try:
        return source.changes(), ""
    except UnknownRun as error:
        return None, str(error)
    # A file may be half written, or its folder renamed, at this moment.
    except KexpError as error:
        return [], str(error)
    except OSError as error:
        return [], f"{error.filename}: {error.strerror}"


def _text(kind: str, data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(finite(data), ensure_ascii=False, allow_nan=False)}\n\n"
