"""The processes that train one run together; a process that trains alone is a world of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Made = TypeVar("Made")


@dataclass(frozen=True)
class World:
    """The place of this process among ``size`` that train together; ``local_rank`` counts those of its machine.

    Every process calls the methods in the same order. Here they are those of a process that trains alone; those of
    several are in ``process_group``.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, tracks and shows."""
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of ``values`` of all processes: ``values`` itself where there is one."""
        return values

    def joined(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return an array of which every process has some places, and zeros in all others."""
        return array

    def add_gradients(self, parameters: Sequence[torch.nn.Parameter], loss: torch.Tensor) -> torch.Tensor:
        """Give every process the sum of the gradients of all, and return the sum of their losses.

        A parameter without gradient in every process stays without.
        """
        return loss

    def differing(self, values: torch.Tensor) -> list[int]:
        """Return the places at which integers, of shape (n,), are not equal in all processes."""
        return []

    def from_first(self, make: Callable[[], Made]) -> Made:
        """Return what ``make`` returns in the first process, the only one to call it."""
        return make()

    def agree(self, *flags: int) -> tuple[int, ...]:
        """Wait for all processes and return the largest of each number; raise what another process has raised."""
        return flags

    def tell(self, error: BaseException) -> None:
        """Let all processes raise an error of this one, where it did not come from another."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all processes fail where one of them fails in the block, and go on where all are at its end."""
        yield

    @contextmanager
    def in_turn(self, *, before_others: bool) -> Iterator[None]:
        """Let processes with ``before_others`` do the block before the others begin with it."""
        yield

    def first_on_machine(self) -> AbstractContextManager[None]:
        """Let the first process of each machine do the block before the others, which find what it has stored."""
        return self.in_turn(before_others=self.local_rank == 0)


ALONE = World()
