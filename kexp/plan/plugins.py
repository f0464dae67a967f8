"""Which plugins an experiment uses: the catalog as the ``[plugins]`` section of its spec sets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kexp import nested
from kexp.catalog import Catalog, load_catalog
from kexp.errors import Problem, SpecError
from kexp.plan.resolve import overrides_of
from kexp.spec import toml
from kexp.spec.sections import Plugins


def catalog_of(path: Path, *, allow_local_code: bool, assignments: Sequence[str] = ()) -> Catalog:
    """Load the catalog for a spec file, changed by ``path=value`` texts of the command line.

    Raises ``SpecError`` when the spec names Python files that are not allowed: a spec alone runs no code.
    """
    table = nested.merge(toml.read(path), overrides_of(assignments))
    plugins = plugins_of(table)
    need_allowed(str(path), plugins, allow_local_code=allow_local_code)
    return catalog_with(plugins, allow_local_code=allow_local_code)


def need_allowed(source: str, plugins: Plugins, *, allow_local_code: bool) -> None:
    """Raise ``SpecError`` for Python files that are not allowed."""
    if plugins.local and not allow_local_code:
        files = ", ".join(map(str, plugins.local))
        message = f"the spec runs Python code: {files}"
        raise SpecError(source, [Problem("plugins.local", message, "read it first, then add --allow-local-code")])


def catalog_with(plugins: Plugins, *, allow_local_code: bool) -> Catalog:
    """Load the catalog as a section sets it, without its Python files unless they are allowed."""
    local = [file for file in plugins.local if file.is_file()] if allow_local_code else []
    return load_catalog(block=plugins.block, local=local)


def plugins_of(table: Mapping[str, Any]) -> Plugins:
    """Return the section of a table, or the empty one if it is not valid, which the check of the whole spec reports."""
    try:
        return Plugins.model_validate(table.get("plugins", {}))
    except ValidationError:
        return Plugins()
