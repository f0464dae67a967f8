"""Seeded draws that are the same on every platform and Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A named stream of draws.

    Only ``random.Random.random`` is promised to stay the same from one Python version to the next,
    so every draw is made of it; and a string seeds it the same everywhere, which ``hash`` would not.
    """

    def __init__(self, name: str) -> None:
        self._random = random.Random(name).random

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random() < probability

    def between(self, low: int, high: int) -> int:
        """Draw a whole number from ``low`` to ``high``, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """Draw one of the options, each as likely as the others."""
        return options[int(self._random() * len(options))]
