"""What a search may change: parameters of a spec, each a range or choices, some of them under conditions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from kexp import nested
from kexp.contracts import Parameter
from kexp.spec import toml

Number = int | Annotated[float, Field(allow_inf_nan=False)]
Table = Mapping[str, Any]

Parameters = Annotated[dict[str, Parameter], BeforeValidator(lambda value: nested.flat(value, toml.is_parameter))]
"""Parameters by the dotted path that they change."""


@dataclass(frozen=True, slots=True)
class Space:
    """The parameters in an order in which each comes after those on which it depends.

    ``base`` is the whole experiment as a table with every default written out.
    """

    base: Table
    parameters: Mapping[str, Parameter]

    @classmethod
    def of(cls, base: Table, parameters: Mapping[str, Parameter]) -> Space:
        """Order the parameters; raises ``ValueError`` where conditions depend on each other in a circle."""
        graph = {path: _before(path, parameters) for path in parameters}
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise ValueError(f"the conditions depend on each other: {' -> '.join(error.args[1])}") from None
        return cls(base, {path: parameters[path] for path in order})

    def active(self, path: str, table: Table) -> bool:
        """Return whether a parameter's condition holds in the spec with the values drawn so far."""
        return all(_matches(nested.find(table, place), value) for place, value in self.parameters[path].when.items())

    def apply(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the experiment with these values of parameters."""
        table = dict(self.base)
        for path in self.parameters:
            if path in values:
                table = nested.put(table, path, values[path])
        return table

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a whole trial: those given, and for other active parameters the spec's or the first."""
        chosen: dict[str, Any] = {}
        for path, parameter in self.parameters.items():
            if path in values:
                chosen[path] = values[path]
            elif self.active(path, self.apply(chosen)):
                default = _contained(nested.find(self.base, path), parameter)
                chosen[path] = parameter.ends[0] if default is None else default[0]
        return chosen

    def count_points(self) -> int:
        """Return how many trials differ, in a space whose parameters all have finitely many values."""
        if not any(parameter.when for parameter in self.parameters.values()):
            return math.prod(len(parameter.values or ()) for parameter in self.parameters.values())
        points: list[dict[str, Any]] = [{}]
        for path, parameter in self.parameters.items():
            points = [
                {**point, path: value} if active else point
                for point in points
                for active in [self.active(path, self.apply(point))]
                for value in ((parameter.values or ()) if active else (None,))
            ]
        return len(points)

    def typed(self, resolve: Callable[[Table], Table]) -> Space:
        """Return the space with ranges of fractions for keys that hold fractions, also where both ends are whole.

        ``resolve`` returns a table with values as their keys hold them.
        """
        typed = dict(self.parameters)
        for path, parameter in self.parameters.items():
            if parameter.choices is None and parameter.whole and parameter.step is None:
                for context in itertools.islice(self.contexts(path), 1):
                    resolved = resolve(self.apply(self.complete({**context, path: parameter.low})))
                    if isinstance(nested.find(resolved, path), float):
                        ends = {"low": float(parameter.low or 0), "high": float(parameter.high or 0)}
                        typed[path] = parameter.model_copy(update=ends)
        return Space(self.base, typed)

    def as_it_stands(self) -> dict[str, Any]:
        """Return the values that the experiment has without a search, whether they lie in the space or not."""
        return {path: nested.find(self.base, path) for path in self.parameters if self.active(path, self.base)}

    def outside(self) -> dict[str, Any]:
        """Return those values of the experiment without a search that the space does not have."""
        values = self.as_it_stands()
        return {path: value for path, value in values.items() if _contained(value, self.parameters[path]) is None}

    def default(self) -> dict[str, Any] | None:
        """Return the values that the experiment has without a search, or None if one lies outside the space."""
        chosen: dict[str, Any] = {}
        for path, value in self.as_it_stands().items():
            found = _contained(value, self.parameters[path])
            if found is None:
                return None
            chosen[path] = found[0]
        return chosen

    def contexts(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the values of the parameters on which one depends, where its condition holds."""
        needed = self._ancestors(path)
        names = [name for name in self.parameters if name in needed]
        seen: list[dict[str, Any]] = []
        for combination in itertools.product(*map(self._decisive, names)):
            chosen: dict[str, Any] = {}
            for name, value in zip(names, combination, strict=True):
                if self.active(name, self.apply(chosen)):
                    chosen[name] = value
            if chosen not in seen and self.active(path, self.apply(chosen)):
                seen.append(chosen)
                yield chosen

    def _decisive(self, name: str) -> list[Any]:
        """Return the values of a parameter that can matter to others: its ends, and those in conditions."""
        values = list(self.parameters[name].ends)
        for parameter in self.parameters.values():
            required = parameter.when.get(name, ())
            for value in required if isinstance(required, list | tuple) else (required,):
                if value not in values and _contained(value, self.parameters[name]) is not None:
                    values.append(value)
        return values

    def _ancestors(self, path: str) -> set[str]:
        found: set[str] = set()
        for name in _before(path, self.parameters):
            found |= {name} | self._ancestors(name)
        return found


def _component(path: str) -> str:
    """Return the path of what a parameter sets: ``objective.use`` chooses the whole of ``objective``."""
    return path.removesuffix(".use")


def _before(path: str, parameters: Mapping[str, Parameter]) -> set[str]:
    """Return the parameters that must be drawn first: those in conditions, and the component of an option."""
    others = [other for other in parameters if other != path]
    named = {other for other in others for place in parameters[path].when if _related(_component(other), place)}
    return named | {other for other in others if path.startswith(f"{_component(other)}.")}


def _related(component: str, place: str) -> bool:
    return place == component or place.startswith(f"{component}.") or component.startswith(f"{place}.")


def _matches(found: Any, required: Any) -> bool:
    if isinstance(required, list | tuple) and not isinstance(found, list | tuple):
        return found in required
    return bool(found == required)


def _contained(value: Any, parameter: Parameter) -> tuple[Any] | None:
    """Return, in a tuple, the parameter's value that equals ``value``; None where it has none."""
    if parameter.choices is not None:
        for choice in parameter.choices:
            if choice == value or (isinstance(value, Mapping) and _same_component(choice, value)):
                return (choice,)
        return None
    assert parameter.low is not None
    assert parameter.high is not None
    inside = isinstance(value, int | float) and parameter.low <= value <= parameter.high
    if not inside or (parameter.values is not None and value not in parameter.values):
        return None
    return (value,)


def _same_component(choice: Any, value: Table) -> bool:
    """Return whether a choice, which may leave defaults out, is the component ``value``, which has all of them."""
    component = {"use": choice} if isinstance(choice, str) else choice
    return isinstance(component, Mapping) and "use" in component and nested.merge(value, component) == value
