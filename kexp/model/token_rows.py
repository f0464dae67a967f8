"""Rows of tokens as the model takes them: one after the other, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kexp.contracts import Rows
from kexp.devices import on_device
from kexp.errors import PluginError, describe_value
from kexp.host_batches import HostRows

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
    def of(cls, rows: HostRows, device: torch.device) -> TokenRows:
        """Return rows of the host on a device."""
        types = None if rows.types is None else on_device(rows.types, device)
        hidden = None if rows.hidden is None else rows.hidden.to(device, non_blocking=True)
        return cls(on_device(rows.ids, device), rows.lengths, types, hidden)

    @classmethod
    def joined(cls, groups: Sequence[TokenRows]) -> TokenRows:
        """Return groups of rows one after the other; types and hidden states are those of all groups, or none.

        A group without rows, such as views that an objective does not use, lacks nothing.
        """
        groups = [group for group in groups if len(group)] or groups[:1]
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

    @property
    def padded_places(self) -> torch.Tensor:
        """The place of each token in padded rows that are put one after the other, of shape (tokens,)."""
        return self._on_device(np.flatnonzero(self._mask(self.lengths)))

    @property
    def equally_long(self) -> bool:
        """Whether no row needs padding beside the others."""
        return bool((self.lengths == self.lengths[:1]).all())

    def padded(self, pad_id: int) -> dict[str, torch.Tensor]:
        """Return what a transformers model takes, each of shape (rows, longest row): ids, mask, and types if any.

        The mask comes from the lengths: a padding id may be a real token of the vocabulary. Of a row without tokens the
        model reads one padding token, alone as beside others.
        """
        mask = self._on_device(self._mask(np.maximum(self.lengths, 1))).long()
        return {**self.without_mask(pad_id), "attention_mask": mask}

    def without_mask(self, pad_id: int) -> dict[str, torch.Tensor]:
        """Return what ``padded`` does but for the mask, which says nothing where rows are ``equally_long``."""
        inputs = {"input_ids": self.spread(self.ids, pad_id)}
        if self.types is not None:
            inputs["token_type_ids"] = self.spread(self.types)
        return inputs

    def spread(self, values: torch.Tensor, padding: int = 0) -> torch.Tensor:
        """Return ``values`` of shape (tokens, ...) in the shape (rows, longest row, ...), with gradient."""
        shape = (len(self), self._width)
        if self.equally_long and len(values):
            return values.reshape(*shape, *values.shape[1:])
        flat = values.new_full((shape[0] * shape[1], *values.shape[1:]), padding)
        return flat.index_copy(0, self.padded_places, values).view(*shape, *values.shape[1:])

    @property
    def _width(self) -> int:
        return max(int(self.lengths.max()), 1)

    def _mask(self, lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = np.arange(self._width) < lengths[:, None]
        return mask

    def _on_device(self, array: NDArray[np.int64] | NDArray[np.bool_]) -> torch.Tensor:
        return on_device(array, self.ids.device)


def own(rows: Rows) -> TokenRows:
    """Return rows as kexp makes them; raises ``PluginError`` for others, which an objective can only have made."""
    if not isinstance(rows, TokenRows):
        raise PluginError(f"the model was given {describe_value(rows)}, expected the rows of a batch")
    return rows


def _joined(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    import torch

    known = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(known) if len(known) == len(tensors) else None
