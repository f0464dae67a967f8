"""Hidden states of rows, in the host's memory or in a file that is mapped into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.data.batching import TokensPerBatch, by_length
from kexp.data.ragged import offsets_of, ranges

if TYPE_CHECKING:
    import torch

TOKENS = 4096
"""Tokens of a batch whose hidden states are made, if all its rows were as long as its longest one.

With twice as many, what a layer returns no longer fits the caches of a CPU, which was measured to take a fifth longer.
"""


@dataclass(frozen=True, slots=True)
class StoredHiddenStates:
    """Hidden states of rows: those of row i are the ``lengths[i]`` ones from ``values[starts[i]]`` on."""

    values: torch.Tensor
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def as_made(cls, values: torch.Tensor, tokens: NDArray[np.int64], *, first: bool) -> StoredHiddenStates:
        """Return values of shape (tokens, hidden) in the order in which they are made of rows of so many ``tokens``.

        With ``first`` they are those of first tokens, of shape (rows, hidden).
        """
        order = np.concatenate([*making_order(tokens), np.empty(0, np.int64)])
        lengths = np.ones_like(tokens) if first else tokens
        starts = np.empty_like(lengths)
        starts[order] = offsets_of(lengths[order])[:-1]
        return cls(values, starts, lengths)

    def of(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the hidden states of some rows, of shape (tokens, hidden)."""
        import torch

        # Batches are prepared in a thread of their own. An operation of PyTorch there starts a second set of threads,
        # and the first set then waits at every operation of the model. NumPy has no bf16, so rows are bytes.
        taken = self.values.view(torch.uint8).numpy().take(ranges(self.starts[rows], self.lengths[rows]), axis=0)
        return torch.from_numpy(taken).view(self.values.dtype)


def making_order(tokens: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the batches in which hidden states of rows of so many ``tokens`` are made, longest rows first.

    They depend on nothing else: the last bits of a matrix product may depend on its shape.
    """
    return list(by_length(tokens, TokensPerBatch(TOKENS)))
