"""What a tracker promises: to follow a run from its start to whatever end it takes."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

from kexp.options import Options, component

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
    """The step after which the run goes on, so that a tracker may go on with what it has up to there."""
    warn: Callable[[str], None] = field(default=logger.warning, compare=False, repr=False)
    """Tells a person something that does not end the following: that there is no network, where the rest is."""


class Tracker(Protocol):
    """Follows one run from its start to whatever end it takes, in a thread of its own: it may wait for a network."""

    def log(self, event: Mapping[str, Any]) -> None:
        """Take one event, the object that ``metrics.jsonl`` holds."""

    def finish(self, status: str) -> None:
        """Close; ``status`` is done, failed, interrupted or pruned. Called exactly once, even if ``log`` has raised.

        By then the run's folder holds what the run left: ``result.json`` always, ``predictions.parquet`` and ``model``
        when it is done.
        """


class TrackerOptions(Options):
    """Base of every tracker."""

    kind: ClassVar[str] = "tracker"

    @abstractmethod
    def build(self, run: RunIdentity) -> Tracker:
        """Start following ``run``; an error is told in a warning, since training goes on without the tracker."""


AnyTracker = Annotated[TrackerOptions, *component("tracker")]
"""A field that holds a component of this kind."""
