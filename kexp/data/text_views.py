"""Texts that are read a part at a time: changed where they are read, or those of several columns in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

CHUNK = 20_000


class TextView(Sequence[str]):
    """Base of texts that are made where they are read; a subclass returns some of them."""

    def between(self, first: int, last: int) -> list[str]:
        """Return the texts from ``first`` up to ``last``."""
        raise NotImplementedError

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            first, last, step = place.indices(len(self))
            return self.between(first, last) if step == 1 else [self[number] for number in range(first, last, step)]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        return self.between(place, place + 1)[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), CHUNK):
            yield from self.between(start, min(start + CHUNK, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, eq=False)
class Changed(TextView):
    """Texts as ``change`` makes them of others, each by itself."""

    texts: Sequence[str]
    change: Callable[[Sequence[str]], list[str]]

    def __len__(self) -> int:
        return len(self.texts)

    def between(self, first: int, last: int) -> list[str]:
        """Return the texts from ``first`` up to ``last``."""
        return self.change(self.texts[first:last])


@dataclass(frozen=True, slots=True, eq=False)
class Joined(TextView):
    """The texts of one sequence, and after them those of another."""

    first: Sequence[str]
    second: Sequence[str]

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def between(self, first: int, last: int) -> list[str]:
        """Return the texts from ``first`` up to ``last``."""
        size = len(self.first)
        return [*self.first[first:last], *self.second[max(first - size, 0) : max(last - size, 0)]]
