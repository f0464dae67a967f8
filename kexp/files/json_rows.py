"""JSON: an object per line, or an array of objects in one file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kexp.errors import DataError
from kexp.files.first_bytes import KEYS, Remedies
from kexp.files.text import read_text
from kexp.names import plain_name

Row = dict[str, Any]


def json_objects(path: Path, lines: Iterable[str], remedies: Remedies = KEYS) -> Iterator[Row]:
    """Yield the object of every line that is not empty; raises ``DataError`` with the line of anything else."""
    for number, line in enumerate(lines, start=1):
        # Files that were joined have a byte order mark in the middle.
        stripped = line.lstrip("\ufeff").strip()
        if not stripped:
            continue
        place = f"{path}: line {number}"
        try:
            row = _parsed(stripped, place)
        except json.JSONDecodeError as error:
            remedy = _line_remedy(stripped, remedies) or (_no_json(stripped, remedies) if number == 1 else "")
            raise DataError(f"{place}, column {error.colno}: not valid JSON: {error.msg}{remedy}") from None
        if not isinstance(row, dict):
            remedy = _line_remedy(stripped, remedies)
            raise DataError(f"{place}: expected an object, found {stripped[:40]}{remedy}")
        yield _named(row, place, escaped="\\u" in line)


def _line_remedy(line: str, remedies: Remedies) -> str:
    """Return what helps if the line belongs to an array or object of several lines, or has a comma at its end."""
    if line in ("{", "[") or line.startswith("[{"):
        return f"; for an array of objects {remedies.format.format('json')}"
    return "; remove the comma at the end of the line" if line.endswith("},") else ""


def _no_json(text: str, remedies: Remedies) -> str:
    """Return what helps if a text is not the beginning of JSON."""
    return "" if text.lstrip()[:1] in ("[", "{") else f"; if the file is CSV, {remedies.format.format('csv')}"


def _parsed(text: str, place: str) -> Any:
    """Parse JSON; refuse an object with a key that stands in it twice, of which Python takes the last."""

    def named(pairs: list[tuple[str, Any]]) -> Row:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f'{place}: the key "{twice}" stands twice in one object; remove one of them')
        return row

    return json.loads(text, object_pairs_hook=named)


def json_array(path: Path, encoding: str = "utf-8-sig", remedies: Remedies = KEYS) -> list[Row]:
    """Read an array of objects, or the only one in an object; a file of an object per line is read as such.

    The whole file is held in memory.
    """
    text = read_text(path, encoding, remedies)
    try:
        found = _parsed(text, str(path))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip()[0] == "{":
            return list(json_objects(path, text.split("\n"), remedies))
        finding = f"line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}"
        raise DataError(f"{path}: {finding}{_no_json(text, remedies)}") from None
    if isinstance(found, dict):
        found = _only_array(path, found)
    if not isinstance(found, list):
        raise DataError(f"{path}: expected an array of objects, found {json.dumps(found, ensure_ascii=False)[:40]}")
    if not found:
        raise DataError(f"{path}: the file is empty")
    for number, row in enumerate(found, start=1):
        if not isinstance(row, dict):
            shown = json.dumps(row, ensure_ascii=False)[:40]
            raise DataError(f"{path}: item {number}: expected an object, found {shown}")
    escaped = "\\u" in text
    return [_named(row, f"{path}: item {number}", escaped=escaped) for number, row in enumerate(found, start=1)]


def _only_array(path: Path, found: Row) -> list[Any]:
    arrays = dict(_arrays("", found))
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    several = f"it has arrays of objects under {', '.join(arrays)}" if arrays else f"it has {', '.join(found)[:200]}"
    raise DataError(f"{path}: expected an array of objects, found an object: {several}; write one array into a file")


def _arrays(place: str, found: Row) -> Iterator[tuple[str, list[Any]]]:
    """Yield the arrays of objects in an object and in those inside of it, each with its dotted path."""
    for key, value in found.items():
        path = f"{place}.{key}" if place else key
        if isinstance(value, dict):
            yield from _arrays(path, value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield path, value


def _named(row: Row, place: str, *, escaped: bool) -> Row:
    """Return a row under plain names; refuse half a surrogate pair, which only an escape can write."""
    if escaped and not _encodable(row):
        raise DataError(f"{place}: half a surrogate pair (\\ud800 to \\udfff) is no character; remove it")
    named = {plain_name(name): value for name, value in row.items()}
    if len(named) < len(row):
        raise DataError(f"{place}: two keys have one name: {', '.join(row)}")
    return named


def _encodable(row: Row) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
