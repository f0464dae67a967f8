"""Resolves what a search would try: both ends of every range and every choice, alone and in pairs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from kexp.contracts import choice_label
from kexp.errors import Problem
from kexp.spec.space import CONTEXTS, Space

Check = Callable[[Mapping[str, Any]], Sequence[Problem]]
"""Returns what is wrong with a whole experiment as a table."""


def check_space_ends(space: Space, check: Check) -> Iterator[Problem]:
    """Yield every end and choice that does not resolve, and pairs that do not where each alone does.

    A parameter that depends on others is looked at wherever they let it be. Three that only together make no spec
    fail the trial that meets them.
    """
    wrong: set[str] = set()
    for path in space.parameters:
        for problem in _check_one(space, path, check):
            wrong.add(path)
            yield problem
    for pair in itertools.combinations([path for path in space.parameters if path not in wrong], 2):
        yield from _check_pair(space, pair, check)


def _try(space: Space, values: Mapping[str, Any], check: Check) -> Sequence[Problem]:
    """Return what is wrong with some values in the spec as it is, and in a trial with values for the others too.

    Either may do: the spec may state what no trial has, and other parameters' first values may be the wrong ones.
    """
    problems = check(space.apply(values))
    return problems if problems and check(space.apply(space.complete(values))) else ()


def _check_one(space: Space, path: str, check: Check) -> Iterator[Problem]:
    contexts = list(itertools.islice(space.contexts(path), CONTEXTS))
    if not contexts:
        yield Problem(f"search.space.{path}.when", "never holds", "name values that the spec or the search can have")
    told: set[str] = set()
    for context in contexts:
        for value in space.parameters[path].ends:
            for problem in _try(space, {**context, path: value}, check):
                if str(problem) not in told:
                    told.add(str(problem))
                    yield Problem(f"search.space.{path}", f"{choice_label(value)}: {problem}")


def _check_pair(space: Space, pair: tuple[str, str], check: Check) -> Iterator[Problem]:
    """Yield the first combination of two parameters' values that does not resolve."""
    first, second = pair
    for context in itertools.islice(space.contexts(*pair), 1):
        for values in itertools.product(space.parameters[first].ends, space.parameters[second].ends):
            chosen = {**context, **dict(zip(pair, values, strict=True))}
            # A condition may keep the two apart.
            if not all(space.active(path, space.apply(chosen)) for path in pair):
                continue
            if problems := _try(space, chosen, check):
                message = f"{choice_label(values[1])} with {first} = {choice_label(values[0])}: {problems[0]}"
                yield Problem(f"search.space.{second}", message, 'narrow it, or state where with "when"')
                return
