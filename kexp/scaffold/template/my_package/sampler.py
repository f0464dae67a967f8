"""A sampler: which train rows an epoch visits, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import kexp
from kexp.contracts import SamplerOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MySampler(SamplerOptions):
    """Undersample: an epoch visits as many rows of every class as the smallest class has, other ones each time."""

    needs_classes: ClassVar[bool] = True

    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return row numbers; the generator, which is new each epoch, is the only source of chance."""
        import numpy as np

        classes, counts = np.unique(labels, return_counts=True)
        drawn = [generator.permutation(np.flatnonzero(labels == label))[: counts.min()] for label in classes]
        return generator.permutation(np.concatenate(drawn))


@kexp.hookimpl
def kexp_samplers() -> Mapping[str, type[SamplerOptions]]:
    """Name the samplers of this package."""
    return {"my-name": MySampler}
