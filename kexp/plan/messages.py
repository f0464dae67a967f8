"""pydantic's errors in plain words: the place in the spec, what was expected, what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic_core import ErrorDetails

from kexp.contracts import Parameter
from kexp.errors import Problem, did_you_mean
from kexp.options import Section
from kexp.plan.other_tools import key_hint, metric_hint, option_hint
from kexp.redaction import without_passwords
from kexp.spec.sections import Spec

PLAIN_WORDS = (
    (r"a valid integer\b.*", "a whole number"),
    (r"a valid number\b.*", "a number"),
    (r"a valid string\b.*", "a string"),
    (r"a valid boolean\b.*", "true or false"),
    (r"a valid (tuple|list)\b.*", "a list"),
    (r"a valid dictionary\b.*", "a table"),
    (r"greater than or equal to (.*)", r"a number of at least \1"),
    (r"less than or equal to (.*)", r"a number of at most \1"),
    (r"((?:greater|less) than .*)", r"a number \1"),
)
"""What pydantic says that an input should be, and how a spec calls it."""


MOST_PROBLEMS = 100
"""Problems that are told one by one: looking for what each may have meant takes time."""


def translate(errors: Iterable[ErrorDetails], table: Mapping[str, Any]) -> list[Problem]:
    """Return a problem for each place with errors: the branches of a union share a place."""
    found, places = list(errors), dict[str, dict[str, str]]()
    for error in found[:MOST_PROBLEMS]:
        path = _path(error, table)
        places.setdefault(path, {})[_message(error, path)] = error.get("ctx", {}).get("owner", "")
    # An error inside a table or list says more than one about the whole of it.
    inner = [path for path in places if not any(other.startswith((f"{path}.", f"{path}[")) for other in places)]
    problems = [
        Problem(path, without_passwords(_joined(list(places[path]))), owner=next(iter(places[path].values())))
        for path in inner
    ]
    if len(found) > MOST_PROBLEMS:
        problems.append(Problem("", f"{len(found) - MOST_PROBLEMS:,} further mistakes are not listed"))
    return problems


def _joined(messages: Sequence[str]) -> str:
    """Return messages as one: ``expected a table or a string, found 3``."""
    expected = [re.fullmatch(r"expected (.*), found (.*)", message, re.DOTALL) for message in messages]
    found = {match[2] for match in expected if match}
    if len(found) == 1 and all(expected):
        return f"expected {' or '.join(match[1] for match in expected if match)}, found {found.pop()}"
    return " or ".join(messages)


def _path(error: ErrorDetails, table: Any) -> str:
    """Return the dotted path of an error, without the tags that pydantic adds for the branches of a union."""
    path, last = "", len(error["loc"]) - 1
    for place, key in enumerate(error["loc"]):
        if isinstance(key, int) and isinstance(table, Sequence) and (key < len(table) or error["type"] == "missing"):
            path, table = f"{path}[{key}]", table[key] if key < len(table) else None
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
        if path.startswith("search.") and path.split(".")[1] in Spec.model_fields:
            return f'unknown key of [search]; parameters stand in [search.space]: "{path[7:]}" = ...'
        keys = list(_section_keys(section))
        hint = did_you_mean(key, keys)
        if not section.startswith("search") and (familiar := key_hint(key, section, keys)):
            hint = familiar
        return f"unknown key{f' of [{section}]' if section else ''}; {hint}"
    if kind == "refused":
        return _with_familiar_word(message, path)
    if kind == "missing":
        return (
            'is required, for example "training.epochs" = {low = 1, high = 5}'
            if path == "search.space"
            else "is required"
        )
    message = message.removeprefix("Value error, ")
    found = json.dumps(error["input"], ensure_ascii=False, default=str)
    found = found if len(found) <= 200 else f"{found[:200]}..."
    if message.startswith("Input should be "):
        expected = message.removeprefix("Input should be ")
        for pattern, words in PLAIN_WORDS:
            expected = re.sub(f"^{pattern}", words, expected)
        return f"expected {expected}, found {found}"
    if count := re.match(r"\w+ should have (at least|at most) (\d+) items? after validation, not (\d+)", message):
        return f"expected {count[1]} {count[2]} {'entry' if count[2] == '1' else 'entries'}, found {count[3]}"
    if mismatch := re.match(r"String should match pattern '(.*)'", message):
        return f"expected a string that matches {mismatch[1]}, found {found}"
    return _with_familiar_word(message, path)


def _with_familiar_word(message: str, path: str) -> str:
    """Let a message about an unknown option or metric name what people call so elsewhere."""
    finding, _, _ = message.partition("; ")
    hint = ""
    if finding.startswith("unknown option of "):
        section, _, key = path.rpartition(".")
        familiar = option_hint(key)
        # A near option of the component comes before a key of another section.
        hint = familiar if f"use {section}." in familiar or "did you mean" not in message else ""
    elif metric := re.match(r'unknown metric "(.*)"', finding):
        hint = metric_hint(metric[1])
    return f"{finding}; {hint}" if hint else message


def _section_keys(section: str) -> Iterable[str]:
    if not section:
        return (*Spec.model_fields, "variants", "extends")
    if section.startswith("search.space."):
        return Parameter.model_fields
    field = Spec.model_fields.get(section)
    annotation = field.annotation if field else None
    for held in (annotation, *get_args(annotation)):
        if isinstance(held, type) and issubclass(held, Section):
            return held.model_fields
    return ()
