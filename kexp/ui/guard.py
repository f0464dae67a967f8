"""Refuses requests that other web pages make, and bodies that are too long, before anything reads them."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 4 * 2**20
"""Bytes of a request's body, at most."""


class Guard:
    """Middleware: answers 403 to an ``Origin`` that is not the host itself, and 413 to a body over the limit."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is refused; pass on any other with its whole body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            await JSONResponse({"detail": f"requests from {origin} are refused"}, 403)(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            detail = f"the body is longer than {LONGEST_BODY:,} bytes"
            await JSONResponse({"detail": detail}, 413, {"Connection": "close"})(scope, receive, send)
            return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_read() -> Message:
            return unread.pop() if unread else await receive()

        await self.app(scope, receive_read, send)


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None as soon as it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)
