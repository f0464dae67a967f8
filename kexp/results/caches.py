"""What is kept between experiments, by kind: how much it takes, and removing it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kexp.data.disk_limit import hidden_states_limit
from kexp.errors import KexpError, describe_os_error, did_you_mean
from kexp.results.file_index import INDEX
from kexp.settings import cache_folder
from kexp.spec.frames import FRAMES

HIDDEN_STATES = "hidden-states"
KINDS = {
    "tokens": "tokenised texts",
    HIDDEN_STATES: "what frozen blocks make of texts",
    "pretrained": "weights of [pretraining], and its checkpoints",
    "augmented": "views by costly augmenters",
    "store": "what augmenters keep themselves, such as translations",
    "translators": "converted translation models",
    INDEX: "what kexp runs and kexp ui show of run folders",
    FRAMES: "tables of pandas that were given as datasets; run folders refer to them",
}
"""Folders of the cache, and what is in them. Locks of running processes are no cache."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A kind of what is kept, its files and their bytes; ``limit`` is None where nothing is removed by itself."""

    kind: str
    content: str
    folder: Path
    files: int
    size: int
    limit: int | None


def list_caches() -> list[Cache]:
    """Return all kinds, with those that have no files."""
    limit, root = hidden_states_limit(), cache_folder()
    found = []
    for kind, content in KINDS.items():
        sizes = _sizes(root / kind)
        bound = limit if kind == HIDDEN_STATES else None
        found.append(Cache(kind, content, root / kind, len(sizes), sum(sizes), bound))
    return found


def chosen(kinds: Sequence[str]) -> list[Cache]:
    """Return the caches of some kinds, of all if none is named, that have files.

    Raises ``KexpError`` for a kind that there is not.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise KexpError(f'there is no cache "{kind[:60]}"; {did_you_mean(kind, KINDS)}')
    return [cache for cache in list_caches() if cache.files and (not kinds or cache.kind in kinds)]


def clear(cache: Cache) -> None:
    """Remove the files of a cache; a folder that is a link stays, and so does what it leads to.

    Raises ``KexpError`` that names the file that cannot be removed.
    """
    if cache.folder.is_symlink():
        raise KexpError(f"{cache.folder} is a link; remove what it leads to yourself")
    try:
        shutil.rmtree(cache.folder, onerror=_unless_gone)
    except OSError as error:
        raise KexpError(f"{cache.kind} cannot be removed: {describe_os_error(error)}") from None


def _unless_gone(
    call: Callable[..., object], path: str, error: tuple[type[BaseException], BaseException, object]
) -> None:
    """Go on where another process has removed a file, or given it its final name."""
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]


def _sizes(folder: Path) -> list[int]:
    """Return the bytes of all files below a folder; locks count as well, and are empty."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(place) / name).lstat().st_size)
            # Another process has removed it.
            except FileNotFoundError:
                continue
    return sizes
