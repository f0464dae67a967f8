"""Batches as training and prediction pass them on: NumPy arrays on the host, until they are moved to the device."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.contracts import Inputs

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class KnownInputs(dict[str, "torch.Tensor"]):
    """Inputs of rows whose output of the frozen blocks of the model is known, so that only the other blocks are run.

    What an objective makes out of them is plain inputs, for which all blocks are run.
    """

    def __init__(self, inputs: Inputs, hidden: torch.Tensor) -> None:
        super().__init__(inputs)
        self._hidden = hidden
        self._given = {name: (tensor, _version(tensor)) for name, tensor in inputs.items()}

    @property
    def hidden(self) -> torch.Tensor | None:
        """Return what the frozen blocks gave, of shape (rows, tokens, hidden); None once an input was changed."""
        given = self._given
        now = {name: (tensor, _version(tensor)) for name, tensor in self.items()}
        same = now.keys() == given.keys() and all(
            now[name][0] is given[name][0] and now[name][1] == given[name][1] for name in now
        )
        return self._hidden if same else None


def known_hidden(inputs: Inputs) -> torch.Tensor | None:
    """Return what the frozen blocks of the model make of inputs, where that is known."""
    return inputs.hidden if isinstance(inputs, KnownInputs) else None


def _version(tensor: torch.Tensor) -> int:
    """Return how often a tensor was changed in place, which PyTorch does not count where there are no gradients."""
    return 0 if tensor.is_inference() else tensor._version


@dataclass(frozen=True, slots=True)
class HostBatch:
    """Rows as NumPy arrays, before they are on the device: inputs of shape (rows, tokens), labels of shape (rows,).

    ``hidden`` is what the frozen blocks of the model make of the rows, where that is known; ``numbers`` are the places
    of the rows in their file.
    """

    inputs: Mapping[str, NDArray[np.int64]]
    labels: NDArray[np.int64]
    tokens: int
    hidden: torch.Tensor | None = None
    numbers: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def inputs_on(self, device: torch.device) -> Inputs:
        """Return the inputs on a device."""
        import torch

        moved = {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in self.inputs.items()}
        return moved if self.hidden is None else KnownInputs(moved, self.hidden.to(device, non_blocking=True))

    def part(self, first: int, last: int) -> HostBatch:
        """Return the rows from ``first`` up to ``last``, padded as they are."""
        inputs, rows = _rows(self.inputs, first, last), slice(first, last)
        hidden = None if self.hidden is None else self.hidden[rows]
        numbers = None if self.numbers is None else self.numbers[rows]
        return HostBatch(inputs, self.labels[rows], _tokens(inputs), hidden, numbers)


@dataclass(frozen=True, slots=True)
class HostUnlabelledBatch:
    """Unlabelled rows and their augmented views as NumPy arrays; ``rows`` are their numbers among all of them.

    ``numbers`` are the places of the rows in their file.
    """

    original: Mapping[str, NDArray[np.int64]]
    augmented: Mapping[str, NDArray[np.int64]]
    rows: NDArray[np.int64]
    tokens: int
    numbers: NDArray[np.int64] | None = None

    def part(self, first: int, last: int) -> HostUnlabelledBatch:
        """Return the rows from ``first`` up to ``last``, padded as they are."""
        original, augmented = (_rows(inputs, first, last) for inputs in (self.original, self.augmented))
        numbers = None if self.numbers is None else self.numbers[first:last]
        return HostUnlabelledBatch(
            original, augmented, self.rows[first:last], _tokens(original) + _tokens(augmented), numbers
        )


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The rows of one forward pass: labelled ones and, for objectives that use them, unlabelled ones."""

    labelled: HostBatch
    unlabelled: HostUnlabelledBatch | None = None

    def split(self, count: int) -> list[MicroBatch]:
        """Return ``count`` passes over parts of the rows, or as many as there are labelled rows.

        Unlabelled rows are divided as the labelled ones are, so that a part's weight, its share of the labelled rows,
        is right for both.
        """
        rows, others = len(self.labelled), 0 if self.unlabelled is None else len(self.unlabelled.rows)
        count = min(count, rows)
        if count == 1:
            return [self]
        ends = [rows * number // count for number in range(count + 1)]
        return [
            MicroBatch(
                self.labelled.part(first, last),
                None
                if self.unlabelled is None
                else self.unlabelled.part(others * first // rows, others * last // rows),
            )
            for first, last in itertools.pairwise(ends)
        ]


def _rows(inputs: Mapping[str, NDArray[np.int64]], first: int, last: int) -> dict[str, NDArray[np.int64]]:
    return {name: array[first:last] for name, array in inputs.items()}


def _tokens(inputs: Mapping[str, NDArray[np.int64]]) -> int:
    return int(inputs["attention_mask"].sum()) if inputs else 0
