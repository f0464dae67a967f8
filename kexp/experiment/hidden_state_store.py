"""Hidden states that runs, trials and later commands share: in memory, and in files of the cache folder."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kexp import tensor_files
from kexp.data.disk_limit import VARIABLE, hidden_states_limit
from kexp.errors import KexpError, RunInterrupted, describe_os_error
from kexp.tensor_files import DamagedFile, OtherOrigin
from kexp.work_lock import making

if TYPE_CHECKING:
    import torch

MEMORY = 2**30
"""Bytes of hidden states that a run may have in memory."""
LEFTOVER = 24 * 3600
"""Seconds after which a file that is only half written belongs to a process that was killed."""

logger = logging.getLogger("kexp")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What hidden states are made from, and how: ``parts`` makes them, in an order that depends on the rows alone.

    ``key`` is a digest of all that they depend on, ``like`` has some of them, and ``rows`` counts all.
    """

    key: str
    like: torch.Tensor
    rows: int
    parts: Callable[[], Iterator[torch.Tensor]]

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return self.rows * self.like.shape[-1] * self.like.element_size()


@dataclass(slots=True)
class HiddenStateStore:
    """Keeps hidden states. Those of the last run of a process stay in its memory, for a next run of equal weights.

    ``folder`` has a file for each key. Files that were used longest ago are removed where all together take more than
    the limit. A folder that cannot be written is told and stops nothing.
    """

    folder: Path
    tell: Callable[[str], None] = lambda line: None
    limit: int = field(default_factory=hidden_states_limit)
    recent: dict[str, torch.Tensor] = field(default_factory=dict)

    def get(self, wanted: Wanted, *, mapped: bool, should_stop: Callable[[], bool] = lambda: False) -> torch.Tensor:
        """Return them; what is not stored is made. ``mapped`` never has them in memory as a whole.

        Raises ``KexpError`` where a file is needed and cannot be kept, and ``RunInterrupted`` where ``should_stop``
        returns True before they are made.
        """
        if wanted.key not in self.recent:
            self.recent[wanted.key] = self._load_or_make(wanted, mapped, should_stop)
        with suppress(OSError):
            # The time of its last use.
            os.utime(self._path(wanted))
        return self.recent[wanted.key]

    def free_others(self, wanted: Iterable[Wanted]) -> None:
        """Free the memory of all hidden states but these. Those of other weights are seldom used again."""
        keys = {one.key for one in wanted}
        self.recent = {key: values for key, values in self.recent.items() if key in keys}

    def _path(self, wanted: Wanted) -> Path:
        return self.folder / f"{wanted.key}.safetensors"

    def _load_or_make(self, wanted: Wanted, mapped: bool, should_stop: Callable[[], bool]) -> torch.Tensor:
        found = self._load(wanted, mapped)
        if found is not None:
            return found
        stopping = replace(wanted, parts=lambda: _unless_stopped(wanted.parts(), should_stop))
        # Names of files are unique until they are whole, so the lock only saves time, and may be refused.
        with making("hidden states", self._path(wanted).with_suffix(".lock"), self._told, should_stop) as turn:
            # Another process may have made them while this one waited.
            found = self._load(wanted, mapped) if turn.waited else None
            if found is not None:
                return found
            return self._make_in_file(stopping) if mapped else self._make_in_memory(stopping)

    def _load(self, wanted: Wanted, mapped: bool) -> torch.Tensor | None:
        path = self._path(wanted)
        try:
            found: torch.Tensor | None = None
            if path.exists():
                found = tensor_files.load(path, _made_from(wanted), mapped=mapped)
        except (DamagedFile, OtherOrigin, OSError) as error:
            reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
            self._told(f"{reason}; its hidden states are made anew")
        return found

    def _make_in_memory(self, wanted: Wanted) -> torch.Tensor:
        values, place = wanted.like.new_empty((wanted.rows, wanted.like.shape[-1]), device="cpu"), 0
        for some in wanted.parts():
            values[place : place + len(some)] = some
            place += len(some)
        # Without room on the disk by the user's own wish there is nothing to tell.
        if self.limit:
            try:
                self._save(wanted, iter(values.split(2**14)))  # type: ignore[no-untyped-call]
            except KexpError as error:
                self._told(f"{error}; they are kept in the memory of this process alone")
        return values

    def _make_in_file(self, wanted: Wanted) -> torch.Tensor:
        self._save(wanted, wanted.parts())
        values: torch.Tensor = tensor_files.load(self._path(wanted), _made_from(wanted), mapped=True)
        return values

    def _save(self, wanted: Wanted, parts: Iterator[torch.Tensor]) -> None:
        """Write a file, and make room for it; raises ``KexpError`` that says why it cannot be kept."""
        path = self._path(wanted)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._need_room(wanted.size)
            with tensor_files.saving_rows(path, wanted.like, wanted.rows, _made_from(wanted)) as append:
                for some in parts:
                    append(some)
        except OSError as error:
            raise KexpError(f"hidden states cannot be stored: {describe_os_error(error)}") from error
        remove_oldest(self.folder, self.limit, path)

    def _need_room(self, size: int) -> None:
        if size > self.limit:
            found = f"{size / 2**20:,.1f} MiB are more than {self.limit / 2**30:,.1f} GiB"
            raise KexpError(f"hidden states are not stored: {found}, the limit; {VARIABLE} sets another one")
        # Whatever else the disk is for needs room as well.
        if size > (free := shutil.disk_usage(self.folder).free) / 2:
            found = f"{size / 2**20:,.1f} MiB would take more than half of the {free / 2**20:,.1f} MiB that are free"
            raise KexpError(f"hidden states are not stored: {found} in {self.folder}; set KEXP_CACHE_DIR")

    def _told(self, line: str) -> None:
        logger.warning(line)
        self.tell(line)


def remove_oldest(folder: Path, limit: int, used: Path) -> None:
    """Remove the files that were used longest ago until all take at most ``limit`` bytes; ``used`` stays."""
    found, paths = [], list[Path]()
    # Another process may remove the folder.
    with suppress(OSError):
        paths += folder.iterdir()
    for path in paths:
        # Another process may remove it.
        with suppress(OSError):
            stat = path.stat()
            if path.suffix == ".part" and time.time() - stat.st_mtime > LEFTOVER:
                path.unlink()
            elif path.suffix == ".safetensors":
                found.append((path != used, -stat.st_mtime, stat.st_size, path))
    total = 0
    for other, _, size, path in sorted(found):
        total += size
        if other and total > limit:
            for gone in (path, path.with_suffix(".lock")):
                # Windows removes no file that is in use.
                with suppress(OSError):
                    gone.unlink(missing_ok=True)


def _made_from(wanted: Wanted) -> Mapping[str, str]:
    return {"hidden states": wanted.key}


def _unless_stopped(parts: Iterator[torch.Tensor], should_stop: Callable[[], bool]) -> Iterator[torch.Tensor]:
    for some in parts:
        if should_stop():
            raise RunInterrupted("stopped while hidden states of frozen blocks were made")
        yield some
