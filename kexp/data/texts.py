"""Texts in Arrow: a sequence of strings that takes no Python object a row."""

from __future__ import annotations

import itertools
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from kexp.data.freed_memory import let_go

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

CHUNK = 20_000
"""Texts that are Python strings at once."""
LET_GO = 500_000
"""Texts of a mapped file that are read before its pages are let go."""


class Texts(Sequence[str]):
    """Strings in Arrow arrays, all of them or the rows of a selection in its order.

    ``take``, slices and ``joined`` copy no text. One string is read by ``texts[row]``, all of them in order by
    ``chunks``, as lists of Python strings, or by ``arrays``, as Arrow arrays.
    """

    __slots__ = ("_ends", "_maps", "_parts", "_rows")

    def __init__(
        self,
        parts: Sequence[pa.LargeStringArray],
        rows: NDArray[np.integer[Any]] | None = None,
        maps: tuple[mmap.mmap, ...] = (),
    ) -> None:
        """Hold arrays of ``large_string`` without nulls, one after the other; ``rows`` are the places that count.

        ``maps`` are the files that the arrays are mapped from, whose pages are let go after texts were read in order.
        """
        self._parts = parts
        self._maps = maps
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._rows = rows

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Hold Python strings; what is in Arrow already is returned as it is."""
        if isinstance(texts, Texts):
            return texts
        import pyarrow as pa

        rest = iter(texts)
        chunks = iter(lambda: list(itertools.islice(rest, CHUNK)), [])
        return cls([pa.array(chunk, pa.large_string()) for chunk in chunks])

    @classmethod
    def joined(cls, several: Sequence[Texts]) -> Texts:
        """Return the texts of several sequences one after the other."""
        parts: list[pa.LargeStringArray] = []
        rows = []
        for texts in several:
            rows.append(texts._places(0, len(texts)) + sum(map(len, parts)))
            parts += texts._parts
        whole = all(texts._rows is None for texts in several)
        maps = tuple(dict.fromkeys(one for texts in several for one in texts._maps))
        return cls(parts, None if whole or not rows else np.concatenate(rows), maps)

    @classmethod
    def mapped(cls, arrays: Iterable[pa.LargeStringArray], folder: Path) -> Texts:
        """Write arrays to a file without a name in a folder and map it; raises ``OSError``."""
        import pyarrow as pa

        schema = pa.schema([("text", pa.large_string())])
        with tempfile.TemporaryFile(dir=folder) as file:
            with pa.ipc.new_stream(file, schema) as writer:
                for array in arrays:
                    writer.write_batch(pa.record_batch([array], schema))
            file.flush()
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with pa.ipc.open_stream(pa.py_buffer(held)) as reader:
            return cls([batch.column(0) for batch in reader], None, (held,))

    def __reduce__(self) -> tuple[Any, ...]:
        return Texts, ([*self.arrays()],)

    def __len__(self) -> int:
        if self._rows is not None:
            return len(self._rows)
        return int(self._ends[-1]) if len(self._ends) else 0

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Texts: ...
    def __getitem__(self, index: int | slice) -> str | Texts:
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self))))
        place = range(len(self))[index] if self._rows is None else int(self._rows[index])
        part = int(np.searchsorted(self._ends, place, "right"))
        text: str = self._parts[part][place - int(self._ends[part])].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self.chunks())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"Texts([{shown}{', ...' if len(self) > 3 else ''}], {len(self):,} rows)"

    @property
    def nbytes(self) -> int:
        """Bytes of memory of the texts of these rows, about; of those in a mapped file the numbers of rows alone."""
        held = 0 if self._maps else sum(part.nbytes for part in self._parts)
        share = 1.0 if self._rows is None else len(self) / max(1, sum(map(len, self._parts)))
        return int(held * share) + (0 if self._rows is None else self._rows.nbytes)

    def take(self, rows: NDArray[np.integer[Any]]) -> Texts:
        """Return some rows in this order; no text is copied."""
        return Texts(self._parts, rows if self._rows is None else self._rows[rows], self._maps)

    def arrays(self, size: int = CHUNK) -> Iterator[pa.LargeStringArray]:
        """Yield the texts in order as Arrow arrays of ``size`` rows, the last one maybe smaller."""
        read = 0
        for start in range(0, len(self), size):
            yield self._taken(self._places(start, min(start + size, len(self))))
            read += size
            if read >= LET_GO:
                self._forget()
                read = 0
        self._forget()

    def chunks(self, size: int = CHUNK) -> Iterator[list[str]]:
        """Yield the texts in order as lists of ``size`` Python strings, the last one maybe smaller."""
        for array in self.arrays(size):
            yield array.to_pylist()

    def copied(self) -> Texts:
        """Return the same texts without those beside them, which are let go."""
        return Texts([*self.arrays()])

    def _forget(self) -> None:
        for one in self._maps:
            let_go(one)

    def _places(self, start: int, stop: int) -> NDArray[np.integer[Any]]:
        return np.arange(start, stop) if self._rows is None else self._rows[start:stop]

    def _taken(self, places: NDArray[np.integer[Any]]) -> pa.LargeStringArray:
        """Return a copy of the texts at some places as one array."""
        import pyarrow as pa

        part = np.searchsorted(self._ends, places, "right")
        order = np.argsort(part, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(part[order])) + 1)
        taken = []
        for group in groups:
            held = self._parts[part[group[0]]]
            local = places[group] - (int(self._ends[part[group[0]]]) - len(held))
            taken.append(held.take(pa.array(local)))
        joined = taken[0] if len(taken) == 1 else pa.concat_arrays(taken)
        if (np.diff(order) == 1).all():
            return joined
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return joined.take(pa.array(back))


class MappedTexts(Sequence[str]):
    """Texts to which a function is applied when they are read, a list of strings at a time."""

    __slots__ = ("_function", "_texts")

    def __init__(self, texts: Sequence[str], function: Callable[[list[str]], list[str]]) -> None:
        """Apply ``function``, which returns a text for each of a list of texts."""
        self._texts = texts
        self._function = function

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> MappedTexts: ...
    def __getitem__(self, index: int | slice) -> str | MappedTexts:
        if isinstance(index, slice):
            return MappedTexts(self._texts[index], self._function)
        return self._function([self._texts[index]])[0]

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self.chunks())

    def chunks(self, size: int = CHUNK) -> Iterator[list[str]]:
        """Yield the texts in order as lists of ``size`` Python strings, the last one maybe smaller."""
        return map(self._function, chunks_of(self._texts, size))


def chunks_of(texts: Sequence[str], size: int = CHUNK) -> Iterator[list[str]]:
    """Yield texts in order as lists of ``size`` strings, the last one maybe smaller."""
    if isinstance(texts, Texts | MappedTexts):
        yield from texts.chunks(size)
    else:
        for start in range(0, len(texts), size):
            yield list(texts[start : start + size])


def texts_at(texts: Sequence[str], rows: NDArray[np.integer[Any]]) -> list[str]:
    """Return some texts in this order as Python strings."""
    return list(texts.take(rows)) if isinstance(texts, Texts) else [texts[row] for row in rows.tolist()]


def encoded_chunks(texts: Sequence[str], size: int = CHUNK) -> Iterator[pa.LargeBinaryArray]:
    """Yield texts in order as Arrow arrays of their bytes in UTF-8, half surrogates included."""
    import pyarrow as pa

    if isinstance(texts, Texts):
        for array in texts.arrays(size):
            yield array.cast(pa.large_binary())
    else:
        for chunk in chunks_of(texts, size):
            yield pa.array([text.encode("utf-8", "surrogatepass") for text in chunk], pa.large_binary())


def encoded(array: pa.LargeBinaryArray) -> memoryview:
    """Return the bytes of all texts of an array without nulls, one after the other."""
    _, offsets, held = array.buffers()
    if held is None or not len(array):
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return memoryview(held)[int(ends[0]) : int(ends[-1])]
