"""Trained models in memory: loaded one after the other in a thread of their own, the least recently used given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from kexp.errors import KexpError
from kexp.inference.columns import TextColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

MODELS = 8
"""Models that are kept in memory, at most."""


class Model(Protocol):
    """The part of a trained model that the page uses."""

    labels: Sequence[str]

    @property
    def columns(self) -> TextColumns:
        """The columns that it was trained on."""

    def predict(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        """Return probabilities of shape (rows, labels)."""


Load = Callable[[Path], Model]


@dataclass(slots=True)
class _Entry:
    """A model that is asked for: ``began`` is None while it waits for others."""

    written: int
    future: Future[Model] = field(default_factory=Future)
    began: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How far a model is: "absent", "waiting", "loading", "ready" or "failed", for how long, and why it failed."""

    name: str
    seconds: float = 0.0
    reason: str = ""


class Models:
    """At most ``MODELS`` models; one whose folder was written anew is loaded again."""

    def __init__(self, load: Load) -> None:
        """Load nothing yet."""
        self._load = load
        self._entries: dict[Path, _Entry] = {}
        self._changed = threading.Lock()
        self._one = threading.Lock()
        self._working: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether a model is being loaded, or predicts."""
        return bool(self._working)

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Do work in a thread, for which a server that is stopped does not wait; return what will hold the result."""
        future: Future[T] = Future()
        self._working.add(future)

        def run() -> None:
            try:
                future.set_result(work())
            # Whatever fails is told to those who asked.
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)
            finally:
                self._working.discard(future)

        threading.Thread(target=run, name="kexp model", daemon=True).start()
        return future

    def start(self, run: Path) -> Future[Model]:
        """Begin to load the model of a run unless it is there, and return what will hold it."""
        written = _written(run)
        with self._changed:
            entry = self._entries.pop(run, None)
            if entry is None or entry.written != written or _failed(entry):
                entry = _Entry(written)
                entry.future = self.begin(partial(self._loaded, run, entry))
            # The last entry is the most recently used.
            self._entries[run] = entry
            while len(self._entries) > MODELS:
                self._entries.pop(next(iter(self._entries)))
            return entry.future

    def get(self, run: Path) -> Model:
        """Return the model of a run, loading it first if need be; raises ``KexpError`` as loading does."""
        return self.start(run).result()

    def state(self, run: Path) -> State:
        """Return how far the model of a run is."""
        with self._changed:
            entry = self._entries.get(run)
        if entry is None:
            return State("absent")
        if not entry.future.done():
            waited = 0.0 if entry.began is None else time.monotonic() - entry.began
            return State("waiting" if entry.began is None else "loading", waited)
        error = entry.future.exception()
        return State("failed" if error else "ready", entry.seconds or 0.0, str(error or ""))

    def _loaded(self, run: Path, entry: _Entry) -> Model:
        with self._one:
            entry.began = time.monotonic()
            try:
                return self._load(run)
            except KexpError:
                raise
            except Exception as error:
                raise KexpError(f"{run}: {type(error).__name__}: {error}") from error
            finally:
                entry.seconds = time.monotonic() - entry.began


def _failed(entry: _Entry) -> bool:
    return entry.future.done() and entry.future.exception() is not None


def _written(run: Path) -> int:
    """Return when the folder of a model was written; 0 where there is none."""
    try:
        return (run / "model").stat().st_mtime_ns
    except OSError:
        return 0
