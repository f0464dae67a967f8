"""What an executor is given to do: a module's own function, which other processes find by import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kexp.contracts import Link, Task

LONGEST = 120.0
"""Seconds after which work that should have been stopped ends by itself."""


def work(task: Task, link: Link) -> Mapping[str, Any]:
    """Do what the payload says: echo it, report values, tell news, wait for a stop, raise, or die."""
    payload = dict(task.payload)
    match payload.pop("do"):
        case "echo":
            return {"number": task.number, "process": os.getpid(), "stop": link.should_stop(), **payload}
        case "report":
            answers: list[str] = []
            for step, value in enumerate(payload["values"], 1):
                answers.append(link.report(step, value))
                if answers[-1] != "go on":
                    break
            return {"answers": answers}
        case "tell":
            _tell(link, payload["news"], "소식")
            return {"told": payload["news"]}
        case "tell from threads":
            with ThreadPoolExecutor() as threads:
                threads.map(lambda of: _tell(link, 20, of), "가나다라")
                return {"answers": [link.report(1, 0.5)]}
        case "wait":
            link.report(1, float(os.getpid()))
            end = time.monotonic() + LONGEST
            while not link.should_stop() and time.monotonic() < end:
                time.sleep(0.01)
            return {"stopped": link.should_stop()}
        case "raise":
            raise ValueError("planted")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(payload)


def _tell(link: Link, count: int, of: str) -> None:
    for number in range(count):
        link.tell({"of": of, "number": number})
