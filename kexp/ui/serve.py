"""Serves the page on this machine, or to others with ``--host``."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn

from kexp.ui.app import Load, make_app
from kexp.ui.listening import LOCAL, address_of, hosts_of, listen
from kexp.ui.streams import Streams


def serve(runs_dir: Path, host: str, port: int, open_browser: bool, load: Load, page: str = "/") -> None:
    """Serve until Ctrl-C, with models as ``load`` loads them; ``page`` is the path that is named and opened first.

    Raises ``KexpError`` if the address is in use or not one of this machine.
    """
    listening = listen(host, port)
    address = address_of(host, listening) + page.removesuffix("/")
    print(f"{address}  (Ctrl-C stops it)", file=sys.stderr, flush=True)
    if host not in LOCAL:
        print("anyone who can reach this address can see all runs and use all models", file=sys.stderr)
    if open_browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    streams = Streams()
    app = make_app(runs_dir, load, hosts_of(host), streams)
    config = uvicorn.Config(app, log_level="warning", lifespan="off")
    # Ctrl-C is the usual end of a server, not an error.
    with suppress(KeyboardInterrupt):
        _Server(config, streams).run(sockets=[listening])
    if app.state.models.busy:
        # A thread in the middle of PyTorch neither lets go of the process nor survives its end.
        sys.stderr.flush()
        os._exit(0)


class _Server(uvicorn.Server):
    """Ends the event streams as soon as it is stopped: otherwise it would wait until every browser is closed."""

    def __init__(self, config: uvicorn.Config, streams: Streams) -> None:
        super().__init__(config)
        self.streams = streams

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop."""
        self.streams.stop()
        super().handle_exit(sig, frame)
