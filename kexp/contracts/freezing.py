"""What a freezing policy promises: the blocks of the model that do not train."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Annotated, ClassVar

from kexp.options import Options, component


class FreezingOptions(Options):
    """Base of every freezing policy: which blocks of the model do not train, epoch by epoch."""

    kind: ClassVar[str] = "freezing"

    @abstractmethod
    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Return the names of the frozen blocks in ``epoch`` (from 0).

        ``blocks`` are named from the input upwards: ``embeddings``, ``layer.0`` ... ``layer.n``, ``head``. Raises
        ``ValueError`` when the model lacks blocks that the options name.
        """


def block_names(layers: int) -> tuple[str, ...]:
    """Return the names of a model's blocks from the input upwards."""
    return ("embeddings", *(f"layer.{number}" for number in range(layers)), "head")


AnyFreezing = Annotated[FreezingOptions, *component("freezing")]
"""A field that holds a component of this kind."""
