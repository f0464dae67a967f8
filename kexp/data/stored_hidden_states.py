"""Hidden states of rows in the host's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.data.encoding import offsets_of, ranges

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class StoredHiddenStates:
    """Hidden states of rows, one row after the other: those of row i are ``values[offsets[i]:offsets[i + 1]]``."""

    values: torch.Tensor
    offsets: NDArray[np.int64]

    @classmethod
    def empty(cls, lengths: NDArray[np.int64], like: torch.Tensor) -> StoredHiddenStates:
        """Return room for rows of these lengths, with states of the size and type of ``like``."""
        offsets = offsets_of(lengths)
        return cls(like.new_empty((int(offsets[-1]), like.shape[-1]), device="cpu"), offsets)

    def put(self, rows: NDArray[np.int64], hidden: torch.Tensor) -> None:
        """Store the hidden states of some rows, of shape (tokens, hidden)."""
        self.values[self._places(rows)] = hidden.to(self.values.device)

    def of(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the hidden states of some rows, of shape (tokens, hidden)."""
        return self.values.index_select(0, self._places(rows))

    def _places(self, rows: NDArray[np.int64]) -> torch.Tensor:
        import torch

        starts = self.offsets[rows]
        return torch.from_numpy(ranges(starts, self.offsets[rows + 1] - starts))
