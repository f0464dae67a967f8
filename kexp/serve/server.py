"""Runs the prediction endpoint until Ctrl-C or SIGTERM; what came in before is answered."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress

import uvicorn

from kexp.serve.app import make_app
from kexp.serve.batcher import Batcher, Model
from kexp.ui.listening import LOCAL, address_of, hosts_of, listen

GRACE = 30
"""Seconds that a stopped server waits for clients who send slowly or read slowly."""


def serve(
    model: Model, name: str, host: str, port: int, *, batch_tokens: int, waiting_tokens: int, max_texts: int
) -> None:
    """Serve a model; raises ``KexpError`` if the address is in use or not one of this machine."""
    listening = listen(host, port)
    print(f"{address_of(host, listening)}  (Ctrl-C stops it)", file=sys.stderr, flush=True)
    if host not in LOCAL:
        print("anyone who can reach this address can use the model", file=sys.stderr)
    batcher = Batcher(model, batch_tokens=batch_tokens, waiting_tokens=waiting_tokens)
    app = make_app(model, name, batcher, hosts_of(host), max_texts=max_texts)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE)
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    # Ctrl-C is the usual end of a server, not an error.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Return whether a record is about something else than a request that was ended with the server, which is told."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
