"""What a data card reports of the rows: a sentence with the numbers, rows to look at, and what to do about them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

EXAMPLES = 5
"""Most rows that a finding shows."""


@dataclass(frozen=True, slots=True)
class Example:
    """A row to look at. ``row`` is its number in its file, from 1, as kexp's error messages count rows.

    ``split`` is the split that the row is read from. ``note`` says what is to be seen in it.
    """

    split: str
    row: int
    text: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A property of some rows that a model would suffer from, or that measures would.

    ``name`` identifies the kind of finding, such as ``near-duplicates``; ``title`` is a sentence with the numbers:
    ``count`` of ``rows`` rows have it. ``remedy`` is the line of a spec that deals with it, or what kexp does with such
    rows already (then ``handled`` is true); "" where neither is known. ``named`` has every row that is meant, as split
    and number, where the order says which to look at first.
    """

    name: str
    title: str
    count: int
    rows: int
    examples: tuple[Example, ...]
    remedy: str
    handled: bool = False
    named: tuple[tuple[str, int], ...] = ()

    @property
    def share(self) -> float:
        """Share of the rows that have it; 0 of no rows."""
        return self.count / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON holds it."""
        return {**asdict(self), "share": self.share, "examples": [asdict(example) for example in self.examples]}
