"""The data of a run once it is prepared: texts in order, label ids, and counts of the rows that each step left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from kexp.data.texts import CHUNK, Texts, chunks_of, encoded, encoded_chunks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from kexp.contracts import TaskOptions


@dataclass(frozen=True, slots=True)
class Rows:
    """One split: targets, label ids of shape (rows,) for one label per row, and the position of each row in its file.

    The texts of prepared data are ``Texts``, which stay in Arrow.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: NDArray[Any]
    numbers: NDArray[np.int64]
    augmented: Sequence[str] | None = None
    """Augmented views that come with the dataset."""

    def __len__(self) -> int:
        return len(self.texts)

    def digest(self) -> str:
        """Return sixteen hexadecimal digits that name these texts with these labels in this order."""
        digest = hashlib.blake2b(self.labels.tobytes(), digest_size=8)
        for column in (self.texts, self.pairs or ()):
            for chunk in encoded_chunks(column):
                digest.update(encoded(_with_sizes(chunk)))
        return digest.hexdigest()

    def keys(self, decode: Callable[[NDArray[Any]], Sequence[str]]) -> NDArray[np.uint64]:
        """Return a number per row, equal for equal texts and views with equal labels, which ``decode`` returns."""
        import numpy as np

        named = lru_cache(10_000)(lambda label: _with_length(label).encode("utf-8", "surrogatepass"))
        columns = [_keyed(column, len(self)) for column in (self.texts, self.pairs, self.augmented)]
        found, blake2b = np.empty(len(self), np.dtype("<u8")), hashlib.blake2b
        for start, *parts in zip(range(0, len(self), CHUNK), *columns, strict=True):
            own = map(named, decode(self.labels[start : start + CHUNK]))
            rows = map(b"".join, zip(own, *parts, strict=True))
            digests = b"".join(blake2b(row, digest_size=8).digest() for row in rows)
            found[start : start + CHUNK] = np.frombuffer(digests, "<u8")
        return found

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some rows in this order."""

        def chosen(texts: Sequence[str]) -> Sequence[str]:
            return texts.take(rows) if isinstance(texts, Texts) else [texts[row] for row in rows]

        return Rows(
            chosen(self.texts),
            None if self.pairs is None else chosen(self.pairs),
            self.labels[rows],
            self.numbers[rows],
            None if self.augmented is None else chosen(self.augmented),
        )


def _with_length(text: str) -> str:
    # With the length, since a text may hold whatever would separate it from the next.
    return f"{len(text)} {text}"


def _keyed(texts: Sequence[str] | None, count: int) -> Iterator[list[bytes]]:
    """Yield every text with its length as bytes, a chunk at a time; empty texts where there are none."""
    if texts is None:
        for start in range(0, count, CHUNK):
            yield [_with_length("").encode()] * min(CHUNK, count - start)
    else:
        for chunk in chunks_of(texts):
            yield [_with_length(text).encode("utf-8", "surrogatepass") for text in chunk]


def _with_sizes(chunk: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Return every text after its number of bytes, which takes eight of them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = pc.binary_length(chunk).to_numpy().astype(">i8")
    ends = np.arange(len(chunk) + 1, dtype=np.int64) * 8
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(sizes)]
    named = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(chunk), buffers)
    return pc.binary_join_element_wise(named, chunk, pa.scalar(b"", pa.large_binary()))


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

    def row_keys(self, task: TaskOptions) -> dict[str, NDArray[np.uint64]]:
        """Return a number for every row of every split, unlabelled rows included."""
        unlabelled = {} if self.unlabelled is None else {"unlabelled": self.unlabelled}
        decode = partial(task.decode, names=self.labels)
        return {split: rows.keys(decode) for split, rows in {**self.splits, **unlabelled}.items()}
