"""``kexp.contracts`` has what components need, and nothing that only kexp itself needs."""

from __future__ import annotations

import ast
from pathlib import Path

from kexp import contracts

ROOT = Path(__file__).parents[2]
COMPONENTS = ("kexp/builtin", "kexp/scaffold/template", "kexp/semi_supervised.py", "kexp/cross_entropy.py", "plugins")


def imported(path: Path) -> set[str]:
    """Return the names that a module imports from ``kexp.contracts``."""
    imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports if node.module == "kexp.contracts" for alias in node.names}


def test_what_is_exported_is_used_by_components() -> None:
    places = [ROOT / place for place in COMPONENTS]
    files = [path for place in places for path in (place.rglob("*.py") if place.is_dir() else [place])]
    used = set.union(*map(imported, files))
    # Fields that hold a component, for options that nest one of whatever kind.
    fields = {name for name in contracts.__all__ if name.startswith("Any")}
    assert set(contracts.__all__) - fields - used == set()
