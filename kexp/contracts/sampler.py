"""What a sampler promises: the order in which an epoch visits the train rows."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from kexp.options import Options, component

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SamplerOptions(Options):
    """Base of every sampler: which train rows an epoch visits, in which order."""

    kind: ClassVar[str] = "sampler"
    needs_classes: ClassVar[bool] = False
    """Whether the order depends on the class of each row: see ``TaskOptions.classes``."""
    keeps_order: ClassVar[bool] = False
    """Whether rows are trained in exactly this order; they are then not grouped by length."""

    @abstractmethod
    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Return row numbers for one epoch, from the rows' label ids and a generator that is new each epoch."""


AnySampler = Annotated[SamplerOptions, *component("sampler")]
"""A field that holds a component of this kind."""
