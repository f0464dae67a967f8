"""Another process that has loaded nothing yet: what a component brings along there, and whether it arrives whole."""

from __future__ import annotations

import atexit
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import Any

HEAVY = ("torch", "transformers", "datasets")
"""What a component may import in ``build`` only."""

# Reads pickled options, one after the other, and answers with what it sees. It knows kexp from the pickles alone.
_PROGRAM = """
import json, pickle, sys, time, traceback
def answer(data, heavy):
    try:
        options = pickle.loads(data)
    except Exception:
        return {"error": traceback.format_exc(limit=-1)}, b""
    start = time.process_time()
    try:
        found = [*options.problems(), *options.warnings()]
    except Exception:
        return {"error": traceback.format_exc(limit=-3)}, b""
    seconds = time.process_time() - start
    loaded = [name for name in heavy if name in sys.modules]
    return {"error": "", "loaded": loaded, "found": len(found), "seconds": seconds}, pickle.dumps(options)
sys.path[:], heavy = json.loads(sys.argv[1]), json.loads(sys.argv[2])
source, sink = sys.stdin.buffer, sys.stdout.buffer
sys.stdout = sys.stderr
while size := source.read(8):
    seen, back = answer(source.read(int.from_bytes(size, "big")), heavy)
    for part in (json.dumps(seen).encode(), back):
        sink.write(len(part).to_bytes(8, "big") + part)
    sink.flush()
    if seen.get("loaded"):
        break
"""


@dataclass(slots=True)
class Arrival:
    """What was seen of a component in the other process: an error, or what it loaded and how long its checks took."""

    error: str
    loaded: list[str] = field(default_factory=list)
    found: int = 0
    seconds: float = 0.0
    returned: Any = None
    """The component as it came back."""


def send(component: object) -> Arrival:
    """Send a component to a process in which no library is loaded, let it check itself there, and take it back."""
    process = _process()
    data = pickle.dumps(component)
    assert process.stdin is not None
    process.stdin.write(len(data).to_bytes(8, "big") + data)
    process.stdin.flush()
    seen, back = json.loads(_read(process)), _read(process)
    arrival = Arrival(**seen)
    if not arrival.error:
        # It is what this process has sent.
        arrival.returned = pickle.loads(back)  # noqa: S301
    if arrival.loaded:
        # Whatever comes next would find the libraries there.
        _end(process)
        _process.cache_clear()
    return arrival


@cache
def _process() -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), json.dumps(HEAVY)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(_end, process)
    return process


def _read(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    size = process.stdout.read(8)
    assert len(size) == 8, f"the process in which components are looked at ended with status {process.wait(60)}"
    return process.stdout.read(int.from_bytes(size, "big"))


def _end(process: subprocess.Popen[bytes]) -> None:
    atexit.unregister(_end)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait(60)
