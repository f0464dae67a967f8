"""Which plugins an experiment uses: the catalog as the ``[plugins]`` section of its spec sets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kexp import nested
from kexp.catalog import Catalog, load_catalog
from kexp.errors import Problem, SpecError
from kexp.nested import Table
from kexp.plan.resolve import overrides_of
from kexp.spec.sections import Plugins
from kexp.spec.source import SpecSource


def catalog_of(spec: Path | SpecSource, *, allow_local_code: bool, assignments: Sequence[str | Table] = ()) -> Catalog:
    """Load the catalog for a spec, that of a file or one that was read, changed by ``path=value`` texts or tables.

    Raises ``SpecError`` when the spec names Python files that are not allowed: a spec alone runs no code.
    """
    source = spec if isinstance(spec, SpecSource) else SpecSource.read(spec)
    plugins = plugins_of(nested.merge(source.table, overrides_of(assignments)))
    need_allowed(source.title, plugins, allow_local_code=allow_local_code)
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
