"""Checks what a search would try before it begins: both ends of every range, and every choice, as whole specs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kexp.contracts import choice_label
from kexp.errors import Problem
from kexp.spec.space import Space

MAX_CONTEXTS = 64
"""Most combinations of values of other parameters in which an end or choice is checked."""

Check = Callable[[Mapping[str, Any]], Sequence[Problem]]
"""Returns what is wrong with a whole experiment as a table."""


def check_space_ends(space: Space, check: Check) -> Iterator[Problem]:
    """Yield every end and choice that makes no valid spec.

    A parameter is checked with all values of those parameters on which it depends, by ``when`` or as an option of a
    component; with others it is not combined. Values that are wrong only together fail the trial that draws them.
    """
    for path in space.parameters:
        yield from _check_parameter(space, path, check)


def _check_parameter(space: Space, path: str, check: Check) -> Iterator[Problem]:
    contexts = list(itertools.islice(space.contexts(path), MAX_CONTEXTS))
    if not contexts:
        remedy = "give values that the spec or the search can have"
        yield Problem(f"search.space.{path}.when", "is never true", remedy)
    seen: set[str] = set()
    for context in contexts:
        for value in space.parameters[path].ends:
            for problem in _problems(space, {**context, path: value}, check):
                if str(problem) not in seen:
                    seen.add(str(problem))
                    yield Problem(f"search.space.{path}", f"{choice_label(value)}: {problem}")


def _problems(space: Space, values: Mapping[str, Any], check: Check) -> Sequence[Problem]:
    """Return what is wrong with some values both in the spec as it is, and in a trial with values for the others too.

    One of the two is enough: the spec may have a value that no trial has, and a trial's other values may be wrong ones.
    """
    problems = check(space.apply(values))
    return problems if problems and check(space.apply(space.complete(values))) else ()
