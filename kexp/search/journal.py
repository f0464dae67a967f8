"""The journal file of a study: what was half written is cut off, and other damage is told with its line."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from kexp.errors import KexpError, RunFailed

if TYPE_CHECKING:
    from optuna.study._frozen import FrozenStudy
    from optuna.trial import FrozenTrial


DAMAGE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)
"""Optuna checks nothing of what it reads, so damage shows as any of these."""


def open_journal(path: Path) -> JournalStorage:
    """Open the journal, or create it; raises ``KexpError`` for one that cannot be read or written.

    A last line without an end was being written when its process was killed or its disk was full. Whoever writes next
    cuts it off, holding the lock: no other process can be writing it.
    """
    # The lock is a link to the journal. A relative one leads nowhere, and Optuna would never release a dead lock.
    path = path.resolve()
    backend = None
    try:
        backend = _Backend(path)
        storage = JournalStorage(backend)
        os.close(os.open(path, os.O_WRONLY))
    except OSError as error:
        raise KexpError(f"{path}: {error.strerror}; a study's journal has to be a file that can be written") from None
    except DAMAGE as error:
        raise _refused(path, backend, error) from None
    return storage


class JournalReader:
    """A journal that other processes write; it is read from where it was read before, and never written."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path
        self._backend: _ReadOnly | None = None
        self._storage: JournalStorage | None = None

    def read(self) -> tuple[FrozenStudy | None, list[FrozenTrial]]:
        """Return the study, None where the journal has none yet, and its trials; raises ``KexpError`` for damage."""
        try:
            if self._backend is None or self._storage is None:
                self._backend = _ReadOnly(self.path)
                self._storage = JournalStorage(self._backend)
            studies = self._storage.get_all_studies()
            trials = self._storage.get_all_trials(studies[0]._study_id, deepcopy=False) if studies else []
        except DAMAGE as error:
            refused = _refused(self.path, self._backend, error)
            # A storage that has failed in the middle of a record is no use; the next call begins anew.
            self._backend = self._storage = None
            raise refused from None
        return (studies[0] if studies else None), trials


def _refused(path: Path, backend: _Backend | None, error: Exception) -> KexpError:
    line = backend.line if backend else 0
    remedy = "restore the file, or delete the line (what it records is lost), or begin another study with --study"
    return KexpError(f"{path}, line {line}: no record of Optuna's journal ({_found(error)}); {remedy} NAME")


def _found(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


CHECKSUM = "checksum"
"""Key of a record that Optuna does not look at: a changed value would be JSON like any other."""


def _checked(record: Any) -> Any:
    """Return a record without its checksum; raises ``ValueError`` where they do not match. Optuna's own have none."""
    if isinstance(record, dict):
        stated = record.pop(CHECKSUM, None)
        if stated not in (None, _checksum(record)):
            raise ValueError("its contents do not match its checksum")
    return record


def _checksum(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record).encode()):08x}"


class _Backend(JournalFileBackend):
    """Optuna's file, of which the reader knows where it is."""

    line = 0
    """The line that was read last, counted from 1."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Lock(path))
        self.path = path
        self.offsets = {0: 0}

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Yield the records of whole lines; raises ``ValueError`` for what is none."""
        with self.path.open("rb") as file:
            # Lines are appended meanwhile, so what is read ends where the file ended at first.
            size = file.seek(0, os.SEEK_END)
            file.seek(self.offsets[log_number_from])
            *lines, _incomplete = file.read(size - file.tell()).split(b"\n")
        for number, line in enumerate(lines, log_number_from):
            self.line = number + 1
            record = _checked(json.loads(line))
            self.offsets[number + 1] = self.offsets[number] + len(line) + 1
            yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records; raises ``RunFailed`` when they cannot be written."""
        try:
            super().append_logs([{**record, CHECKSUM: _checksum(record)} for record in logs])
        except OSError as error:
            again = "mend that, and the same command continues the study"
            raise RunFailed(f"{self.path} cannot be written: {error.strerror}; {again}") from None


class _ReadOnly(_Backend):
    """A file that is read alone: it is neither made nor locked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offsets = {0: 0}

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse; raises ``RunFailed``."""
        raise RunFailed(f"{self.path} is read here, and not written")


class _Lock(JournalFileSymlinkLock):
    """Optuna's lock, which mends the file as soon as it is held."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path
        self.left_behind = False

    def acquire(self) -> bool:
        """Wait for the lock, and cut off what another process has left behind; raises ``OSError``."""
        if self.left_behind:
            # Otherwise this process would wait for itself.
            self.release()
        held = super().acquire()
        try:
            _cut_incomplete_line(self.path)
        except BaseException:
            self.release()
            raise
        return held

    def release(self) -> None:
        """Release the lock; raises ``OSError`` where the disk cannot be written any more."""
        try:
            super().release()
        except RuntimeError as error:
            cause = error.__context__
            if not isinstance(cause, OSError) or isinstance(cause, FileNotFoundError):
                raise
            self.left_behind = True
            raise cause from None
        self.left_behind = False


def _cut_incomplete_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return
        end = size
        while end:
            start = max(0, end - 4096)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
