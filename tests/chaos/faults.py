"""What is done to a process that runs a command of kexp: writes that fail, a clock that jumps, a small limit."""

from __future__ import annotations

import builtins
import datetime
import functools
import importlib
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def install(faults: dict[str, Any]) -> None:
    """Do to this process what ``faults`` names: the options of the functions below, by the function's name."""
    for name, options in faults.items():
        {"failing_writes": failing_writes, "clock_back": clock_back, "file_size": file_size, "patch": patch}[name](
            **options
        )


# --- writes ---------------------------------------------------------------------------------------------------------


class Writes:
    """Counts the operations that write below a folder, and lets the n-th fail, and those after it too if ``on``."""

    def __init__(self, folder: str, number: int, error: int, on: bool, counted: str) -> None:
        self.folder, self.number, self.error, self.on, self.counted = folder, number, error, on, counted
        self.done = 0
        self.descriptors: set[int] = set()
        self.record = os.open(counted, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def below(self, path: Any) -> bool:
        if isinstance(path, int):
            return path in self.descriptors
        try:
            return os.path.abspath(os.fsdecode(path)).startswith(self.folder)  # noqa: PTH100
        except TypeError:
            return False

    def next(self, what: str, path: Any, *, named: bool = True) -> None:
        self.done += 1
        real_write(self.record, f"{what} {path}\n".encode())
        if self.done == self.number or (self.on and self.done > self.number > 0):
            name = () if not named else (os.fsdecode(path),)
            raise OSError(self.error, os.strerror(self.error), *name)


real_write = os.write


def failing_writes(folder: str, number: int, error: int, on: bool, counted: str) -> None:
    """Let operations fail that open a file for writing, write, sync, rename or make a folder below a folder.

    The lines of the file ``counted`` are these operations. Files that libraries write with code of their own, not
    Python's, fail when they are opened, synced or renamed.
    """
    writes = Writes(folder, number, error, on, counted)

    def guarded(function: Callable[..., Any], what: str, place: int = 0) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(arguments) > place and writes.below(arguments[place]):
                writes.next(what, arguments[place], named=not isinstance(arguments[place], int))
            return function(*arguments, **options)

        return call

    class File(io.FileIO):
        """A file below the folder."""

        def write(self, content: Any) -> int:
            writes.next("write", self.name, named=False)
            return super().write(content)

        def truncate(self, size: int | None = None) -> int:
            writes.next("truncate", self.name, named=False)
            return super().truncate(size)

    opened, os_open = io.open, os.open

    def open_file(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
                  newline: Any = None, closefd: bool = True, opener: Any = None) -> Any:  # fmt: skip
        if not set(mode) & set("wax+") or not writes.below(file):
            return opened(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if isinstance(file, int):
            return opened(file, mode, buffering, encoding, errors, newline, closefd, opener)
        writes.next("open", file)
        raw = File(os.fspath(file), mode.replace("b", "").replace("t", ""), closefd, opener)
        writes.descriptors.add(raw.fileno())
        if buffering == 0:
            return raw
        reads = "+" in mode
        buffered = io.BufferedRandom(raw) if reads else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

    def open_descriptor(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and writes.below(path):
            writes.next("open", path)
            found = os_open(path, flags, *arguments, **options)
            writes.descriptors.add(found)
            return found
        writes.descriptors.discard(found := os_open(path, flags, *arguments, **options))
        return found

    os.open = open_descriptor
    builtins.open = io.open = open_file
    os.fsync = guarded(os.fsync, "fsync")
    os.write = guarded(os.write, "write")
    os.mkdir = guarded(os.mkdir, "mkdir")
    os.rename = guarded(os.rename, "rename")
    os.replace = guarded(os.replace, "rename", place=1)
    _fail_native(writes)


def _fail_native(writes: Writes) -> None:
    """Let the writers of safetensors and pyarrow fail as they do on a full disk."""
    import safetensors.torch
    from safetensors import SafetensorError

    save = safetensors.torch.save_file

    def save_file(tensors: Any, filename: Any, *arguments: Any, **options: Any) -> Any:
        if writes.below(filename):
            try:
                writes.next("safetensors", filename)
            except OSError as error:
                said = f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                raise SafetensorError(said) from None
        return save(tensors, filename, *arguments, **options)

    safetensors.torch.save_file = save_file
    for module in list(sys.modules.values()):
        for name in ("save_file", "safe_save_file"):
            if getattr(module, name, None) is save:
                setattr(module, name, save_file)


def file_size(most: int) -> None:
    """Let no file grow beyond this many bytes, whatever writes it."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


# --- clocks ---------------------------------------------------------------------------------------------------------


def clock_back(seconds: float, folder: str, after: str) -> None:
    """Let the clock show an earlier time as soon as a folder has a file that matches ``after`` and is not empty."""
    real_time, real_ns, real = time.time, time.time_ns, datetime.datetime
    jumped = False

    def back() -> float:
        nonlocal jumped
        jumped = jumped or any(path.stat().st_size for path in Path(folder).glob(after))
        return seconds if jumped else 0.0

    class Clock(real):
        """The date and time by the clock that jumps."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real.now(tz) - datetime.timedelta(seconds=back())

    time.time = lambda: real_time() - back()
    time.time_ns = lambda: real_ns() - int(back() * 1e9)
    for module in list(sys.modules.values()):
        if getattr(module, "datetime", None) is real and module is not datetime:
            module.datetime = Clock


# --- anything else ---------------------------------------------------------------------------------------------------


def patch(**values: Any) -> None:
    """Replace values; their names are ``module:attribute`` or ``module:class.attribute``."""
    for place, value in values.items():
        module, _, path = place.partition(":")
        *above, name = path.split(".")
        setattr(functools.reduce(getattr, above, importlib.import_module(module)), name, value)
