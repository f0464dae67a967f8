"""JSON: an object per line, or an array of objects in one file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kexp.errors import DataError
from kexp.files.first_bytes import KEYS, Remedies
from kexp.files.text import lines_of, read_text
from kexp.names import plain_name

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def read_jsonl(path: Path, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Read one JSON object per line; cells keep their types."""
    import pandas as pd

    rows = list(json_objects(path, lines_of(path, encoding, newline="\n")))
    if not rows:
        raise DataError(f"{path}: the file is empty")
    return pd.DataFrame(rows, dtype="object")


def json_objects(path: Path, lines: Iterable[str], remedies: Remedies = KEYS) -> Iterator[Row]:
    """Yield the object of every line that is not empty; raises ``DataError`` with the line of anything else."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip("\r\n"))
        except json.JSONDecodeError as error:
            finding = f"line {number}, column {error.colno}: not valid JSON: {error.msg}"
            remedy = f"; for an array of objects {remedies.format.format('json')}" if line.lstrip()[0] == "[" else ""
            raise DataError(f"{path}: {finding}{remedy}") from None
        place = f"{path}: line {number}"
        if not isinstance(row, dict):
            raise DataError(f"{place}: expected an object, found {line.strip()[:40]}")
        yield _named(row, place, escaped="\\u" in line)


def json_array(path: Path, encoding: str = "utf-8-sig") -> list[Row]:
    """Read an array of objects, or the only one in an object; a file of an object per line is read as such.

    The whole file is held in memory.
    """
    text = read_text(path, encoding)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip()[0] == "{":
            return list(json_objects(path, text.split("\n")))
        raise DataError(f"{path}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}") from None
    if isinstance(found, dict):
        found = _only_array(path, found)
    if not found:
        raise DataError(f"{path}: the file is empty")
    for number, row in enumerate(found, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: item {number}: expected an object, found {json.dumps(row)[:40]}")
    escaped = "\\u" in text
    return [_named(row, f"{path}: item {number}", escaped=escaped) for number, row in enumerate(found, start=1)]


def _only_array(path: Path, found: Row) -> list[Any]:
    arrays = [key for key, value in found.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(arrays) == 1:
        return list(found[arrays[0]])
    several = f"it has arrays of objects under {', '.join(arrays)}" if arrays else f"it has {', '.join(found)[:200]}"
    raise DataError(f"{path}: expected an array of objects, found an object: {several}; write one array into a file")


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
