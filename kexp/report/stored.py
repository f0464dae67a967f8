"""Reading the files of run folders and studies; their shape is checked, since they may be damaged or a stranger's."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from kexp.errors import KexpError
from kexp.evaluate.statistics import FEWEST
from kexp.redaction import hidden
from kexp.report.run_folder import finite, read_json, write_json
from kexp.report.sentences import sentence
from kexp.report.shapes import (
    CHECKED_EVENTS,
    Environment,
    Event,
    OtherEvent,
    Result,
    SpecTable,
    StudyFile,
    Summary,
    WordsFile,
)
from kexp.validation_messages import describe_validation_error

CHECKSUM = "checksum"
"""Key of ``result.json`` with a digest of all others: a changed digit would be a result like any other."""


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write ``result.json`` with its checksum, which is that of what is written: without secrets."""
    result = hidden(finite(result))
    write_json(path, {**result, CHECKSUM: _checksum(result)})


def read_result(path: Path) -> dict[str, Any]:
    """Read ``result.json``; raises ``KexpError`` if it cannot be read, has another shape or was changed."""
    found = read_json(path)
    result = _checked(path, found, Result)
    stated = result.pop(CHECKSUM, None)
    # The results of earlier versions have none. Checking has made floats of some integers.
    if stated not in (None, _checksum({key: value for key, value in found.items() if key != CHECKSUM})):
        raise KexpError(f"{path} is damaged: its contents do not match its checksum")
    return result


def _checksum(result: Mapping[str, Any]) -> str:
    content = json.dumps(result, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_summary(path: Path) -> dict[str, Any]:
    """Read ``summary.json``; raises ``KexpError`` if it cannot be read or has another shape.

    Intervals over fewer than five units, which earlier versions took from Student's t, are left out.
    """
    summary = _checked(path, read_json(path), Summary)
    for variant in summary["variants"].values():
        splits = [*variant.get("metrics", {}).values(), variant.get("out_of_fold", {}).get("metrics", {})]
        for mean in (mean for split in splits for mean in split.values()):
            if "interval" not in mean and mean["n"] < FEWEST:
                mean |= {"low": None, "high": None}
    for test in summary.get("tests", []):
        if test.get("low") is not None and "p_holm" in test and 1 < test.get("n", 1) < FEWEST:
            test |= {"low": None, "high": None}
            test["sentence"] = sentence(test)
    return summary


def read_words(path: Path) -> dict[str, Any]:
    """Read ``words.json``; raises ``KexpError`` if it cannot be read or has another shape."""
    return _checked(path, read_json(path), WordsFile)


def read_study(path: Path) -> dict[str, Any]:
    """Read ``study.json``; raises ``KexpError`` if it cannot be read or has another shape."""
    return _checked(path, read_json(path), StudyFile)


def read_environment(path: Path) -> dict[str, Any]:
    """Read ``environment.json``; raises ``KexpError`` if it cannot be read or has another shape."""
    return _checked(path, read_json(path), Environment)


def read_spec(path: Path) -> dict[str, Any]:
    """Read the ``spec.toml`` of a run folder; raises ``KexpError`` if it cannot be read or a section is no table."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise KexpError(f"{path}: cannot be read: {error}") from None
    return check_spec(path, table)


def check_spec(place: object, table: Any) -> dict[str, Any]:
    """Return a resolved spec; raises ``KexpError`` that names the place if a section is no table."""
    return _checked(place, table, SpecTable)


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of ``metrics.jsonl``; none if there is no file.

    The last line may be incomplete, since the run may be writing it; it is left out. Raises ``KexpError`` that names
    the line for any other damage.
    """
    return parse_events(path, path.read_bytes() if path.is_file() else b"")


def parse_events(path: Path, content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events of whole lines of ``metrics.jsonl``, as ``read_events`` does; the first line counts as 1."""
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        place = f"{path}:{number}"
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise KexpError(f"{place}: cannot be read: {error}") from None
        kind = event.get("event") if isinstance(event, dict) else None
        yield _checked(place, event, Event if kind in CHECKED_EVENTS else OtherEvent)


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    if shape is Event:
        shape = Annotated[shape, Field(discriminator="event")]
    return TypeAdapter(shape)


def _checked(place: object, value: Any, shape: Any) -> dict[str, Any]:
    try:
        checked: dict[str, Any] = _adapter(shape).validate_python(value)
    except ValidationError as error:
        first: Mapping[str, Any] = error.errors(include_url=False)[0]
        where = _path(first["loc"], value, missing=first["type"] == "missing") or "the file"
        raise KexpError(
            f"{place}: {where} is not as kexp writes it: {describe_validation_error(first)}; restore the file"
        ) from None
    return checked


def _path(places: Sequence[str | int], value: Any, *, missing: bool) -> str:
    """Return the dotted path of an error, without the tags that pydantic adds for the branches of a union."""
    keys = []
    for number, key in enumerate(places):
        if isinstance(value, list | dict) and key in (range(len(value)) if isinstance(value, list) else value):
            value = value[key]  # type: ignore[index]
        elif not (missing and number == len(places) - 1):
            continue
        keys.append(str(key))
    return ".".join(keys)
