"""Where rows of tokens begin, and how they are padded where an operation needs rows of equal length."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from kexp.devices import on_device

# Takes the lengths of rows by length, the longest first; returns where groups begin, and the number of rows.
Grouping = Callable[[NDArray[np.int64]], list[int]]


class Group(NamedTuple):
    """Rows of similar length that are padded together; ``rows`` and ``slots`` are ranges of padded rows and tokens."""

    rows: slice
    slots: slice
    longest: int
    # (rows, 1, 1, longest): which keys are tokens; None where all are.
    mask: torch.Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and tokens of each with padding."""
        return self.rows.stop - self.rows.start, self.longest


class Wanted(NamedTuple):
    """Tokens whose output is wanted of a layer, by their ``places``; ``first`` if they are the first ones of rows."""

    places: torch.Tensor
    first: bool

    def of(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return these of all tokens, of shape (wanted, ...)."""
        return take(tokens, self.places)


class Layout:
    """Rows of these lengths one after the other, on a device.

    ``grouping`` tells which rows are padded together. Everything is computed on the host from ``lengths``, once for
    all layers, and nothing waits for the device.
    """

    def __init__(self, lengths: NDArray[np.int64], device: torch.device, grouping: Grouping) -> None:
        self.lengths = lengths
        self.device = device
        self.grouping = grouping
        self.longest = int(lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def _positions(self) -> NDArray[np.int64]:
        return np.arange(int(self.lengths.sum())) - np.repeat(self._starts, self.lengths)

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(-self.lengths, kind="stable")

    @cached_property
    def starts(self) -> torch.Tensor:
        """The place of each row's first token, of shape (rows,)."""
        return self._on_device(self._starts)

    @cached_property
    def positions(self) -> torch.Tensor:
        """The place of each token in its row, from 0, of shape (tokens,)."""
        return self._on_device(self._positions)

    @cached_property
    def row_of_token(self) -> torch.Tensor:
        """The row of each token, of shape (tokens,)."""
        return self._on_device(np.repeat(np.arange(len(self)), self.lengths))

    @cached_property
    def tokens_of_row(self) -> torch.Tensor:
        """The number of tokens of each row, of shape (rows,)."""
        return self._on_device(self.lengths.copy())

    @cached_property
    def offsets(self) -> torch.Tensor:
        """Where rows begin, and the number of tokens: int32 of shape (rows + 1,)."""
        return self._on_device(np.append(self._starts, self.lengths.sum()).astype(np.int32))

    @cached_property
    def row_offsets(self) -> torch.Tensor:
        """The ``offsets`` of rows of one token each."""
        return self._on_device(np.arange(len(self) + 1, dtype=np.int32))

    @cached_property
    def groups(self) -> list[Group]:
        """The rows by length, the longest first, in groups."""
        lengths, groups, slot = self.lengths[self._order], [], 0
        for first, last in pairwise(self.grouping(lengths)):
            members, longest = lengths[first:last], int(lengths[first])
            padding = members[-1] < longest
            mask = self._on_device((np.arange(longest) < members[:, None])[:, None, None]) if padding else None
            groups.append(Group(slice(first, last), slice(slot, slot + longest * len(members)), longest, mask))
            slot += longest * len(members)
        return groups

    @cached_property
    def _places(self) -> tuple[torch.Tensor | None, int]:
        """The place of each token among padded rows, None where that is its own, and the number of such places."""
        longest = np.concatenate([np.full(group.shape[0], group.longest) for group in self.groups])
        starts = np.empty_like(self.lengths)
        starts[self._order] = np.cumsum(longest) - longest
        places, size = np.repeat(starts, self.lengths) + self._positions, int(longest.sum())
        same = len(places) == size and bool((starts == self._starts).all())
        return None if same else self._on_device(places), size

    @cached_property
    def _rows_by_length(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The rows by length and the place of each row among them, None where rows are in that order."""
        if (np.diff(self._order) == 1).all():
            return None
        return self._on_device(self._order), self._on_device(np.argsort(self._order))

    def first(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the first tokens of the rows, of shape (rows, ...)."""
        return take(tokens, self.starts)

    def pad(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (tokens, width) with the rows in groups and padded with zeros, of shape (slots, width)."""
        places, size = self._places
        return tokens if places is None else put(tokens, places, size)

    def unpad(self, slots: torch.Tensor) -> torch.Tensor:
        """Return the tokens of what ``pad`` returned, in their own order."""
        places, _ = self._places
        return slots if places is None else take(slots, places)

    def sort(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (rows, width) in the order of ``groups``."""
        return rows if self._rows_by_length is None else take(rows, self._rows_by_length[0])

    def unsort(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what ``sort`` returned in its own order."""
        return rows if self._rows_by_length is None else take(rows, self._rows_by_length[1])

    def _on_device(self, array: NDArray[np.generic]) -> torch.Tensor:
        # A layout outlives the pass that made it, and tensors made in inference mode could not be used in training.
        with torch.inference_mode(False):
            return on_device(array, self.device)


def all_together(lengths: NDArray[np.int64]) -> list[int]:
    """Pad all rows to the longest."""
    return [0, len(lengths)]


def similar_lengths(lengths: NDArray[np.int64]) -> list[int]:
    """Pad no row to much more than its own length."""
    bounds = [0]
    for row, length in enumerate(lengths.tolist()):
        # Measured on a CPU over batches of reviews: from 0.5 to 0.8 all cost the same, more and fewer groups cost more.
        if length < 0.7 * lengths[bounds[-1]]:
            bounds.append(row)
    return [*bounds, len(lengths)]


def layout_of(lengths: NDArray[np.int64], device: torch.device, grouping: Grouping | None = None) -> Layout:
    """Return the layout of rows of these lengths; equal lengths share one, since passes over the same rows follow.

    Unless a ``grouping`` is given, rows are padded with those of similar length on a CPU, and all together elsewhere,
    where a few more launches cost more than padding.
    """
    return _layout(
        lengths.astype(np.int64).tobytes(),
        device,
        grouping or (similar_lengths if device.type == "cpu" else all_together),
    )


@lru_cache(maxsize=8)
def _layout(lengths: bytes, device: torch.device, grouping: Grouping) -> Layout:
    return Layout(np.frombuffer(lengths, np.int64), device, grouping)


def take(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the values of some places, each of which is taken once."""
    taken: torch.Tensor = _Take.apply(values, places)  # type: ignore[no-untyped-call]
    return taken


def put(values: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
    """Return ``size`` values, zero but for those that are put into places of their own."""
    filled: torch.Tensor = _Put.apply(values, places, size)  # type: ignore[no-untyped-call]
    return filled


class _Take(torch.autograd.Function):
    """``index_select`` whose gradient is copied into place: that of PyTorch is summed, for places taken twice."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(values)
        return values.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        return put(gradient, places, ctx.size), None


class _Put(torch.autograd.Function):
    """``index_copy`` into zeros."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return values.new_zeros(size, *values.shape[1:]).index_copy_(0, places, values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return take(gradient, places), None, None
