"""The data of a run once it is prepared: texts in order, label ids, and counts of the rows that each step left out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rows:
    """One split: label ids of shape (rows,), -1 where unknown, and the position of each row in its file."""

    texts: list[str]
    pairs: list[str] | None
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]
    augmented: list[str] | None = None
    """Augmented views that come with the dataset."""

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self) -> str:
        """Return sixteen hexadecimal digits that name these texts with these labels in this order."""
        digest = hashlib.blake2b(self.labels.tobytes(), digest_size=8)
        for text in itertools.chain(self.texts, self.pairs or ()):
            # With the length, since a text may hold whatever would separate it from the next.
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.hexdigest()

    def keys(self, labels: Sequence[str]) -> NDArray[np.uint64]:
        """Return a number per row, equal for equal texts and views with labels of the same name."""
        import numpy as np

        names = [*labels, ""]
        columns = [self.texts, self.pairs or [""] * len(self), self.augmented or [""] * len(self)]
        digests = (
            # With the lengths, since a text may hold whatever would separate it from the next.
            hashlib.blake2b(
                "".join(f"{len(part)} {part}" for part in (names[label], *parts)).encode("utf-8", "surrogatepass"),
                digest_size=8,
            ).digest()
            for label, *parts in zip(self.labels.tolist(), *columns, strict=True)
        )
        return np.frombuffer(b"".join(digests), np.dtype("<u8"))

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some rows in this order."""

        def chosen(texts: list[str] | None) -> list[str] | None:
            return None if texts is None else [texts[row] for row in rows]

        return Rows(
            [self.texts[row] for row in rows],
            chosen(self.pairs),
            self.labels[rows],
            self.numbers[rows],
            chosen(self.augmented),
        )


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Every split, the label names by id, the unlabelled rows (training does not see their labels), and the record.

    There may be no test split.
    """

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
