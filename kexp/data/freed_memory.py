"""Memory that is given back: what allocators keep for themselves, and pages of mapped files."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def give_back() -> None:
    """Return freed memory to the system, as far as Arrow and the C library can."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    # Other C libraries than glibc have no such function, and Windows no library of this name.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def let_go(mapped: mmap.mmap) -> None:
    """Let go of the pages of a mapped file that were read: they count as memory of the process until then."""
    # Not every system can.
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def forget(array: NDArray[np.generic]) -> None:
    """Let go of the pages of an array that were read, where it is mapped from a file."""
    mapped: Any = getattr(array, "_mmap", None)
    if mapped is not None:
        let_go(mapped)
