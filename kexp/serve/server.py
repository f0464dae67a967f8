"""Runs the prediction endpoint until Ctrl-C or SIGTERM; what came in before is answered."""

from __future__ import annotations

import sys
from contextlib import suppress

import uvicorn

from kexp.serve.app import make_app
from kexp.serve.batcher import Batcher, Model
from kexp.ui.listening import LOCAL, address_of, hosts_of, listen


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
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    # Ctrl-C is the usual end of a server, not an error.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
