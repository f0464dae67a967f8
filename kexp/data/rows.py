"""The data of a run once it is prepared: texts in order, label ids, and a record of what became of every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rows:
    """One split. ``labels`` are ids of shape (rows,), ``numbers`` the rows' places in the data as they were read."""

    texts: list[str]
    pairs: list[str] | None
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Every split, the label names by id, the unlabelled pool (its labels are hidden from training), and the record."""

    labels: tuple[str, ...]
    splits: Mapping[str, Rows]
    unlabelled: Rows | None
    record: Mapping[str, Any]

    @property
    def train(self) -> Rows:
        """The labelled train rows."""
        return self.splits["train"]

    def class_counts(self) -> list[int]:
        """Return the number of labelled train rows of each label."""
        import numpy as np

        return [int(count) for count in np.bincount(self.train.labels, minlength=len(self.labels))]
