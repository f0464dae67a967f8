"""Spec files as plain tables: reading with places in errors, layering, dotted overrides, differences, writing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.errors import KexpError, Problem, SpecError
from kexp.nested import Table
from kexp.options import SpecText


def read(path: Path) -> Table:
    """Read a spec file and, first, the file that it extends; strings remember the folder of their file."""
    return _read(path, ())


def _read(path: Path, children: tuple[Path, ...]) -> Table:
    if path.resolve() in children:
        chain = " -> ".join(str(child) for child in (*children, path.resolve()))
        raise SpecError(str(path), [Problem("extends", f"the files extend each other: {chain}")])
    table = _parse(path)
    parent = table.pop("extends", None)
    if parent is None:
        return table
    if not isinstance(parent, str):
        raise SpecError(str(path), [Problem("extends", f"expected the path of a TOML file, found {parent!r}")])
    base = (path.parent / parent).resolve()
    if not base.is_file():
        raise SpecError(str(path), [Problem("extends", f"{base} does not exist")])
    return nested.merge(_read(base, (*children, path.resolve())), table)


def _parse(path: Path) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise KexpError(f"{path}: cannot be read: {error.strerror}; expected a spec in TOML") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise KexpError(f"{path}:{line}: not UTF-8, which TOML requires; save the file as UTF-8") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        line, column = (int(place[1]), int(place[2])) if place and place[1] else _end(text)
        cause = message[: place.start()] if place else message
        raise KexpError(f"{path}:{line}:{column}: not valid TOML: {cause}{_quoted(text, line, column)}") from None
    located: Table = _locate(table, path.resolve().parent)
    return join_paths(located)


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
    if not equals or not path.strip():
        raise KexpError(f"--set {text}: expected path=value, for example training.epochs=1")
    try:
        parsed = tomllib.loads(f"value = {value}")
        # "1\nother = 2" would be valid TOML too.
        item = parsed["value"] if len(parsed) == 1 else value
    except tomllib.TOMLDecodeError:
        item = value
    return expand({path.strip(): _locate(item, Path.cwd())})


def expand(overrides: Mapping[str, Any]) -> Table:
    """Turn dotted keys into tables: ``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``."""
    table: Table = {}
    for path, value in overrides.items():
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
