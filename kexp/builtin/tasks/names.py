"""What tasks share whose labels have names: their order, and names that are probably not meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from kexp.data.reading import MISSING_WORDS
from kexp.names import alike, with_code_points


def in_order(names: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
    """Return names as ``given`` orders them, else numbers by value and words by alphabet."""
    if given is not None:
        return tuple(name for name in given if name in names)
    numeric = all(name.removeprefix("-").isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numeric else 0, name)))


def warnings_of_likeness(names: Collection[str]) -> Iterator[str]:
    """Yield the names that a person would take for one."""
    for group in alike(names):
        shown = " and ".join(map(with_code_points, group))
        yield f"labels that look alike: {shown}; if they are one, give both one spelling in the data"


def warnings_of_missing_words(names: Collection[str], what: str) -> Iterator[str]:
    """Yield the names that other tools write for a missing label; ``what`` each of them is otherwise."""
    if missing := sorted(name for name in names if name.lower() in MISSING_WORDS):
        listed = ", ".join(f'"{name}"' for name in missing)
        remedy = f"each is a {what} of its own; dataset.leave_out leaves such rows out"
        yield f"labels that other tools write for a missing one: {listed}; {remedy}"
