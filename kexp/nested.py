"""Specs as plain nested tables: merging layers, differences between them, and values at dotted paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Table = dict[str, Any]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Lay ``over`` on ``base``, table by table.

    A table that names another component with ``use`` replaces the one below, whose options would mean nothing.
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


def empty_over_full(base: Any, over: Any, path: Sequence[str] = ()) -> Iterator[str]:
    """Yield the dotted paths of empty tables, other than sections, that ``merge`` lays over tables that have keys."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return
    if base and not over and len(path) > 1:
        yield ".".join(path)
    elif over.get("use", base.get("use")) == base.get("use"):
        for key in (key for key in over if key in base):
            yield from empty_over_full(base[key], over[key], (*path, key))


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


def find(table: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path or None; a component that is written as its name has a ``use`` too."""
    value: Any = table
    for key in path.split("."):
        if key == "use" and isinstance(value, str):
            return value
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def put(table: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the table with a value at a dotted path; another component replaces the one there.

    If it is the same component, options that the value does not set are kept.
    """
    if isinstance(value, str) and isinstance(find(table, path), Mapping):
        value = {"use": value}
    for key in reversed(path.split(".")):
        value = {key: value}
    return merge(table, value)
