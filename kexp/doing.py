"""What a long piece of work says while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def doing(what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell what is being done, and at the end, however it comes, that it is over.

    A text that ends with an ellipsis is shown until the next one; an empty one ends it.
    """
    tell(f"{what}…")
    try:
        yield
    finally:
        tell("")
