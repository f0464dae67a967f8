"""A bounded memory of what was made: what was used longest ago is dropped first."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from kexp.data.texts import Texts

LIMIT = 2 * 2**30
"""Bytes that are kept at most, by the estimate of ``size_of``."""

OTHER = 16 * 2**20
"""Bytes that an object of unknown structure counts for, such as a tokenizer."""


def size_of(value: Any) -> int:
    """Estimate the bytes of texts, numbers, arrays, and of collections and dataclasses of these."""
    import numpy as np

    if isinstance(value, np.memmap):
        # It stands in a file, whose pages the system drops where memory is short.
        return 0
    if isinstance(value, np.ndarray | Texts):
        return value.nbytes
    if value is None or isinstance(value, str | int | float):
        return sys.getsizeof(value)
    if isinstance(value, Mapping):
        return sum(map(size_of, value)) + sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        # The reference to each item takes eight bytes.
        return sum(map(size_of, value)) + 8 * len(value)
    if is_dataclass(value):
        return sum(size_of(getattr(value, part.name)) for part in fields(value))
    return OTHER


@dataclass(slots=True)
class RecentResults:
    """Results by key. The newest is kept even if it is larger than ``limit`` bytes; ``size`` estimates them."""

    limit: int = LIMIT
    size: Callable[[Any], int] = size_of
    results: OrderedDict[str, tuple[Any, int]] = field(default_factory=OrderedDict)

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the result of a key; make it if it is missing."""
        if key in self.results:
            self.results.move_to_end(key)
            return self.results[key][0]
        result = make()
        self.results[key] = (result, self.size(result))
        size = sum(size for _, size in self.results.values())
        while size > self.limit and len(self.results) > 1:
            _, (_, dropped) = self.results.popitem(last=False)
            size -= dropped
        return result
