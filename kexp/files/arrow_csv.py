"""CSV and TSV read by Arrow, block by block, where every block means to Arrow what it means to Python's csv."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kexp.files.first_bytes import open_bytes

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 2**22
"""Bytes that are read at once."""
LONGEST = 2 * BLOCK
"""Bytes that the rows of a block may have; those with longer cells are left to Python."""


class UnsuitableError(Exception):
    """A file has what Arrow would read in another way, or would not read."""


def arrow_blocks(
    path: Path, width: int, *, separator: str, encoding: str, quotes: bool, skip: int
) -> Iterator[tuple[int, list[pa.LargeStringArray]]]:
    """Yield the number of lines and the columns of every block of a file, below its first ``skip`` lines.

    Raises ``UnsuitableError`` before the first block that does not consist of lines that are each a row of ``width``
    cells or blank, in this encoding, with cells that quotation marks enclose as a whole or do not stand in.
    """
    if not separator.isascii() or separator in '"\r\n':
        raise UnsuitableError
    with open_bytes(path) as file:
        first = True
        for read in _blocks(file, codecs.lookup(encoding).name):
            # Before the first line alone a byte order mark is no character.
            block = _unmarked(read) if first else read
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            rows = _below(block, min(skip, lines))
            # Arrow would take one before any row for none either.
            odd = _is_odd(block) or rows.startswith(codecs.BOM_UTF8)
            if odd or (quotes and not _are_enclosing(rows, separator)):
                raise UnsuitableError
            first, skip = False, max(0, skip - lines)
            yield lines, _parsed(rows, width, separator, quotes=quotes)


def _blocks(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the bytes of whole lines in UTF-8."""
    decoder = None if encoding in ("utf-8", "utf-8-sig") else codecs.getincrementaldecoder(encoding)("strict")
    rest, read = b"", b" "
    while read:
        read = file.read(BLOCK)
        try:
            rest += read if decoder is None else decoder.decode(read, final=not read).encode()
        except UnicodeError:
            raise UnsuitableError from None
        end = rest.rfind(b"\n") + 1 if read else len(rest)
        block, rest = rest[:end], rest[end:]
        if max(len(block), len(rest)) > LONGEST:
            raise UnsuitableError
        if block:
            yield block


def _below(block: bytes, lines: int) -> bytes:
    """Return what is below the first lines of a block."""
    place = 0
    for _ in range(lines):
        place = block.find(b"\n", place) + 1 or len(block)
    return block[place:]


def _unmarked(block: bytes) -> bytes:
    while block.startswith(codecs.BOM_UTF8):
        block = block.removeprefix(codecs.BOM_UTF8)
    return block


def _is_odd(block: bytes) -> bool:
    """Return whether a block has null characters, or carriage returns that are line breaks alone."""
    return b"\0" in block or block.count(b"\r") != block.count(b"\r\n")


def _are_enclosing(block: bytes, separator: str) -> bool:
    """Return whether all quotation marks enclose cells of one line, or stand twice inside of them."""
    import numpy as np

    rows = np.frombuffer(block, np.uint8)
    marks = np.flatnonzero(rows == ord('"'))
    if not len(marks):
        return True
    if len(marks) % 2:
        return False
    # Of a doubled one, the first is as if it closed the cell, and the second as if it opened it again.
    allowed = [ord(separator), ord("\n"), ord('"')]
    before, after = rows[np.maximum(marks[::2] - 1, 0)], rows[np.minimum(marks[1::2] + 1, len(rows) - 1)]
    ends = np.searchsorted(marks, np.flatnonzero(rows == ord("\n")))
    opened = np.isin(before, allowed) | (marks[::2] == 0)
    return bool(opened.all() and np.isin(after, [*allowed, ord("\r")]).all() and not (ends % 2).any())


def _parsed(rows: bytes, width: int, separator: str, *, quotes: bool) -> list[pa.LargeStringArray]:
    import pyarrow as pa
    from pyarrow import csv

    names = list(map(str, range(width)))
    if not rows:
        return [pa.array([], pa.large_string())] * width
    try:
        table = csv.read_csv(
            pa.py_buffer(rows),
            csv.ReadOptions(use_threads=False, block_size=len(rows) + 1, column_names=names),
            csv.ParseOptions(delimiter=separator, quote_char='"' if quotes else False),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        raise UnsuitableError from None
    return [column.combine_chunks() for column in table.columns]
