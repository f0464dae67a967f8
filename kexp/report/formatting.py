"""Numbers and records as text for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def score(value: float | None) -> str:
    """Return a metric with four decimals; a dash if it is missing or not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4f}"


def duration(seconds: float | None) -> str:
    """Return a duration as text, with the unit that fits."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: float | None) -> str:
    """Return a number with thousands apart, and a decimal where it is small."""
    return "–" if value is None else f"{value:,.1f}" if value < 100 and value != int(value) else f"{value:,.0f}"


def size(number: float) -> str:
    """Return a number of bytes as text, with the unit that fits."""
    for unit in ("B", "kB", "MB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 9.95 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"


def plain(value: object) -> str:
    """Return a JSON value as text on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def is_table(value: object) -> bool:
    """Return whether a value is a mapping of flat mappings, which are shown as a table."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(row, dict) and row and not any(isinstance(cell, dict) for cell in row.values())
            for row in value.values()
        )
    )


def as_table(value: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the columns and the cells of every row, None where one is missing; transposed if wider than tall."""
    columns = list(dict.fromkeys(column for row in value.values() for column in row))
    if len(columns) > max(10, len(value)):
        return list(value), {column: [row.get(column) for row in value.values()] for column in columns}
    return columns, {name: [row.get(column) for column in columns] for name, row in value.items()}
