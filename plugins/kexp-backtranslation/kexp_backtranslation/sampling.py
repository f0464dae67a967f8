"""Sampling in which every text has random numbers of its own, so that a batch's other texts do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kexp.seeds import generator

if TYPE_CHECKING:
    import torch

SCALE = 2**40
"""Probabilities as whole numbers out of this many: sums of whole numbers are exact in any order and on any device."""


def draws(texts: Sequence[str], seed: int, copy: int, steps: int) -> torch.Tensor:
    """Return numbers in [0, 1) of shape (texts, steps); a row depends on its text, the seed and the copy alone."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([generator(seed, text, copy).random(steps) for text in texts]))


class RowSampling:
    """A logits processor for transformers that leaves one word per row, drawn from softmax(logits / temperature).

    One number per row and step suffices: the word at that quantile of the distribution (inverse transform sampling).
    With it, greedy search follows the draw. ``numbers`` has the shape (rows, steps) and lies where the draw is made: on
    the CPU where the model's device has no 64-bit floats.

    Another composition of a batch changes logits in their last bits, so a draw can differ only where it falls within
    about 1e-6 of the border between two words; the store keeps whichever was made first.
    """

    def __init__(self, numbers: torch.Tensor, temperature: float, start: int = 1) -> None:
        self.numbers = numbers
        self.temperature = temperature
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of shape (rows, words): 0 for the drawn word, minus infinity for all others."""
        import torch

        step = input_ids.shape[1] - self.start
        chances = torch.softmax(scores.float() / self.temperature, dim=-1).to(self.numbers.device)
        weights = (chances * SCALE).long().cumsum(-1)
        wanted = (self.numbers[:, step, None] * weights[:, -1:].to(self.numbers.dtype)).long()
        drawn = torch.searchsorted(weights, wanted, right=True).to(scores.device)
        return torch.full_like(scores, float("-inf")).scatter_(1, drawn, 0.0)
