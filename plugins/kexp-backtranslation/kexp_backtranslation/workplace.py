"""Interfaces within this package: the folder of a translator, and what only some translators can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from kexp.contracts import Decoding, TranslatorContext
from kexp.settings import cache_folder


@dataclass(frozen=True, slots=True)
class Workplace(TranslatorContext):
    """A direction, and the folder in which a translator may keep what is costly to make.

    kexp's own ``TranslatorContext`` has no folder; the augmenter of this package passes this one, and translators take
    either.
    """

    store: Path = Path()
    progress: Callable[[str], None] = lambda line: None


def store_of(context: TranslatorContext) -> Path:
    """Return the folder for what is kept between runs: the augmenter's, or else kexp's cache folder."""
    if isinstance(context, Workplace):
        return context.store
    return cache_folder() / "translators"


@dataclass(slots=True)
class Usage:
    """What a translator has done so far: tokens read and written, texts that were cut, and seconds by activity."""

    tokens_in: int = 0
    tokens_out: int = 0
    truncated: int = 0
    tokenising: float = 0.0
    loading: float = 0.0


@runtime_checkable
class ReadsFiles(Protocol):
    """A translator's options whose translations depend on files of this machine."""

    def files(self) -> str:
        """Return a hash of their contents."""


@runtime_checkable
class Batching(Protocol):
    """A translator that knows which texts it translates best together."""

    def batches(self, texts: Sequence[str], decoding: Decoding) -> list[list[int]]:
        """Return the numbers of the texts of each batch; every text stands in exactly one."""


@runtime_checkable
class Metered(Protocol):
    """A translator that counts what it does."""

    usage: Usage
