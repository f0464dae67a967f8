"""Several processes of one program, begun by torchrun on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LIMIT = 300.0
"""Seconds after which processes count as hanging."""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended in all processes."""

    status: int
    output: str
    errors: str


def torchrun(
    *program: str | Path,
    processes: int = 2,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[subprocess.Popen[str]], None] = lambda launcher: None,
) -> Ended:
    """Run a script, or a module after "-m", to its end; ``meanwhile`` is called with the launcher once it is begun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(free_port()), *map(str, program)]
    own = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **(environment or {})}
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own)
    try:
        meanwhile(launcher)
        output, errors = launcher.communicate(timeout=LIMIT)
    finally:
        launcher.kill()
    return Ended(launcher.returncode, output, errors)


def workers(launcher: subprocess.Popen[str]) -> dict[int, int]:
    """Return the numbers of the processes that a launcher has begun, by their rank."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                variables = path.joinpath("environ").read_bytes().split(b"\0")
            except OSError:
                continue
            ranks = [int(one.removeprefix(b"RANK=")) for one in variables if one.startswith(b"RANK=")]
            if parent == launcher.pid and ranks:
                found[ranks[0]] = int(path.name)
    return found


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it has not come to pass"
        time.sleep(0.05)
