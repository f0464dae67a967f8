"""Names that are equal to the eye: composed characters, without invisible ones; and paths that a Mac decomposed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

NAME_PATTERN = r"^[\w가-힣][\w가-힣.-]*$"
"""Names that become files or folders; ``file_name_problem`` says what else they must not be."""

LONGEST = 120
"""Bytes of such a name in UTF-8: two of them and a digest still make one name of a file, of at most 255 bytes."""

DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
"""What Windows takes for a device, also with an extension."""

QUOTATION_MARKS = "\"'`´‘’‚“”„«»‹›「」『』＂＇"
_BLANKS = frozenset(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x034F, 0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0))
)
"""Characters without a shape that Unicode does not count as format characters: variation selectors, Hangul fillers."""
_NUMBER = re.compile(r"[+-]?\d+\.?\d*(e[+-]?\d+)?")


ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""How an address begins, which some libraries open where a path is meant."""


def is_utf8(path: str | Path) -> bool:
    """Return whether a path can be written in UTF-8; Python hides the other bytes of a name in half surrogates."""
    return shown_path(path) == str(path)


def shown_path(path: str | Path) -> str:
    """Return a path with escapes in place of what is not UTF-8 in it."""
    return str(path).encode("utf-8", "backslashreplace").decode()


@lru_cache(10_000)
def plain_name(name: str) -> str:
    """Return a name in NFC, without characters that show nothing, byte order marks and outer white space."""
    return unicodedata.normalize("NFC", "".join(c for c in name if not _is_invisible(c))).strip()


def composed(name: str) -> str:
    """Return a name in NFC."""
    return unicodedata.normalize("NFC", name)


def file_name_problem(name: str) -> str:
    """Say why a name cannot be that of a file or folder on every system; empty if it can."""
    if not re.fullmatch(NAME_PATTERN, name):
        return 'letters, digits, ".", "-" and "_" only, with a letter or digit at the beginning'
    if name.endswith("."):
        return "a name that does not end with a dot, which Windows leaves out"
    if name.partition(".")[0].upper() in DEVICES:
        return f'another name: "{name.partition(".")[0]}" is a device on Windows'
    if (size := len(name.encode())) > LONGEST:
        return f"at most {LONGEST} bytes in UTF-8 (40 Korean syllables), found {size}"
    return ""


def same_file_names(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield names with the earlier name that is the same one where file systems ignore case and composition."""
    first: dict[str, str] = {}
    for name in names:
        key = composed(composed(name).casefold())
        if key in first:
            yield name, first[key]
        first.setdefault(key, name)


def has_invisible(name: str) -> bool:
    """Return whether a name has a character that shows nothing, such as a zero-width one or a byte order mark."""
    return any(map(_is_invisible, name))


def _is_invisible(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind == "Cf" or (kind == "Cc" and not character.isspace()) or character in _BLANKS


def alike(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield, in order, the names that differ only by case, width, marks, white space or in how a number is written."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(_appearance(name), []).append(name)
    return (group for group in groups.values() if len(group) > 1)


def _appearance(name: str) -> str:
    wide = unicodedata.normalize("NFKC", name).casefold()
    bare = "".join("-" if _is_dash(c) else c for c in wide if not c.isspace() and c not in QUOTATION_MARKS) or name
    return f"{Decimal(bare).normalize() + 0}" if _NUMBER.fullmatch(bare) else bare


def _is_dash(character: str) -> bool:
    return unicodedata.category(character) == "Pd" or character == "\u2212"


def with_code_points(name: str) -> str:
    """Return a name in quotation marks with its code points, for messages about names that look the same."""
    return f'"{name}" ({" ".join(f"U+{ord(c):04X}" for c in name[:20])}{" ..." if len(name) > 20 else ""})'


def existing_path(path: Path) -> Path:
    """Return a path whose names are composed or decomposed as they are on disk; a path that exists stays as it is."""
    if path.exists() or path == path.parent:
        return path
    folder = existing_path(path.parent)
    composed = unicodedata.normalize("NFC", path.name)
    try:
        found = [entry for entry in folder.iterdir() if unicodedata.normalize("NFC", entry.name) == composed]
    except OSError:
        found = []
    return found[0] if found else folder / path.name
