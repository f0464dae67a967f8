"""Spec files as plain tables: reading with places in errors, layering, dotted overrides, differences, writing."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.errors import KexpError, Problem, SpecError, reason_of
from kexp.nested import Table
from kexp.options import SpecText
from kexp.redaction import without_passwords

LARGEST = 2**20
"""Bytes of a spec file; parsing takes more than linear time."""

MOST_FILES = 32
"""Files that extend each other."""

DEEPEST = 32
"""Tables and lists in each other, and parts of a dotted key."""

_LONG_KEY = re.compile(
    r"""(?m)(?:^[ \t]*\[{0,2}|[{,])[ \t]*(?:(?:[\w-]+|"[^"\n]{0,99}"|'[^'\n]{0,99}')[ \t]*\.[ \t]*){100}"""
)
"""A key of more than a hundred parts, for which the parser takes quadratic time."""


def read(path: Path) -> Table:
    """Read a spec file and, first, the file that it extends; strings remember the folder of their file.

    Raises ``KexpError`` for what is no spec file: missing, no regular file, too large, nested too deeply, not TOML.
    """
    return _read(path, ())


def _read(path: Path, children: tuple[Path, ...]) -> Table:
    table = _parse(path)
    if path.resolve() in children:
        chain = " -> ".join(str(child) for child in (*children, path.resolve()))
        raise SpecError(str(path), [Problem("extends", f"the files extend each other: {chain}")])
    return extended(table, str(path), path.parent, (*children, path.resolve()))


def extended(table: Table, title: str, folder: Path, files: tuple[Path, ...] = ()) -> Table:
    """Return a table laid over the file that it extends, if any; a relative path of the file starts at ``folder``.

    ``title`` is how errors name the table, ``files`` are those that were read on the way to it.
    """
    parent = table.pop("extends", None)
    if parent is None:
        return table
    if not isinstance(parent, str):
        raise SpecError(title, [Problem("extends", f"expected the path of a TOML file, found {parent!r}")])
    if len(files) + 1 > MOST_FILES:
        raise SpecError(title, [Problem("extends", f"more than {MOST_FILES} files extend each other")])
    try:
        base = (folder / parent).resolve()
        there = base.is_file()
    except (OSError, ValueError) as error:
        message = f"{_shown(parent)} cannot be the path of a file: {reason_of(error)}"
        raise SpecError(title, [Problem("extends", message)]) from None
    if not there:
        raise SpecError(title, [Problem("extends", f"{base} does not exist")])
    below = _read(base, files)
    if problems := list(without_effect(below, {name: of for name, of in table.items() if name != "variants"})):
        raise SpecError(title, problems)
    return nested.merge(below, table)


def without_effect(table: Table, changes: Table) -> Iterator[Problem]:
    """Yield empty tables among changes that are laid over tables with keys, which they were to replace."""
    for path in nested.empty_over_full(table, changes):
        message = "an empty table changes nothing, since it is laid over the keys of the one below"
        yield Problem(path, message, "give each of its keys a value; a list may be empty")


def _parse(path: Path) -> Table:
    try:
        # A pipe could be read only once, and another file than the one that was checked.
        if not path.is_file() and (path.exists() or path.is_symlink()):
            hint = f", such as {path / 'spec.toml'}" if path.is_dir() else ""
            raise KexpError(
                f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; expected a spec file{hint}"
            )
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise KexpError(f"{path}: cannot be read: {reason_of(error)}; expected a spec in TOML") from None
    if len(content) > LARGEST:
        raise KexpError(f"{path}: larger than {LARGEST // 2**20} MiB; expected a spec, which is a short text in TOML")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise KexpError(f"{path}:{line}: not UTF-8, which TOML requires; save the file as UTF-8") from None
    if long := _LONG_KEY.search(text):
        raise KexpError(f"{path}:{text.count(chr(10), 0, long.end()) + 1}: a key of more than a hundred parts")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise KexpError(f"{path}: tables or lists are nested too deeply; expected at most {DEEPEST} levels") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        line, column = (int(place[1]), int(place[2])) if place and place[1] else _end(text)
        cause = message[: place.start()] if place else message
        raise KexpError(f"{path}:{line}:{column}: not valid TOML: {cause}{_quoted(text, line, column)}") from None
    except ValueError:
        raise KexpError(f"{path}: not valid TOML: a number has too many digits") from None
    if problems := list(itertools.islice(unusable("", table), 10)):
        raise SpecError(str(path), problems)
    located: Table = _locate(table, path.resolve().parent)
    return join_paths(located)


def unusable(path: str, value: Any, depth: int = 0) -> Iterator[Problem]:
    """Yield what TOML's grammar allows but not TOML itself, or no spec has: huge numbers and very deep nesting."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield Problem(path, "a whole number of more than 64 bits, which TOML does not have")
    if depth > DEEPEST:
        yield Problem(_shown(path), f"tables or lists are nested too deeply; expected at most {DEEPEST} levels")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from unusable(f"{path}.{key}" if path else key, item, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from unusable(f"{path}[{number}]", item, depth + 1)


def _shown(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _quoted(text: str, line: int, column: int) -> str:
    """Return a remedy if the error is at a Korean word without quotes; keys need quotes too."""
    row = text.split("\n")[line - 1]
    for word in re.finditer(r"[^\s.,=\[\]{}\"'#]+", row):
        if word.start() < column <= word.end() and not row[column - 1].isascii():
            return f'; put it in quotation marks: "{word[0]}"'
    return ""


def _end(text: str) -> tuple[int, int]:
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1


def _locate(value: Any, folder: Path) -> Any:
    """Mark every string with the folder that relative paths start from."""
    if isinstance(value, dict):
        return {key: _locate(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_locate(item, folder) for item in value]
    return SpecText(value, folder) if isinstance(value, str) else value


def parse_assignment(text: str) -> Table:
    """Read ``path=value`` of the command line; the value is TOML, and a bare word is a string."""
    path, equals, value = text.partition("=")
    shown = _shown(without_passwords(text))
    if not equals or not path.strip():
        raise KexpError(f"--set {shown}: expected path=value, for example training.epochs=1")
    try:
        parsed = tomllib.loads(f"value = {value}")
        # "1\nother = 2" would be valid TOML too.
        item = parsed["value"] if len(parsed) == 1 else value
    except tomllib.TOMLDecodeError:
        item = value
    except (RecursionError, ValueError):
        raise KexpError(f"--set {shown}: nested too deeply, or a number of too many digits") from None
    if problem := next(unusable(path.strip(), item), None):
        raise KexpError(f"--set {problem}")
    return expand({path.strip(): _locate(item, Path.cwd())})


def expand(overrides: Mapping[str, Any]) -> Table:
    """Turn dotted keys into tables: ``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``."""
    table: Table = {}
    for path, value in overrides.items():
        if path.count(".") >= DEEPEST:
            raise KexpError(f"{_shown(path)}: a key of more than {DEEPEST} parts")
        below: Any = expand(value) if isinstance(value, dict) else value
        for key in reversed(path.split(".")):
            below = {key: below}
        table = nested.merge(table, below)
    return join_paths(table)


PARAMETER_KEYS = {"low", "high", "log", "step", "choices", "when"}
"""Keys of a search parameter's table, which distinguish it from a table that contains parameters."""


def join_paths(table: Table) -> Table:
    """Write the paths of a search's space as one key each, so that layers meet whether they are quoted or not."""
    search = table.get("search")
    if not isinstance(search, dict) or "space" not in search:
        return table
    return {**table, "search": {**search, "space": nested.flat(search["space"], is_parameter)}}


def is_parameter(table: Table) -> bool:
    """Return whether a table is a search parameter, not one that contains parameters."""
    return bool(PARAMETER_KEYS & table.keys()) or not any(isinstance(value, dict) for value in table.values())


def dumps(table: Mapping[str, Any]) -> str:
    """Write a table as TOML."""
    import tomli_w

    return tomli_w.dumps(table)
