"""Observers: hooks of plugins that are called when a run starts, ends an epoch or ends, and cannot stop it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kexp.catalog import Observer
from kexp.contracts import RunIdentity

logger = logging.getLogger("kexp")


class Observers:
    """The observers of one run; one that raises is named in a warning and not called again in this run."""

    def __init__(self, observers: Sequence[Observer], run: RunIdentity, warn: Callable[[str], None]) -> None:
        self.observers, self.run, self.warn = list(observers), run, warn
        self.epoch: int | None = None
        self.metrics: Mapping[str, float] = {}

    def start(self) -> None:
        """Call the hook of a run that begins to train."""
        self._call("kexp_run_started")

    def event(self, event: Mapping[str, Any]) -> None:
        """Look at an event of training; one that ends an epoch calls the hook for it."""
        if event["event"] == "evaluation":
            self.metrics = event["metrics"]
        elif event["event"] == "epoch":
            self._end_epoch()
            self.epoch = event["epoch"]
        elif event["event"] == "finished":
            self._end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch that has not ended yet, and the last metrics."""
        return {"epoch": self.epoch, "metrics": self.metrics}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore them."""
        self.epoch, self.metrics = state["epoch"], state["metrics"]

    def finish(self, result: Mapping[str, Any]) -> None:
        """Call the hook for how the run ended."""
        if result["status"] == "failed":
            self._call("kexp_run_failed", reason=result["reason"])
        else:
            self._call("kexp_run_ended", result=result)

    def _end_epoch(self) -> None:
        if self.epoch is not None:
            self._call("kexp_epoch_ended", epoch=self.epoch, metrics=self.metrics)
            self.epoch = None

    def _call(self, hook: str, **arguments: Any) -> None:
        for observer in [observer for observer in self.observers if observer.hook == hook]:
            try:
                observer(run=self.run, **arguments)
            # A third-party observer must not stop training, whatever it raises.
            except Exception as error:
                logger.warning("%s of %s", hook, observer.owner, exc_info=True)
                failure = f"{hook} of {observer.owner} failed: {type(error).__name__}: {error}"
                self.warn(f"{failure}; it is not called again in this run")
                self.observers = [other for other in self.observers if other.owner != observer.owner]
