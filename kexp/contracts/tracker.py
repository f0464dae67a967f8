"""What a tracker promises: to log the events of a run until it ends, however it ends."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

from kexp.options import Options, component
from kexp.repeats import Repeat

logger = logging.getLogger("kexp")


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run this is, in which ``group`` of runs that belong together (the run folder's name, or the study's)."""

    experiment: str
    group: str
    variant: str
    seed: int
    folder: str
    spec: Mapping[str, Any]
    """The resolved spec as plain data."""
    resumed_at: int | None = None
    """The step after which the run continues, so that a tracker can continue what it has up to there."""
    warn: Callable[[str], None] = field(default=logger.warning, compare=False, repr=False)
    """Shows the user a warning that does not end the tracking, for example that there is no network."""
    draw: int | None = None
    """Which draw of the labelled rows, counted from 1; None where the spec has one only."""
    fold: int | None = None
    """Which fold is tested, counted from 1; None without folds."""

    @property
    def repeat(self) -> Repeat:
        """Which of the variant's runs this is."""
        return Repeat(self.seed, self.draw, self.fold)


class Tracker(Protocol):
    """Logs the events of one run, in a thread of its own, so that it may wait for a network."""

    def log(self, event: Mapping[str, Any]) -> None:
        """Log one event, an object of ``metrics.jsonl``."""

    def finish(self, status: str) -> None:
        """Close; ``status`` is done, failed, interrupted or pruned. Called exactly once, even if ``log`` has raised.

        The files of the run are written by then: ``result.json`` always, ``predictions.parquet`` and ``model``
        when it is done.
        """


class TrackerOptions(Options):
    """Base of every tracker."""

    kind: ClassVar[str] = "tracker"

    @abstractmethod
    def build(self, run: RunIdentity) -> Tracker:
        """Return the tracker of a run; an error becomes a warning, since training continues without the tracker."""


AnyTracker = Annotated[TrackerOptions, *component("tracker")]
"""A field that holds a component of this kind."""
