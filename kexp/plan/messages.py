"""pydantic's errors in plain words: the place in the spec, what was expected, what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from kexp.catalog import Catalog
from kexp.errors import Problem, did_you_mean
from kexp.options import UNKNOWN_OPTION, keys_at
from kexp.plan.known_keys import KnownKeys
from kexp.plan.other_tools import metric_hint
from kexp.redaction import without_passwords
from kexp.spec.sections import Spec
from kexp.validation_messages import describe_validation_error

MOST_PROBLEMS = 100
"""Problems that are told one by one: looking for what each may have meant takes time."""

BESIDE_SECTIONS = ("variants", "extends")
"""Keys of a spec file that are no fields of the spec."""


def translate(errors: Iterable[ErrorDetails], table: Mapping[str, Any], catalog: Catalog) -> list[Problem]:
    """Return a problem for each place with errors: the branches of a union share a place."""
    found, places = _innermost(list(errors)), dict[str, dict[str, str]]()
    known = KnownKeys.of(table, catalog)
    for error in found[:MOST_PROBLEMS]:
        path = _path(error, table)
        places.setdefault(path, {})[_message(error, path, known)] = error.get("ctx", {}).get("owner", "")
    # An error inside a table or list says more than one about the whole of it.
    inner = [path for path in places if not any(other.startswith((f"{path}.", f"{path}[")) for other in places)]
    problems = [
        Problem(path, without_passwords(_joined(list(places[path]))), owner=next(iter(places[path].values())))
        for path in inner
    ]
    if len(found) > MOST_PROBLEMS:
        problems.append(Problem("", f"{len(found) - MOST_PROBLEMS:,} further mistakes are not listed"))
    return problems


def _innermost(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out errors of a list whose entries have errors: a list that lacks those is too short for pydantic."""
    outer = {error["loc"][:end] for error in errors for end in range(1, len(error["loc"]))}
    return [error for error in errors if error["loc"] not in outer]


def _joined(messages: Sequence[str]) -> str:
    """Return messages as one: ``expected a table, a list or a string, found 3``."""
    expected = [re.fullmatch(r"expected (.*), found (.*)", message, re.DOTALL) for message in messages]
    found = {match[2] for match in expected if match}
    if len(messages) == 1 or len(found) > 1 or not all(expected):
        return " or ".join(messages)
    *others, last = (match[1] for match in expected if match)
    words = ", ".join(other.replace(" or ", ", ") for other in others)
    return f"expected {words}{', ' if ' or ' in last else ' or '}{last}, found {found.pop()}"


def _path(error: ErrorDetails, table: Any) -> str:
    """Return the dotted path of an error, without the tags that pydantic adds for the branches of a union."""
    path, last = "", len(error["loc"]) - 1
    for place, key in enumerate(error["loc"]):
        if isinstance(key, int) and isinstance(table, list) and (key < len(table) or error["type"] == "missing"):
            path, table = f"{path}[{key}]", table[key] if key < len(table) else None
        elif isinstance(table, Mapping) and (key in table or error["type"] == "missing"):
            path, table = f"{path}.{key}" if path else str(key), table.get(key)
        elif isinstance(table, str) and error["type"] == "missing" and place == last:
            # A component that is named by a word alone lacks an option.
            path = f"{path}.{key}"
    return path


def _message(error: ErrorDetails, path: str, known: KnownKeys) -> str:
    kind = error["type"]
    section, _, key = path.rpartition(".")
    if kind == "extra_forbidden":
        return _unknown_key(key, section, keys_at(Spec, error["loc"]), known)
    if kind == UNKNOWN_OPTION:
        context = error["ctx"]
        return f"{context['finding']}; {known.component_hint(key, section, context['keys'], context['component'].kind)}"
    if kind == "missing" and path == "search.space":
        return 'is required, for example "training.epochs" = {low = 1, high = 5}'
    message = describe_validation_error(error)
    metric = re.match(r'unknown metric "(.*)"; ', message)
    return f"{metric[0]}{hint}" if metric and (hint := metric_hint(metric[1])) else message


def _unknown_key(key: str, section: str, own: Sequence[str], known: KnownKeys) -> str:
    if not section:
        return f"unknown key; {known.hint(key, section, (*own, *BESIDE_SECTIONS))}"
    if section.startswith("search."):
        # A parameter beside the space, whose name has dots.
        if (place := f"{section}.{key}".removeprefix("search.")).partition(".")[0] in Spec.model_fields:
            return f'unknown key of [search]; parameters stand in [search.space]: "{place}" = ...'
        return f"unknown key of [{section}]; {did_you_mean(key, own)}"
    hint = f"use {key}" if section == "search" and key in Spec.model_fields else known.hint(key, section, own)
    if section == "search" and (other := re.fullmatch(r"use (?!search\.)([\w.]+)", hint)):
        hint = f'parameters stand in [search.space]: "{other[1]}" = ...'
    return f"unknown key of [{section}]; {hint}"
