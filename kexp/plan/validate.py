"""From one table to a spec: types, bounds and components, then all checks; and back to a table with every default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from kexp.catalog import Catalog
from kexp.errors import Problem
from kexp.nested import Table
from kexp.plan.cross_checks import cross_check
from kexp.plan.messages import translate
from kexp.plan.search_space import check_space_ends
from kexp.plan.task_defaults import of_task
from kexp.redaction import hidden, without_address_secrets
from kexp.spec import toml
from kexp.spec.search_section import Search
from kexp.spec.sections import Spec
from kexp.spec.space import Space

OPTIONS_OF = {"freezing": "layers"}
"""Component that a table of options without ``use`` means, where the default component has no options."""


def validate(table: Mapping[str, Any], catalog: Catalog) -> tuple[Spec | None, list[Problem]]:
    """Return the spec that a table describes, or None, and everything that is wrong with it."""
    table = toml.join_paths(dict(table))
    spec, valid, problems = _validated(table, catalog)
    if other := of_task(table, valid, catalog):
        spec, valid, problems = _validated(other, catalog)
    problems += cross_check(valid, catalog)
    if spec and spec.search and not problems:
        problems += _check_space(spec, spec.search, catalog)
    return (None if problems else spec), problems


def _validated(table: Table, catalog: Catalog) -> tuple[Spec | None, Mapping[str, Any], list[Problem]]:
    """Return the spec of a table, or None, the sections that are valid by name, and what is wrong with the others."""
    context: dict[str, Any] = {"catalog": catalog, "valid": {}}
    table = {name: _with_component(name, value) for name, value in table.items()}
    try:
        return Spec.model_validate(table, context=context), context["valid"], []
    except ValidationError as error:
        return None, context["valid"], translate(error.errors(include_url=False), table, catalog)


def dump(spec: Spec, catalog: Catalog) -> Table:
    """Return a spec as a table with every default written out; passwords are hidden."""
    dumped = spec.model_dump(mode="json", context={"catalog": catalog}, exclude_none=True)
    # An option that is no secret by its type may hold an address too.
    table: Table = hidden(dumped, without_address_secrets)
    return table


def dump_with_secrets(spec: Spec, catalog: Catalog) -> Table:
    """Return a spec as ``dump`` does, with passwords: for what is validated again in memory, never to be written."""
    context = {"catalog": catalog, "secrets": True}
    dumped: Table = spec.model_dump(mode="json", context=context, exclude_none=True)
    return dumped


def with_defaults(table: Mapping[str, Any], catalog: Catalog) -> tuple[Mapping[str, Any], Sequence[Problem]]:
    """Return a table with every default written out, or as it is with what is wrong with it."""
    spec, problems = validate(table, catalog)
    return (dump_with_secrets(spec, catalog) if spec else table), problems


def space_of(spec: Spec, search: Search, catalog: Catalog) -> Space:
    """Return the space of a search over an experiment without its ``[search]``."""
    space = Space.of(dump_with_secrets(spec.model_copy(update={"search": None}), catalog), search.space)
    return space.typed(lambda table: with_defaults(table, catalog)[0])


def _check_space(spec: Spec, search: Search, catalog: Catalog) -> Iterable[Problem]:
    try:
        space = space_of(spec, search, catalog)
    except ValueError as error:
        return [Problem("search.space", str(error))]
    # The space as written was checked before; only now is it known which ranges hold fractions though both ends are
    # whole.
    refused = [Problem("search.sampler", message) for message in search.sampler.space_problems(space.parameters)]
    return [*refused, *check_space_ends(space, lambda table: validate(table, catalog)[1])]


def _with_component(section: str, value: Any) -> Any:
    """Let a table without ``use`` hold options of the section's default component."""
    field = Spec.model_fields.get(section)
    if field and isinstance(field.default, str) and field.default and isinstance(value, dict) and "use" not in value:
        return {"use": OPTIONS_OF.get(section, field.default) if value else field.default, **value}
    return value
