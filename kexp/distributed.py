"""The processes that train one run together; a process that trains alone is a world of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class World:
    """The place of this process among ``size`` that train together; ``local_rank`` counts those of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of ``values`` of all processes: ``values`` itself where there is one."""
        return values

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Return the rows of all processes, of which process r has those at ``[r::size]``."""
        return values


ALONE = World()
