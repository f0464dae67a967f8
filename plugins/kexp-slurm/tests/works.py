"""What the tests have done by jobs, which import it from here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kexp.contracts import Link, Task


def work(task: Task, link: Link) -> Mapping[str, Any]:
    return globals()[task.payload["do"]](task, link)


def environment(task: Task, link: Link) -> Mapping[str, Any]:
    return {"environment": dict(os.environ)}


def until_stopped(task: Task, link: Link) -> Mapping[str, Any]:
    """Tell the number of this process, and work until asked to stop; leave a checkpoint in the payload's folder."""
    link.tell({"process": os.getpid()})
    while not link.should_stop():
        time.sleep(0.01)
    (Path(task.payload["folder"]) / f"checkpoint-{task.number}").touch()
    return {"stopped": True}
