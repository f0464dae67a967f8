"""Which plugins an experiment uses: the catalog as the ``[plugins]`` section of its spec wants it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kexp.catalog import Catalog, load_catalog
from kexp.errors import Problem, SpecError
from kexp.spec import toml
from kexp.spec.sections import Plugins


def catalog_of(path: Path, *, allow_local_code: bool) -> Catalog:
    """Load the catalog for a spec file.

    Raises ``SpecError`` when the spec names Python files and nobody allowed them: a spec alone runs no code.
    """
    plugins = plugins_of(toml.read(path)) if path.is_file() else Plugins()
    if plugins.local and not allow_local_code:
        files = ", ".join(map(str, plugins.local))
        message = f"the spec wants to run code beside it: {files}"
        raise SpecError(str(path), [Problem("plugins.local", message, "read it, then say --allow-local-code")])
    return catalog_with(plugins, allow_local_code=allow_local_code)


def catalog_with(plugins: Plugins, *, allow_local_code: bool) -> Catalog:
    """Load the catalog as a section wants it, without its Python files where nobody allowed them."""
    local = [file for file in plugins.local if file.is_file()] if allow_local_code else []
    return load_catalog(block=plugins.block, local=local)


def plugins_of(table: Mapping[str, Any]) -> Plugins:
    """Return the section of a table; the empty one where it is wrong, which the check of the whole spec tells."""
    try:
        return Plugins.model_validate(table.get("plugins", {}))
    except ValidationError:
        return Plugins()
