"""Packages that some options need."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from kexp.errors import Problem


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    found = importlib.util.find_spec(package)
    # A folder of that name in the working folder is not the package: W&B and MLflow make such folders.
    return found is not None and found.origin is not None


def missing(package: str, install: str) -> Iterator[Problem]:
    """Yield a package that is not installed, with what pip installs for it."""
    if not is_installed(package):
        yield Problem("", f"needs the package {package}", f"pip install '{install}'")
