"""Labels of rows that have several: a set of names, spelled once as a text."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from kexp.files.cells import UnreadCell, described, is_missing, label_of, plain_label

SEPARATOR = "|"
"""Stands between the names of a set, which are sorted; no name has it."""
NO_LABEL = "(none)"
"""The set without names; a missing label is the empty text."""

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
# NumPy and pandas write arrays without commas, which Python would read as one text.
_WITHOUT_COMMA = re.compile(r"""['"]\s+['"]""")


def set_of(names: Iterable[str]) -> str:
    """Return a set of names as the text of a label; raises ``ValueError`` for what is no name."""
    found = sorted(set(names))
    for name in found:
        if SEPARATOR in name:
            remedy = "which stands between names; rename it with label_names, or in the data"
            raise ValueError(f'the name "{name}" holds "{SEPARATOR}", {remedy}')
        if name == NO_LABEL or not name:
            what = f'"{NO_LABEL}", which means a row without labels' if name else "an empty name"
            raise ValueError(f"found {what}; give it another name, or an empty list")
    return SEPARATOR.join(found) if found else NO_LABEL


@lru_cache(100_000)
def names_of(label: str) -> tuple[str, ...]:
    """Return the names in a label, sorted; none for a missing one either."""
    return () if label in ("", NO_LABEL) else tuple(label.split(SEPARATOR))


def names_in(value: Any) -> list[str] | None:
    """Return the names in a cell: of a list, a list written as text, a label as ``set_of`` spells it, or one name.

    None for a missing label. Raises ``ValueError`` for anything else, with what it is.
    """
    if isinstance(value, str):
        return _names_in_text(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", None):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_name(item) for item in value]
    if is_missing(value):
        return None
    return [_name(value)]


def _names_in_text(text: str) -> list[str] | None:
    held = _held(text)
    if held is not None:
        return [_name(item) for item in held]
    label = plain_label(text)
    if label == "":
        return None
    if label == NO_LABEL:
        return []
    names = [plain_label(part) for part in label.split(SEPARATOR)]
    if not all(names):
        raise ValueError(f'found an empty name in "{label[:40]}"; remove a "{SEPARATOR}"')
    return names


def is_list_text(text: str) -> bool:
    """Return whether a text writes a list in brackets, well or not."""
    written = text.strip()
    return written.startswith("[") and written.endswith("]")


@lru_cache(10_000)
def _held(text: str) -> tuple[Any, ...] | None:
    """Return the items of a list that is written as text in JSON or Python; None for a text that is no list."""
    written = text.strip()
    if not written or _BRACKETS.get(written[0]) != written[-1] or written == NO_LABEL:
        return None
    remedy = 'write it as JSON, for example ["a", "b"]'
    try:
        held = json.loads(written)
    except (ValueError, RecursionError):
        if _WITHOUT_COMMA.search(written):
            raise ValueError(f"found {written[:40]}, a list without commas; {remedy}") from None
        try:
            held = ast.literal_eval(written)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            if written[0] != "[":
                return None
            raise ValueError(f"found {written[:40]}, which is no list of JSON or Python; {remedy}") from None
    if isinstance(held, list | tuple | set):
        return tuple(held)
    if isinstance(held, dict):
        raise ValueError(f"found {described(held)}, expected a list of names")
    return None


def _name(item: Any) -> str:
    if isinstance(item, list | tuple | set | dict | bytes | UnreadCell) or is_missing(item):
        raise ValueError(f"found {described(item)} as a label of several, expected a name or a number")
    if isinstance(item, str):
        return plain_label(item)
    return label_of(item)
