"""A list of one entry may be written without brackets where nothing else can be meant: ``metrics = "accuracy"``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Secret

LISTS = (tuple, list, set, frozenset)
Json = dict[str, Any]


class OneOrSeveral:
    """Marks a list of numbers of which one may stand alone: elsewhere a number may be meant for all entries."""


def as_list(value: Any, field: Any) -> Any:
    """Return a value of a field of pydantic's as a list where it is the only entry of one; any other as it is.

    A string is one entry of a list of strings, paths or components, and a table that names a component one of a list of
    components. Lists in a table, such as words by label, are treated alike.
    """
    return _as_list(value, field.annotation, numbers=_marked(field))


def lone_entries(schema: Json, model: type[BaseModel]) -> None:
    """Let the JSON Schema of a model allow what ``as_list`` accepts: beside each such list an entry of it."""
    for name, field in model.model_fields.items():
        if name in schema.get("properties", {}):
            _allow(schema["properties"][name], field.annotation, numbers=_marked(field))


def _marked(field: Any) -> bool:
    return any(isinstance(one, OneOrSeveral) for one in field.metadata)


def _as_list(value: Any, annotation: Any, *, numbers: bool) -> Any:
    if not isinstance(value, str | int | float | Mapping) or not get_args(annotation):
        return value
    entry, in_table = _entry(annotation), _in_table(annotation)
    if entry is not None and _stands_alone(value, entry, numbers=numbers):
        return (value,)
    if in_table is not None and isinstance(value, Mapping):
        return {key: _as_list(item, in_table, numbers=numbers) for key, item in value.items()}
    return value


def _stands_alone(value: Any, entry: Any, *, numbers: bool) -> bool:
    if isinstance(value, Mapping):
        return _is_component(entry) and "use" in value
    return numbers or (isinstance(value, str) and _is_text(entry))


def _alternatives(annotation: Any) -> list[Any]:
    """Return what a field may hold besides nothing."""
    plain = _plain(annotation)
    held = get_args(plain) if get_origin(plain) in (Union, UnionType) else (plain,)
    return [_plain(one) for one in held if one is not NoneType]


def _entry(annotation: Any) -> Any:
    """Return the type of the entries of a list of any length, if the field holds nothing else but maybe a table."""
    held = _alternatives(annotation)
    lists = [get_args(one) for one in held if get_origin(one) in LISTS]
    if len(lists) != 1 or any(get_origin(one) not in (*LISTS, dict) for one in held):
        return None
    entry, *rest = lists[0]
    return entry if rest in ([], [Ellipsis]) else None


def _in_table(annotation: Any) -> Any:
    """Return the type of the values of the table that a field may hold, if there is one."""
    tables = [get_args(one)[1] for one in _alternatives(annotation) if get_origin(one) is dict]
    return tables[0] if len(tables) == 1 else None


def _is_text(entry: Any) -> bool:
    plain = _plain(entry)
    if get_origin(plain) is Literal:
        return all(isinstance(choice, str) for choice in get_args(plain))
    return _is_component(entry) or (isinstance(plain, type) and issubclass(plain, str | Path | Secret))


def _is_component(entry: Any) -> bool:
    return hasattr(_plain(entry), "kind")


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _allow(schema: Json, annotation: Any, *, numbers: bool) -> None:
    entry, in_table = _entry(annotation), _in_table(annotation)
    for branch in list(schema.get("anyOf", [schema])):
        if isinstance(values := branch.get("additionalProperties"), dict) and in_table is not None:
            _allow(values, in_table, numbers=numbers)
        elif branch.get("type") == "array" and entry is not None and (numbers or _is_text(entry)):
            whole = {key: branch.pop(key) for key in [*branch] if key not in ABOUT_THE_KEY}
            branch["anyOf"] = [whole["items"], whole]


ABOUT_THE_KEY = ("title", "description", "default", "deprecated", "examples")
"""What a JSON Schema says of a key, whatever its value."""
