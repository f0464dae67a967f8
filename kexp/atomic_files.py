"""Files and folders that are written whole or not at all, whatever ends the process or cuts the power."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new path beside a file; what is written there replaces the file when the block ends.

    When the block raises, the file stays as it was. The new names are unique, so that any number of processes may
    write the same file at once. Contents are on the disk before the file has its name.
    """
    part = _beside(path)
    try:
        with _naming(part, path):
            yield part
            _sync(part)
            part.replace(path)
            _sync_folder(path.parent)
    finally:
        # The folder may be gone.
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside a folder, which it replaces when the block ends; as ``replacing`` for files.

    There is no folder of that name for a moment while one replaces another.
    """
    part = _beside(path)
    try:
        with _naming(part, path):
            part.mkdir(parents=True)
            yield part
            for folder, _, files in os.walk(part):
                for name in files:
                    _sync(Path(folder) / name)
                _sync_folder(Path(folder))
            _put(part, path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written in a folder that no other process writes to."""
    for path in folder.glob(".*.part"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _naming(part: Path, path: Path) -> Iterator[None]:
    """Let an error of the system name the file or folder that is meant, and be an ``OSError`` whoever raises it."""
    try:
        yield
    except OSError as error:
        # Without a name, or with that of the part, the message would not say which file is meant. What has no number
        # is of a library, about a server for instance.
        if error.errno is not None:
            error.filename = _meant(error.filename, part, path)
        raise
    # safetensors and tokenizers write in Rust, and raise errors of their own, or a plain Exception.
    except Exception as error:
        theirs = type(error) is Exception or type(error).__name__ == "SafetensorError"
        number = re.search(r"\(os error (\d+)\)", str(error))
        if not theirs or number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _meant(name: object, part: Path, path: Path) -> object:
    """Return the name of a file that an error gives, with the part's final name where it lies in the part."""
    if name is None:
        return str(path)
    if isinstance(name, str) and Path(name).is_relative_to(part):
        return str(path / Path(name).relative_to(part))
    return name


def _put(part: Path, path: Path) -> None:
    """Give a folder its name; one that has it is moved aside first, as often as other processes are faster."""
    while True:
        old = _beside(path)
        if path.is_dir() and not path.is_symlink():
            with suppress(FileNotFoundError):
                path.rename(old)
        try:
            part.rename(path)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                continue
            if old.exists():
                old.rename(path)
            raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
        return


def _beside(path: Path) -> Path:
    # Names may have at most 255 bytes, and a letter takes up to four of them.
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.part")


def _sync(path: Path) -> None:
    # Windows syncs only files that are open for writing.
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    # Windows cannot open a folder, and some network file systems cannot sync one.
    with suppress(OSError):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
