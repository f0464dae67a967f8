"""What an augmenter promises: texts in, texts out, each from a random stream of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from kexp.options import Options, component

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Rejected:
    """An augmented text that is not good enough to be used, and why."""

    text: str
    reason: str


class Augmenter(Protocol):
    """Texts in, texts out; the same text and generator give the same result whatever stands around it."""

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return one augmented text per text, drawing for each from its own generator only."""


@dataclass(frozen=True, slots=True)
class AugmenterContext:
    """What an augmenter may learn from, and where it works.

    ``texts`` are those of the train split, the unlabelled pool included; ``labelled`` and ``labels`` (ids) the labelled
    rows among them. ``store`` is a folder that outlives the run, for what is costly to make; ``device`` is as in the
    spec's training section; ``tell`` shows a line of progress.
    """

    texts: Sequence[str] = ()
    labelled: Sequence[str] = ()
    labels: Sequence[int] = ()
    store: Path = Path()
    device: str = "auto"
    tell: Callable[[str], None] = lambda line: None


class AugmenterOptions(Options):
    """Base of every augmenter. A cheap one makes new texts every epoch; a costly one is run once and its texts kept."""

    kind: ClassVar[str] = "augmenter"

    @property
    def costly(self) -> bool:
        """Tell whether it is run once, before training, and its texts kept."""
        return False

    def forms(self) -> int:
        """Return how many forms of each text a costly augmenter is asked for; epochs take them in turn."""
        return 1

    @abstractmethod
    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""


AnyAugmenter = Annotated[AugmenterOptions, *component("augmenter")]
"""A field that holds a component of this kind."""
