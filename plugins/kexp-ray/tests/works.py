"""What the tests have done by Ray's processes, which import it from here: a payload's ``do`` names the function."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from kexp.contracts import Link, Task


def work(task: Task, link: Link) -> Mapping[str, Any]:
    return globals()[task.payload["do"]](task, link)


def environment(task: Task, link: Link) -> Mapping[str, Any]:
    return {"environment": dict(os.environ), "processors": ray.get_runtime_context().get_assigned_resources()["CPU"]}


def tell(task: Task, link: Link) -> Mapping[str, Any]:
    """Report the payload's values until the answer is another than to go on."""
    answers = []
    for step, value in enumerate(task.payload["values"], start=1):
        answers.append(link.report(step, value))
        if answers[-1] != "go on":
            break
    return {"answers": answers}


def until_stopped(task: Task, link: Link) -> Mapping[str, Any]:
    """Leave the number of this process in the payload's folder, and work until asked to stop."""
    (Path(task.payload["folder"]) / str(task.number)).write_text(str(os.getpid()))
    while not link.should_stop():
        time.sleep(0.01)
    return {"stopped": True}


def fail(task: Task, link: Link) -> Mapping[str, Any]:
    raise ValueError("there is no such thing")


def die(task: Task, link: Link) -> Mapping[str, Any]:
    os._exit(3)
