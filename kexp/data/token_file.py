"""Files of tokenised texts: one array in NumPy's format, written piece by piece and mapped into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kexp.atomic_files import replacing
from kexp.data.freed_memory import forget
from kexp.data.ragged import offsets_of
from kexp.tensor_files import DamagedFile, OtherOrigin

MAPPED = 64 * 2**20
"""Bytes from which a file is mapped: pages of it are in memory while they are used. Smaller ones are read."""

HEADER, FOOTER, BLOCK = 128, 256, 2**20


def write(path: Path, key: str, parts: Iterable[tuple[NDArray[np.int32], NDArray[np.int32]]]) -> None:
    """Write tokens, and how many of them each text has, both some after the other; raises ``OSError``.

    The array has the tokens of all texts, followed by the length of every text. Behind it stands as JSON the number of
    texts, ``key``, which names what they were made from, and a checksum of all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w+b") as file:
        file.write(bytes(HEADER))
        lengths, tokens = [np.empty(0, np.int32)], 0
        for values, of in parts:
            file.write(values.data)
            lengths.append(of)
            tokens += len(values)
        texts = np.concatenate(lengths)
        file.write(texts.data)
        file.seek(0)
        file.write(_header(tokens + len(texts)))
        file.seek(0)
        said = {"texts": len(texts), "made from": key}
        said["checksum"] = _checksum(file, HEADER + 4 * (tokens + len(texts)), said)
        file.write(json.dumps(said).encode().ljust(FOOTER - 1) + b"\n")
    # Of versions whose entries were tensors.
    path.with_suffix(".safetensors").unlink(missing_ok=True)


def read(path: Path, key: str) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the tokens of a file, mapped where it is large, and the offsets of its texts; raises ``OSError``.

    Raises ``DamagedFile`` when a bit has changed, and ``OtherOrigin`` when they were made from something else.
    """
    size = path.stat().st_size
    if size < HEADER + FOOTER:
        raise DamagedFile(f"{path} is damaged: it ends too early")
    try:
        with path.open("rb") as file:
            file.seek(size - FOOTER)
            said = json.loads(file.read(FOOTER))
            checksum, texts, made_from = said.pop("checksum"), said["texts"], said["made from"]
            file.seek(0)
            whole = _checksum(file, size - FOOTER, said) == checksum
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    if not whole:
        raise DamagedFile(f"{path} is damaged: its contents do not match its checksum")
    if made_from != key:
        raise OtherOrigin(f"{path} was made from something else: texts and tokenizer differ")
    array = np.load(path, mmap_mode="r" if size >= MAPPED else None, allow_pickle=False)
    offsets = offsets_of(array[len(array) - texts :])
    forget(array)
    return array[: len(array) - texts], offsets


def _header(count: int) -> bytes:
    """Return the header of an array, which has the same size for every number of values."""
    text = f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({count},), }}"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.ljust(HEADER - 11).encode() + b"\n"


def _checksum(file: BinaryIO, size: int, said: dict[str, object]) -> str:
    """Return the digest of the next ``size`` bytes and of what is said of them."""
    digest = hashlib.blake2b(json.dumps(said).encode(), digest_size=20)
    while size > 0 and (block := file.read(min(BLOCK, size))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
