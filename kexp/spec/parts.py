"""The sections of a spec with the sections nested in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kexp.options import Section


def sections_in(place: str, value: Any) -> Iterator[tuple[str, Section]]:
    """Yield a section and every section nested in it, with its dotted path."""
    if isinstance(value, Section):
        yield place, value
        for name in type(value).model_fields:
            yield from sections_in(f"{place}.{name}", getattr(value, name))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from sections_in(f"{place}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from sections_in(f"{place}.{key}", item)
