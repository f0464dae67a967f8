"""Rows of tokens as the model takes them: one after the other, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Rows of tokens on a device, one after the other without padding.

    ``ids`` and, where the model takes them, token ``types`` are int64 of shape (tokens,). ``lengths`` of shape (rows,)
    are on the host, so that no shape waits for the device. ``hidden`` is what the first blocks of the model make of
    the tokens, of shape (tokens, hidden), or of first tokens alone, of shape (rows, hidden), where that is known.
    """

    ids: torch.Tensor
    lengths: NDArray[np.int64]
    types: torch.Tensor | None
    hidden: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def joined(cls, groups: Sequence[TokenRows]) -> TokenRows:
        """Return groups of rows one after the other; types and hidden states are those of all groups, or none."""
        if len(groups) == 1:
            return groups[0]
        ids = _joined([group.ids for group in groups])
        assert ids is not None
        return cls(
            ids,
            np.concatenate([group.lengths for group in groups]),
            _joined([group.types for group in groups]),
            _joined([group.hidden for group in groups]),
        )

    @property
    def row_of_token(self) -> torch.Tensor:
        """The number of the row that each token belongs to, of shape (tokens,)."""
        return self._on_device(np.repeat(np.arange(len(self)), self.lengths))

    def padded(self, pad_id: int) -> dict[str, torch.Tensor]:
        """Return what a transformers model takes, each of shape (rows, longest row): ids, mask, and types if any.

        The mask comes from the lengths: a padding id may be a real token of the vocabulary.
        """
        mask = self._on_device(np.arange(self.lengths.max()) < self.lengths[:, None])
        inputs = {"input_ids": self.spread(self.ids, pad_id), "attention_mask": mask.long()}
        if self.types is not None:
            inputs["token_type_ids"] = self.spread(self.types)
        return inputs

    def spread(self, values: torch.Tensor, padding: int = 0) -> torch.Tensor:
        """Return ``values`` of shape (tokens, ...) in the shape (rows, longest row, ...), with gradient."""
        width = int(self.lengths.max())
        columns = np.arange(width)
        places = np.flatnonzero(columns < self.lengths[:, None])
        flat = values.new_full((len(self) * width, *values.shape[1:]), padding)
        return flat.index_copy(0, self._on_device(places), values).unflatten(0, (len(self), width))

    def _on_device(self, array: NDArray[np.int64] | NDArray[np.bool_]) -> torch.Tensor:
        import torch

        return torch.from_numpy(array).to(self.ids.device, non_blocking=True)


def _joined(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    import torch

    known = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(known) if len(known) == len(tensors) else None
