"""Whether all processes of a run see the same folder: those of several machines need a disk that all of these share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kexp.distributed import World
from kexp.errors import KexpError

PATIENCE = 10.0
"""Seconds after which a file that another machine has written counts as unseen: network disks show it late."""


def all_see(world: World, folder: Path | None) -> bool:
    """Return whether every process sees what the first one writes into a folder, which the others need not name."""
    if world.size == 1:
        return True
    with _probe(world, folder) as probe:
        (unseen,) = world.agree(not _appears(probe))
    return not unseen


def need_shared(world: World, folder: Path | None, remedy: str) -> None:
    """Raise ``KexpError`` in every process where one does not see what the first one writes into a folder."""
    if world.size == 1:
        return
    with _probe(world, folder) as probe, world.together():
        if not _appears(probe):
            raise KexpError(f"{probe.parent}: is not the folder into which the first process writes; {remedy}")


@contextmanager
def _probe(world: World, folder: Path | None) -> Iterator[Path]:
    """Yield a file that the first process has written, until the end of the block."""

    def write() -> Path:
        assert folder is not None
        path = folder.absolute() / f".shared.{secrets.token_hex(8)}"
        path.touch()
        return path

    path = world.from_first(write)
    try:
        yield path
    finally:
        if world.first:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _appears(path: Path) -> bool:
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
