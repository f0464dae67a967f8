"""Spec files as plain tables: reading with places in errors, layering, dotted overrides, differences, writing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kexp.errors import KexpError, Problem, SpecError
from kexp.options import SpecText

Table = dict[str, Any]


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
    return merge(_read(base, (*children, path.resolve())), table)


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
    """Say how a word in Korean has to stand, where that is what the parser stumbled over; keys need quotes too."""
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
        nested: Any = expand(value) if isinstance(value, dict) else value
        for key in reversed(path.split(".")):
            nested = {key: nested}
        table = merge(table, nested)
    return join_paths(table)


PARAMETER_KEYS = {"low", "high", "log", "step", "choices", "when"}
"""What tells the table of a parameter of a search from one that leads to it."""


def join_paths(table: Table) -> Table:
    """Write the paths of a search's space as one key each, so that layers meet whether they are quoted or not."""
    search = table.get("search")
    if not isinstance(search, dict) or "space" not in search:
        return table
    return {**table, "search": {**search, "space": flat(search["space"], is_parameter)}}


def is_parameter(table: Table) -> bool:
    """Tell whether a table states a parameter of a search, or leads to some."""
    return bool(PARAMETER_KEYS & table.keys()) or not any(isinstance(value, dict) for value in table.values())


def flat(value: Any, is_leaf: Callable[[Table], bool] = lambda table: not table) -> Any:
    """Join the keys of nested tables with dots, down to plain values and to tables that are leaves.

    So ``training.epochs = {low = 1, high = 5}`` says the same with and without quotes round the path.
    """
    if not isinstance(value, dict):
        return value
    joined: Table = {}
    for key, item in value.items():
        if isinstance(item, dict) and not is_leaf(item):
            joined = merge(joined, {f"{key}.{name}": below for name, below in flat(item, is_leaf).items()})
        else:
            joined = merge(joined, {key: item})
    return joined


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Lay ``over`` on ``base``, table by table.

    A table that names another component with ``use`` starts anew: the options of the one before would mean nothing.
    """
    merged: Table = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, str) and isinstance(value, dict):
            below = {"use": below}
        if (
            isinstance(below, Mapping)
            and isinstance(value, dict)
            and value.get("use", below.get("use")) == below.get("use")
        ):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def difference(base: Mapping[str, Any], other: Mapping[str, Any]) -> Table:
    """Return the least table that makes ``base`` into ``other`` when merged over it; nothing may have been removed."""
    result: Table = {}
    for key, value in other.items():
        below = base.get(key)
        if value == below:
            continue
        result[key] = difference(below or {}, value) if _same_component(below, value) else value
    return result


def shared(base: Mapping[str, Any], other: Mapping[str, Any]) -> Table:
    """Return ``base`` without the keys that ``other`` lacks, so that a ``difference`` from it makes either."""
    kept = {key: (value, other[key]) for key, value in base.items() if key in other}
    return {
        key: shared(value, beside) if _same_component(value, beside) else value for key, (value, beside) in kept.items()
    }


def _same_component(value: Any, other: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(other, Mapping) and value.get("use") == other.get("use")


def dumps(table: Mapping[str, Any]) -> str:
    """Write a table as TOML."""
    import tomli_w

    return tomli_w.dumps(table)
