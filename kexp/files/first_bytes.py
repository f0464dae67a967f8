"""What a file is by its bytes: another format than its name says, or another encoding than is expected."""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from kexp.errors import DataError

SAMPLE = 2**24
"""Bytes that are looked at to name an encoding."""

_GZIP = b"\x1f\x8b"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHER_FORMATS = {
    b"\xd0\xcf\x11\xe0": ("a workbook of Excel 97-2003 (.xls), or one with a password", "save it as .xlsx or .csv"),
    b"%PDF": ("a PDF", "save its table as CSV"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it"),
    b"Rar!": ("a RAR archive", "unpack it"),
    b"BZh": ("compressed by bzip2", "unpack it, or compress it by gzip"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it, or compress it by gzip"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it, or compress it by gzip"),
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    b"<!doctype html": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
}


@dataclass(frozen=True, slots=True)
class Remedies:
    """How messages say to change what a file is read as: as keys of a spec, or as flags."""

    encoding: str
    unquoted: str
    quoted: str
    escape: str
    format: str
    header: str


KEYS = Remedies(
    'set encoding = "{}"',
    "set quoting = false",
    "set quoting = true",
    "set escape = '\\'",
    'set format = "{}"',
    'set header = false and columns = ["text", "label"], or as it is',
)
FLAGS = Remedies(
    'use --encoding "{}"',
    "use --no-quoting",
    "use --quoting",
    "write quotation marks in cells twice",
    "give it a name that ends in .{}",
    "write a line with the names of the columns above the others",
)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, decompressed if it is compressed by gzip; raises ``DataError`` if it cannot be read."""
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP)) == _GZIP
        with cast(IO[bytes], gzip.open(path)) if compressed else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged, it cannot be decompressed: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def first_bytes(path: Path, count: int) -> bytes:
    """Read the beginning of a file, decompressed if it is compressed by gzip."""
    with open_bytes(path) as file:
        return file.read(count)


def refuse_other_format(path: Path, remedies: Remedies) -> None:
    """Raise ``DataError`` for a file that is no text, or a web page, by its first bytes."""
    head = first_bytes(path, 32)
    if head.startswith(b"PK\x03\x04"):
        finding, remedy = _zip(path, remedies)
    elif head.startswith(b"PAR1"):
        finding, remedy = "a Parquet file", remedies.format.format("parquet")
    else:
        found = [what for start, what in _OTHER_FORMATS.items() if head.lstrip().lower().startswith(start.lower())]
        if not found:
            return
        finding, remedy = found[0]
    raise DataError(f"{path}: is {finding}; {remedy}")


def _zip(path: Path, remedies: Remedies) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a damaged zip archive", "get the file again"
    if "xl/workbook.xml" in names:
        return "an Excel workbook", remedies.format.format("xlsx")
    held = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"a zip archive of {held or 'nothing'}", "unpack it, and give the path of the file in it"


# --- encodings -------------------------------------------------------------------------------------------------------


def refuse_other_encoding(path: Path, encoding: str, remedies: Remedies) -> None:
    """Raise ``DataError`` for a byte order mark of another encoding, and for UTF-8 that would be read as another."""
    head = first_bytes(path, 2**16)
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked and not codecs.lookup(encoding).name.startswith(marked):
        remedy = remedies.encoding.format(marked)
        raise DataError(f"{path}: is {marked.upper()} by its byte order mark, not {encoding}; {remedy}")
    if codecs.lookup(encoding).name.startswith("utf"):
        if codecs.lookup(encoding).name.startswith("utf-8") and (name := _unmarked_utf16(head)):
            raise DataError(f"{path}: seems to be {name.upper()}, not {encoding}; {remedies.encoding.format(name)}")
        return
    text, damaged = _decode(head, "utf-8")
    if not damaged and sum(not character.isascii() for character in text) > 1:
        raise DataError(f"{path}: is UTF-8, not {encoding}; {remedies.encoding.format('utf-8')}")


def encoding_advice(path: Path, encoding: str, remedies: Remedies) -> str:
    """Return what the bytes of a file that is not ``encoding`` are, and the remedy."""
    sample = first_bytes(path, SAMPLE)
    if not codecs.lookup(encoding).name.startswith("utf-16") and (name := _unmarked_utf16(sample)):
        return f"the file seems to be {name.upper()}; {remedies.encoding.format(name)}"
    candidates = {name: _decode(sample, name) for name in ("utf-8", "cp949")}
    for name, (_, damaged) in candidates.items():
        if not damaged:
            return f"the file is {name}; {remedies.encoding.format(name)}"
    name, (text, damaged) = min(candidates.items(), key=lambda item: len(item[1][1]))
    if len(damaged) > sum(not character.isascii() for character in text) / 20:
        return "the file is neither UTF-8 nor cp949; convert it to UTF-8"
    lines = sorted({text.count("\n", 0, position) + 1 for position in damaged})
    where = f"line {lines[0]}" if len(lines) == 1 else f"{len(lines)} lines, the first of them {lines[0]}"
    same = codecs.lookup(encoding).name.removesuffix("-sig") == name
    remedy = "" if same else f"{remedies.encoding.format(name)} and "
    return f"the file is {name} with damaged bytes in {where}; {remedy}correct {'it' if len(lines) == 1 else 'them'}"


def _unmarked_utf16(sample: bytes) -> str:
    """Return UTF-16's name if every other byte of what is ASCII is zero; Hangul has few such bytes, separators have."""
    high, low = sample[::2].count(0), sample[1::2].count(0)
    if max(high, low) < max(8, len(sample) / 20) or min(high, low) > max(high, low) / 20:
        return ""
    return "utf-16-le" if low > high else "utf-16-be"


def _decode(sample: bytes, encoding: str) -> tuple[str, list[int]]:
    """Decode whole lines of a sample, and return the positions of the bytes that the encoding does not have."""
    whole = sample[: sample.rfind(b"\n") + 1] or sample
    text = whole.decode(encoding, "surrogateescape")
    return text, [number for number, character in enumerate(text) if "\udc80" <= character <= "\udcff"]
