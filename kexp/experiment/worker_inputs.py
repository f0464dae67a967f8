"""The inputs that the tasks of a worker process share: what one has read, encoded or loaded, the next one reuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kexp.catalog import load_catalog
from kexp.experiment.inputs import PreparedInputs
from kexp.settings import cache_folder


@dataclass(slots=True)
class Listened:
    """Passes on what is being done to the task that is under way."""

    listener: Callable[[str], None] = lambda text: None

    def __call__(self, text: str) -> None:
        """Pass on a text."""
        self.listener(text)


@dataclass(frozen=True, slots=True)
class WorkerInputs:
    """Inputs that stay from task to task, and who is told what is being prepared."""

    prepared: PreparedInputs
    progress: Listened


@cache
def worker_inputs(block: tuple[str, ...], local: tuple[Path, ...]) -> WorkerInputs:
    """Return the inputs of this process for tasks with the same plugins."""
    progress = Listened()
    return WorkerInputs(PreparedInputs(load_catalog(block=block, local=local), cache_folder(), progress), progress)
