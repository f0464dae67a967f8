"""Memory that was freed, and that the allocators keep for themselves."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return freed memory to the system, as far as Arrow and the C library can."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    # Other C libraries than glibc have no such function, and Windows no library of this name.
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
