"""Command lines of kexp in processes of their own that may be killed and that faults are done to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = 240.0
"""Seconds after which a process counts as hanging."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; ``status`` is that of its process, negative for a signal."""

    status: int
    output: str
    errors: str


@dataclass(slots=True)
class Commands:
    """Starts commands one after the other."""

    server: subprocess.Popen[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: str | Path,
        meanwhile: Callable[[int], None] = lambda process: None,
        environment: Mapping[str, str] | None = None,
        **faults: Any,
    ) -> Ended:
        """Run a command line to its end; ``meanwhile`` is called with the number of the process in a thread."""
        output, errors = self.folder / "output", self.folder / "errors"
        request = {
            "arguments": [str(argument) for argument in arguments],
            "environment": {**self.environment, **(environment or {})},
            "output": str(output),
            "errors": str(errors),
            "faults": faults,
        }
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        process = int(self.server.stdout.readline())
        watchdog = threading.Timer(LIMIT, kill, (process,))
        watchdog.start()
        thread = threading.Thread(target=meanwhile, args=(process,))
        thread.start()
        status = int(self.server.stdout.readline())
        watchdog.cancel()
        thread.join()
        return Ended(status, output.read_text("utf-8", "replace"), errors.read_text("utf-8", "replace"))


@contextlib.contextmanager
def commands(folder: Path) -> Iterator[Commands]:
    """Start the program that forks, with a cache of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, str(Path(__file__).with_name("forked_commands.py"))]
    environment = os.environ | {"KEXP_CACHE_DIR": str(folder / "cache")}
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield Commands(server, folder)
        assert server.stdin is not None
        server.stdin.close()


def kill(process: int) -> None:
    """Kill a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
