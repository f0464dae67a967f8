"""Samplers: the order in which an epoch visits the train rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kexp.contracts import SamplerOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RandomSampler(SamplerOptions):
    """Visit every row once, in a new random order each epoch."""

    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return a permutation."""
        return generator.permutation(len(labels))


class SequentialSampler(SamplerOptions):
    """Visit every row once, in the order of the data."""

    keeps_order: ClassVar[bool] = True

    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the rows as they stand."""
        import numpy as np

        return np.arange(len(labels))


class BalancedSampler(SamplerOptions):
    """Visit every class equally often: an epoch has as many rows as the data, drawn class by class.

    Rows of a class are visited in full passes, so that none is seen twice before each was seen once.
    """

    needs_classes: ClassVar[bool] = True

    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return ``len(labels)`` rows with class counts that differ by one at most."""
        import numpy as np

        classes = np.unique(labels)
        shares = np.full(len(classes), len(labels) // len(classes))
        shares[generator.permutation(len(classes))[: len(labels) % len(classes)]] += 1
        drawn = []
        for label, share in zip(classes, shares, strict=True):
            rows = np.flatnonzero(labels == label)
            passes = -(-share // len(rows))
            drawn.append(np.concatenate([generator.permutation(rows) for _ in range(passes)])[:share])
        return generator.permutation(np.concatenate(drawn))
