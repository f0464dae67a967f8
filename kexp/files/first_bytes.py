"""What a file is by its bytes: another format than its name says, or another encoding than is expected."""

from __future__ import annotations

import codecs
import gzip
import re
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
    codecs.BOM_UTF32_LE: ("utf-32", "utf-32-le"),
    codecs.BOM_UTF32_BE: ("utf-32", "utf-32-be"),
    codecs.BOM_UTF16_LE: ("utf-16", "utf-16-le"),
    codecs.BOM_UTF16_BE: ("utf-16", "utf-16-be"),
}
_OTHER_FORMATS = {
    b"\xd0\xcf\x11\xe0": (
        "a workbook of Excel 97-2003 (.xls), one with a password, or another document of Office or Hangul",
        "save its table as .xlsx or .csv",
    ),
    b"%PDF": ("a PDF", "save its table as CSV"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it"),
    b"Rar!": ("a RAR archive", "unpack it"),
    b"EGGA": ("an archive of ALZip", "unpack it"),
    b"ALZ\x01": ("an archive of ALZip", "unpack it"),
    b"BZh": ("compressed by bzip2", "unpack it, or compress it by gzip"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it, or compress it by gzip"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unpack it, or compress it by gzip"),
    b"SQLite format 3": ("a SQLite database", "write its table to a CSV file"),
    b"ARROW1": ("an Arrow or Feather file", "write it as Parquet"),
    b"\x80\x04\x95": ("a Python pickle", "write it as Parquet or CSV"),
    b"\x89PNG": ("an image", "give a table of texts"),
    b"\xff\xd8\xff": ("an image", "give a table of texts"),
    b"<?xml": ("XML", "write its rows to a CSV file"),
    b"version https://git-lfs": ("a pointer of Git LFS", "fetch the file itself with git lfs pull"),
    b"<!doctype html": ("a web page", "download the file itself"),
    b"<html": ("a web page", "download the file itself"),
}
_BINARY = {"parquet": "a Parquet file", "xlsx": "an Excel workbook (.xlsx)"}
_JSON = {"json": re.compile(rb"\[\s*\{"), "jsonl": re.compile(rb"\{\s*\"")}


@dataclass(frozen=True, slots=True)
class Remedies:
    """How messages say to change what a file is read as: as keys of a spec, or as flags."""

    encoding: str
    unquoted: str
    quoted: str
    escape: str
    format: str
    separator: str
    sheet: str


KEYS = Remedies(
    'set encoding = "{}"',
    "set quoting = false",
    "set quoting = true",
    "set escape = '\\'",
    'set format = "{}"',
    'set separator = "{}"',
    "name one with dataset.sheet, or save it alone",
)
FLAGS = Remedies(
    'use --encoding "{}"',
    "use --no-quoting",
    "use --quoting",
    "write quotation marks in cells twice",
    "give it a name that ends in .{}",
    'use --separator "{}"',
    "save the one that is meant alone",
)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, decompressed if it is compressed by gzip; raises ``DataError`` if it cannot be read."""
    try:
        with cast(IO[bytes], gzip.open(path)) if _is_gzip(path) else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged, it cannot be decompressed: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def first_bytes(path: Path, count: int) -> bytes:
    """Read the beginning of a file, decompressed if it is compressed by gzip."""
    with open_bytes(path) as file:
        return file.read(count)


def refuse_other_format(path: Path, kind: str | None, remedies: Remedies) -> None:
    """Raise ``DataError`` for a file that is of another format than ``kind`` by its first bytes."""
    head = first_bytes(path, 512)
    if not head:
        raise DataError(f"{path}: the file is empty")
    if kind in _BINARY and _is_gzip(path):
        raise DataError(f"{path}: is compressed by gzip, which kexp reads for text alone; unpack it")
    what, format, remedy = _recognised(path, head, kind)
    if what and format != kind:
        raise DataError(f"{path}: is {what}; {remedies.format.format(format) if format else remedy}")
    if not what and kind in _BINARY:
        text = remedies.format.format("csv")
        raise DataError(f"{path}: is not {_BINARY[kind]} by its first bytes; if it is CSV, {text}")


def format_by_bytes(path: Path) -> str | None:
    """Return the format that the first bytes of a file tell (parquet, xlsx, json, jsonl); None for other text."""
    return _recognised(path, first_bytes(path, 512), None)[1] or None


def _recognised(path: Path, head: bytes, kind: str | None) -> tuple[str, str, str]:
    """Return what a file is, with its format if kexp reads it, else with what to do; empty for other text."""
    if head.startswith(b"PK\x03\x04") and not _is_gzip(path):
        return _zip(path)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return "a zip archive", "", "unpack it, and give the path of the file in it"
    if head.startswith(b"PAR1"):
        return "a Parquet file", "parquet", ""
    if head.startswith(_GZIP):
        return "compressed by gzip twice", "", "unpack it once"
    if head[257:262] == b"ustar":
        return "a tar archive", "", "unpack it, and give the path of the file in it"
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if kind in ("csv", "tsv", None):
        found = next((name for name, pattern in _JSON.items() if pattern.match(start)), "")
        if found:
            return "an array of JSON objects" if found == "json" else "a JSON object per line", found, ""
    other = (found for mark, found in _OTHER_FORMATS.items() if start.lower().startswith(mark.lower()))
    what, remedy = next(other, ("", ""))
    return what, "", remedy


def _zip(path: Path) -> tuple[str, str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a damaged zip archive", "", "get the file again"
    if "xl/workbook.xml" in names:
        return "an Excel workbook", "xlsx", ""
    held = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"a zip archive of {held or 'nothing'}", "", "unpack it, and give the path of the file in it"


# --- encodings -------------------------------------------------------------------------------------------------------


def refuse_other_encoding(path: Path, encoding: str, remedies: Remedies) -> None:
    """Raise ``DataError`` for a byte order mark of another encoding, and for text that would be read as another."""
    head = first_bytes(path, 2**16)
    name = codecs.lookup(encoding).name
    if marked := next((of for mark, of in _MARKS.items() if head.startswith(mark)), None):
        if name not in marked:
            finding = f"is {marked[0].upper()} by its byte order mark, not {encoding}"
            raise DataError(f"{path}: {finding}; {remedies.encoding.format(marked[0])}")
        return
    if (wide := _unmarked_wide(head)) and name != wide:
        raise DataError(f"{path}: seems to be {wide.upper()}, not {encoding}; {remedies.encoding.format(wide)}")
    if name.startswith("utf"):
        return
    text, damaged = _decode(head, "utf-8")
    if not damaged and sum(not character.isascii() for character in text) > 1:
        raise DataError(f"{path}: is UTF-8, not {encoding}; {remedies.encoding.format('utf-8')}")
    if _is_single_byte(name) and _is_korean(head):
        # Such an encoding has a character for every byte, so that nothing else would tell.
        raise DataError(f"{path}: is cp949, not {encoding}; {remedies.encoding.format('cp949')}")


def encoding_advice(path: Path, encoding: str, remedies: Remedies) -> str:
    """Return what the bytes of a file that is not ``encoding`` are, and the remedy."""
    name, text, damaged = _nearest(first_bytes(path, SAMPLE))
    if not damaged:
        return f"the file is {name}; {remedies.encoding.format(name)}"
    if len(damaged) > sum(not character.isascii() for character in text) / 20:
        return "the file is neither UTF-8 nor cp949; convert it to UTF-8"
    lines = sorted({text.count("\n", 0, position) + 1 for position in damaged})
    where = f"line {lines[0]}" if len(lines) == 1 else f"{len(lines)} lines, the first of them {lines[0]}"
    same = codecs.lookup(encoding).name.removesuffix("-sig") == name
    remedy = "" if same else f"{remedies.encoding.format(name)} and "
    return f"the file is {name} with damaged bytes in {where}; {remedy}correct {'it' if len(lines) == 1 else 'them'}"


def encoding_of(path: Path) -> str:
    """Return what a text file is encoded in by its bytes: UTF-8, UTF-16, UTF-32 or cp949, whichever is nearest."""
    sample = first_bytes(path, SAMPLE)
    if marked := next((of for mark, of in _MARKS.items() if sample.startswith(mark)), None):
        return marked[0]
    return _unmarked_wide(sample[: 2**16]) or _nearest(sample)[0]


def _nearest(sample: bytes) -> tuple[str, str, list[int]]:
    """Return UTF-8 or cp949, whichever has more of the bytes, the text, and the positions of those that it lacks."""
    names = ("utf-8", "cp949") if _is_korean(sample) else ("utf-8",)
    return min(((name, *_decode(sample, name)) for name in names), key=lambda found: len(found[2]))


def _unmarked_wide(sample: bytes) -> str:
    """Return the name of the UTF-16 or UTF-32 that makes lines of Hangul and ASCII of a sample; empty if none does."""
    for name, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        text = sample[: len(sample) // width * width].decode(name, "replace")
        plain = sum(c.isspace() or " " <= c <= "~" or _is_hangul(c) for c in text)
        # Two bytes of another encoding may be Hangul by chance, but none is half a line break.
        if len(text) > 1 and plain > len(text) * 0.8 and ("\n" in text or "\r" in text):
            return name
    return ""


def _is_hangul(character: str) -> bool:
    return "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u11ff" or "\u3131" <= character <= "\u318e"


def _is_korean(sample: bytes) -> bool:
    """Return whether the bytes beyond ASCII are, as cp949, mostly Hangul of KS X 1001; those of others are not."""
    text, damaged = _decode(sample, "cp949")
    # Python writes the other syllables of Hangul in eight bytes of EUC-KR.
    common = sum(_is_hangul(character) and len(character.encode("euc_kr", "ignore")) == 2 for character in text)
    return common > 0 and common >= sum(not character.isascii() for character in text) / 2 + len(damaged)


def _is_single_byte(name: str) -> bool:
    found = bytes(range(160, 224)).decode(name, "replace")
    return len(found) == 64 and "\ufffd" not in found


def _decode(sample: bytes, encoding: str) -> tuple[str, list[int]]:
    """Decode whole lines of a sample, and return the positions of the bytes that the encoding does not have."""
    whole = sample[: sample.rfind(b"\n") + 1] or sample
    text = whole.decode(encoding, "surrogateescape")
    return text, [number for number, character in enumerate(text) if "\udc80" <= character <= "\udcff"]
