"""pydantic's errors in the words of a spec: where, what was found, what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic_core import ErrorDetails

from kexp.contracts import Parameter
from kexp.errors import Problem, did_you_mean
from kexp.options import Section
from kexp.spec.sections import Spec


def translate(errors: Iterable[ErrorDetails], table: Mapping[str, Any]) -> list[Problem]:
    """Say each error in a spec's terms; the branches of a union share a place and become one problem."""
    places: dict[str, dict[str, str]] = {}
    for error in errors:
        path = _path(error, table)
        places.setdefault(path, {})[_message(error, path)] = error.get("ctx", {}).get("owner", "")
    # Of a union whose tables were tried too, what is wrong inside the table says more.
    inner = [path for path in places if not any(other.startswith(f"{path}.") for other in places)]
    return [Problem(path, " or ".join(places[path]), owner=next(iter(places[path].values()))) for path in inner]


def _path(error: ErrorDetails, table: Any) -> str:
    """Return the dotted path of an error, without the tags that pydantic adds for the branches of a union."""
    path, last = "", len(error["loc"]) - 1
    for place, key in enumerate(error["loc"]):
        if isinstance(key, int) and isinstance(table, Sequence) and key < len(table):
            path, table = f"{path}[{key}]", table[key]
        elif isinstance(table, Mapping) and (key in table or error["type"] == "missing"):
            path, table = f"{path}.{key}" if path else str(key), table.get(key)
        elif isinstance(table, str) and error["type"] == "missing" and place == last:
            # A component that is named by a word alone lacks an option.
            path = f"{path}.{key}"
    return path


def _message(error: ErrorDetails, path: str) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        section, _, key = path.rpartition(".")
        known = _section_keys(section)
        return f"unknown key{f' of [{section}]' if section else ''}; {did_you_mean(key, known)}"
    if kind == "refused":
        return message
    if kind == "missing":
        return "is required"
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be"):
        found = json.dumps(error["input"], ensure_ascii=False, default=str)
        return f"expected{message.removeprefix('Input should be')}, found {found}"
    return message


def _section_keys(section: str) -> Iterable[str]:
    if not section:
        return (*Spec.model_fields, "variants", "extends")
    if section.startswith("search.space."):
        return Parameter.model_fields
    annotation = Spec.model_fields[section].annotation
    for held in (annotation, *get_args(annotation)):
        if isinstance(held, type) and issubclass(held, Section):
            return held.model_fields
    return ()
