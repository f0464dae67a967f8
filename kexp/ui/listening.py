"""Addresses on which kexp's servers listen."""

from __future__ import annotations

import errno
import socket

from kexp.errors import KexpError

LOCAL = ("127.0.0.1", "localhost", "::1")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 takes a free one.

    Raises ``KexpError`` if the address is in use or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Whoever connects before the server is ready waits, instead of being refused.
        listening.listen()
    except OSError as error:
        listening.close()
        remedy = "choose another with --port" if error.errno == errno.EADDRINUSE else "choose another with --host"
        raise KexpError(f"{host}:{port} is not available: {error.strerror}; {remedy}") from None
    return listening


def address_of(host: str, listening: socket.socket) -> str:
    """Return the address of a server's first page."""
    return f"http://{host if ':' not in host else f'[{host}]'}:{listening.getsockname()[1]}"


def hosts_of(host: str) -> list[str]:
    """Return the names under which a server answers: any, where its address is open to others."""
    return [*LOCAL, "[::1]"] if host in LOCAL else ["*"]
