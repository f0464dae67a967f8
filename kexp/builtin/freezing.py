"""Freezing policies: which blocks of the model stay as they were."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Sequence

from pydantic import Field

from kexp.contracts import FreezingOptions
from kexp.errors import Problem


class NoFreezing(FreezingOptions):
    """Train every parameter."""

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze nothing."""
        return ()


class FreezeEmbeddings(FreezingOptions):
    """Freeze the embeddings."""

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze the lowest block."""
        return blocks[:1]


class FreezeBottomLayers(FreezingOptions):
    """Freeze the embeddings and the lowest layers."""

    layers: int = Field(ge=1, description="Number of layers to freeze, from the input upwards.")

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze the embeddings and ``layers`` blocks above."""
        present = len(blocks) - 2
        if self.layers > present:
            raise ValueError(f"{self.layers} layers cannot be frozen, the model has {present}")
        return blocks[: 1 + self.layers]


class FreezeLayers(FreezingOptions):
    """Freeze the layers that are named, by number or by pattern, and train everything else."""

    layers: tuple[int, ...] = Field((), description="Numbers of layers, 0 nearest to the input; -1 is the last one.")
    blocks: tuple[str, ...] = Field(
        (), description='Patterns of blocks: "embeddings", "layer.3", "layer.[0-5]", "layer.*" or "head".'
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a policy that freezes nothing."""
        if not self.layers and not self.blocks:
            yield Problem(
                "layers", "names no layer to freeze", 'for example layers = [0, 3] or blocks = ["layer.[0-5]"]'
            )

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze the layers with these numbers and the blocks that match a pattern."""
        present = blocks[1:-1]
        missing = [number for number in self.layers if not -len(present) <= number < len(present)]
        if missing:
            raise ValueError(f"there is no layer {', '.join(map(str, missing))}, the model has 0 to {len(present) - 1}")
        chosen = {present[number] for number in self.layers}
        for pattern in self.blocks:
            found = fnmatch.filter(blocks, pattern)
            if not found:
                raise ValueError(f'no block matches "{pattern}"; the model has {", ".join(blocks)}')
            chosen |= set(found)
        if len(chosen) == len(blocks):
            raise ValueError("every block is frozen, so nothing would train")
        return [block for block in blocks if block in chosen]


class FreezeAllButHead(FreezingOptions):
    """Train the classification head alone (linear probing)."""

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze everything below the head."""
        return blocks[:-1]


class GradualUnfreezing(FreezingOptions):
    """Train the head first and unfreeze one block per epoch from the top (Howard & Ruder 2018, section 3.3)."""

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze all blocks but the head and the ``epoch`` blocks below it."""
        return blocks[: max(0, len(blocks) - 1 - epoch)]
