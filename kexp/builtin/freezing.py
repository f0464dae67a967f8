"""Freezing policies: which blocks of the model stay as they were."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import Field

from kexp.contracts import FreezingOptions


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
