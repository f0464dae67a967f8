"""Machines of a cluster, played by processes of this one; and patience."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], what: str, seconds: float = 240) -> Found:
    """Look until there is something, and return it."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds} seconds: {what}"
        time.sleep(0.1)
    return found


def process_of(number: int, folder: Path) -> psutil.Process:
    """Return the process of a task that does ``until_stopped``, as soon as it is at it."""
    path = folder / str(number)
    return psutil.Process(int(eventually(lambda: path.is_file() and path.read_text(), f"task {number} has begun")))


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Node:
    """A node with one processor, all of whose processes are this one's descendants."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        folder.mkdir()
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
        with (folder / "output.txt").open("wb") as output:
            self.process = psutil.Popen(
                [*command, "--object-store-memory=100000000", f"--temp-dir={folder}", *arguments],
                stdout=output, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, **environment},
            )  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """Return all its processes."""
        with suppress(psutil.NoSuchProcess):
            return [self.process, *self.process.children(recursive=True)]
        return [self.process]

    def open_files(self, name: str) -> list[Path]:
        """Return the files of this name that its processes have open."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                found += [Path(file.path) for file in process.open_files()]
        return [path for path in found if path.name == name]

    def freeze(self) -> None:
        """Take it away from the network, so that nobody hears of its end."""
        for process in self.processes():
            process.suspend()

    def kill(self) -> None:
        """Take its power away."""
        processes = self.processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)
