"""Statistics of pseudo-labels, and warnings when the model learns from its own mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORSE = 0.03
"""Fall of the pseudo-labels' accuracy from its best that is worth a warning."""
LEANING = 0.1
"""Divergence in nats of the predicted from the expected class shares that is worth a warning."""


@dataclass(frozen=True, slots=True)
class PseudoLabelStats:
    """Predictions for unlabelled rows in numbers.

    ``shares`` are those of the predicted labels, ``expected`` those of the labelled rows; ``oracle_accuracy`` is that
    on rows whose label is in the data, though training does not see it (None without such rows); nobody could know it
    where labels are few. ``confidence`` is the mean highest probability.
    """

    shares: Sequence[float]
    expected: Sequence[float]
    confidence: float
    oracle_accuracy: float | None

    @classmethod
    def of(
        cls, labels: NDArray[np.int64], probabilities: NDArray[np.float64], expected: Sequence[float]
    ) -> PseudoLabelStats:
        """Look at predictions of shape (rows, labels); labels are -1 where unknown, or not to be looked at."""
        import numpy as np

        predicted = probabilities.argmax(1)
        known = labels >= 0
        shares = np.bincount(predicted, minlength=probabilities.shape[1]) / len(predicted)
        accuracy = float((predicted == labels)[known].mean()) if known.any() else None
        return cls(shares.tolist(), expected, float(probabilities.max(1).mean()), accuracy)

    @property
    def balance(self) -> float:
        """Entropy of the predicted shares by its greatest value: 1 balanced, 0 collapsed to one label."""
        return -sum(p * math.log(p) for p in self.shares if p > 0) / math.log(len(self.shares))

    def numbers(self) -> dict[str, float]:
        """Return what is logged."""
        found = {"confidence": self.confidence, "balance": self.balance, "largest_share": max(self.shares)}
        return found if self.oracle_accuracy is None else {"oracle_accuracy": self.oracle_accuracy, **found}

    def warnings(self, names: Sequence[str], best: float | None) -> list[str]:
        """Return plain warnings; ``best`` is the highest accuracy of earlier looks."""
        return [*self._worse(best), *self._leaning(names)]

    def _worse(self, best: float | None) -> list[str]:
        if self.oracle_accuracy is None or best is None or best - self.oracle_accuracy < WORSE:
            return []
        return [
            f"pseudo-labels are getting worse: {self.oracle_accuracy:.3f} of the unlabelled rows right, {best:.3f} at "
            "best (by their hidden labels, an oracle); the model learns from its own mistakes: raise the confidence it "
            "must have, lower the coefficient, or stop earlier"
        ]

    def _leaning(self, names: Sequence[str]) -> list[str]:
        pairs = list(zip(self.shares, self.expected, strict=True))
        if sum(p * math.log(p / max(q, 1e-9)) for p, q in pairs if p > 0) < LEANING:
            return []
        label = max(range(len(pairs)), key=lambda number: pairs[number][0] - pairs[number][1])
        return [
            f'pseudo-labels lean to "{names[label]}": {self.shares[label]:.0%} of the unlabelled rows, '
            f"{self.expected[label]:.0%} of the labelled rows; if both have the same classes, align the distributions"
        ]
