"""What an augmenter promises: texts in, texts out, each from a random stream of its own."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, ClassVar, Protocol, runtime_checkable

from kexp.errors import PluginError, describe_value, plugin_call
from kexp.options import Options, build_component, component, component_title

CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """An augmented text that is not good enough to be used, and why.

    An unlabelled row that a costly augmenter rejects is left out, and counted by reason. Everywhere else, for labelled
    rows too, the original text is trained on in that epoch; a run warns once, with how many were rejected.
    """

    text: str
    reason: str

    def __post_init__(self) -> None:
        """Refuse what is no string where it is made."""
        for name, value in (("text", self.text), ("reason", self.reason)):
            if not isinstance(value, str):
                raise TypeError(f"Rejected(text, reason): {name} is {describe_value(value)}, expected str")


class Augmenter(Protocol):
    """Texts in, texts out; the same text and generator give the same result, whatever the other texts are."""

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return one augmented text per text, drawing for each from its own generator only.

        A text of which nothing good can be made comes back as ``Rejected``; none is left out. In training it is called
        with the texts of a step at a time, in a thread, while the step before is done: PyTorch's global random stream
        is left alone. Where many texts are augmented on several cores and ``pickle`` can copy the augmenter, a copy in
        a process of its own makes them ahead of the steps.
        """


@runtime_checkable
class ClosableAugmenter(Augmenter, Protocol):
    """An augmenter that holds a process or a model until it is closed; it opens again when it is called again."""

    def close(self) -> None:
        """End the process or free the memory. kexp calls it when the texts are made, and when a run has ended."""


@dataclass(frozen=True, slots=True)
class AugmenterContext:
    """What an augmenter may learn from, and where it works.

    ``texts`` are those of the train split, unlabelled ones included; ``labelled`` and ``labels`` the labelled rows
    among them, with ids that are equal where rows have equal labels (``TaskOptions.groups``). ``store`` is a folder
    that outlives the run, for what is costly to make; ``device`` is as in the spec's training section; ``progress``
    shows a line of progress; one that ends with an ellipsis is shown until the next.
    """

    texts: Sequence[str] = ()
    labelled: Sequence[str] = ()
    labels: Sequence[int] = ()
    store: Path = Path()
    device: str = "auto"
    progress: Callable[[str], None] = lambda line: None

    def digest(self) -> str:
        """Return a hash of the texts and labels."""
        digest = hashlib.blake2b(digest_size=16)
        for part in _as_json((self.texts, self.labelled, self.labels)):
            digest.update(part.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _as_json(columns: Iterable[Iterable[str | int]]) -> Iterator[str]:
    """Yield the JSON of a list of lists, of which no more than a chunk is in memory."""
    for number, column in enumerate(columns):
        yield ", [" if number else "[["
        values, before = iter(column), ""
        while chunk := list(islice(values, CHUNK)):
            yield before + json.dumps(chunk, ensure_ascii=False)[1:-1]
            before = ", "
        yield "]"
    yield "]"


class AugmenterOptions(Options):
    """Base of every augmenter. A cheap one makes new texts every epoch; a costly one is run once, its texts stored."""

    kind: ClassVar[str] = "augmenter"

    @property
    def costly(self) -> bool:
        """Whether it is run once, before training, and its texts are stored."""
        return False

    def views(self) -> int:
        """Return how many views of each text a costly augmenter makes; epochs take them in turn."""
        return 1

    def identity(self, context: AugmenterContext) -> str:
        """Name what the texts depend on besides options and package version: what is learnt from, and files read.

        The texts of a costly augmenter are stored under it. One that learns nothing from the context returns "", so
        that they are shared by runs on other data.
        """
        return context.digest()

    @abstractmethod
    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""


AnyAugmenter = Annotated[AugmenterOptions, *component("augmenter")]
"""A field that holds a component of this kind."""


@dataclass(slots=True)
class CheckedAugmenter:
    """An augmenter that is named when it fails or returns something unexpected, and whose rejections are counted."""

    name: str
    augmenter: Augmenter
    total: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def __call__(self, texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        """Return what the augmenter makes of each text; raises ``PluginError`` that names it."""
        with plugin_call(self.name):
            made = list(self.augmenter(texts, generators))
        if len(made) != len(texts):
            raise PluginError(f"{self.name}: made {len(made)} of {len(texts)} texts, expected one of each")
        for found in made:
            if not isinstance(found, str | Rejected):
                wanted = "expected str or Rejected(text, reason)"
                raise PluginError(f"{self.name}: returned {describe_value(found)} for a text, {wanted}")
        self.count(made)
        return made

    def count(self, made: Sequence[str | Rejected]) -> None:
        """Count what was made of some texts."""
        self.total += len(made)
        self.rejected.update(found.reason for found in made if isinstance(found, Rejected))

    def close(self) -> None:
        """Close the augmenter if it can be closed."""
        if isinstance(self.augmenter, ClosableAugmenter):
            with plugin_call(self.name):
                self.augmenter.close()


def build_augmenter(options: AugmenterOptions, context: AugmenterContext) -> CheckedAugmenter:
    """Build an augmenter; raises ``PluginError`` that names it when it fails."""
    return CheckedAugmenter(component_title(options), build_component(options, context))


def build_augmenters(options: Iterable[AugmenterOptions], context: AugmenterContext) -> list[CheckedAugmenter]:
    """Build several augmenters; where one fails, those before it are closed."""
    made: list[CheckedAugmenter] = []
    with ExitStack() as built:
        for one in options:
            made.append(build_augmenter(one, context))
            built.callback(made[-1].close)
        built.pop_all()
    return made
