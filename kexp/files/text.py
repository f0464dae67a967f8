"""Text files line by line; a byte that the encoding does not have is reported with its line and the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path

from kexp.errors import DataError
from kexp.files.first_bytes import (
    KEYS,
    Remedies,
    encoding_advice,
    open_bytes,
    refuse_other_encoding,
    refuse_other_format,
)

_UNDECODED = re.compile("[\udc80-\udcff]")


def read_text(path: Path, encoding: str = "utf-8-sig", remedies: Remedies = KEYS) -> str:
    """Read a whole text file; raises ``DataError`` with the line of the first byte that the encoding does not have."""
    text = "".join(lines_of(path, encoding, remedies))
    if not text.strip("\ufeff \t\r\n"):
        raise DataError(f"{path}: the file is empty")
    return text


def lines_of(path: Path, encoding: str, remedies: Remedies = KEYS, newline: str = "") -> Iterator[str]:
    """Yield the lines of a file as they are, without a byte order mark; ``newline`` as in ``open``."""
    refuse_other_format(path, "text", remedies)
    refuse_other_encoding(path, encoding, remedies)
    try:
        with open_bytes(path) as file:
            text = TextIOWrapper(file, encoding, errors="surrogateescape", newline=newline)
            for number, line in enumerate(text, start=1):
                if found := undecoded(line):
                    advice = encoding_advice(path, encoding, remedies)
                    raise DataError(f"{path}: line {number}: {found} is not {encoding}; {advice}")
                yield line.lstrip("\ufeff") if number == 1 else line
    except UnicodeError as error:
        raise DataError(f"{path}: is not {encoding}: {error}; {encoding_advice(path, encoding, remedies)}") from None


def undecoded(line: str) -> str:
    """Return in words the first byte that could not be decoded; Python hides such bytes in half surrogates."""
    found = _UNDECODED.search(line)
    return f"byte 0x{ord(found[0]) - 0xDC00:02x}" if found else ""


def decoded(lines: Iterable[str], source: str) -> Iterator[str]:
    """Yield the lines of a stream in UTF-8; raises ``DataError`` with the line of the first byte that is not."""
    for number, line in enumerate(lines, start=1):
        if found := undecoded(line):
            raise DataError(f"{source}: line {number}: {found} is not UTF-8; convert the text to UTF-8")
        yield line
