"""A freezing policy: the blocks of the model that do not train, epoch by epoch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import kexp
from kexp.contracts import FreezingOptions
from pydantic import Field

KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyFreezing(FreezingOptions):
    """Train the head alone at first, then everything (linear probing, then fine-tuning; Kumar et al. 2022)."""

    epochs: int = Field(1, ge=1, description="Epochs in which only the head trains.")

    def frozen(self, blocks: Sequence[str], epoch: int) -> Collection[str]:
        """Freeze all blocks but the last, which is the head, until the epochs (counted from 0) are over."""
        return blocks[:-1] if epoch < self.epochs else ()


@kexp.hookimpl
def kexp_freezing_policies() -> Mapping[str, type[FreezingOptions]]:
    """Name the freezing policies of this package."""
    return {"my-name": MyFreezing}
