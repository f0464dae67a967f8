"""What a tracker promises: to follow a run from its start to whatever end it takes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from kexp.options import Options, component

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run this is: experiment, variant and seed, its folder, and the resolved spec as plain data."""

    experiment: str
    variant: str
    seed: int
    folder: str
    spec: Mapping[str, Any]


class Tracker(Protocol):
    """Follows one run from its start to whatever end it takes."""

    def log(self, event: Mapping[str, Any]) -> None:
        """Take one event, the object that ``metrics.jsonl`` holds."""

    def finish(self, status: str) -> None:
        """Close; ``status`` is done, failed or interrupted. Called exactly once."""


class TrackerOptions(Options):
    """Base of every tracker."""

    kind: ClassVar[str] = "tracker"

    @abstractmethod
    def build(self, run: RunIdentity) -> Tracker:
        """Start following ``run``."""


AnyTracker = Annotated[TrackerOptions, *component("tracker")]
"""A field that holds a component of this kind."""
