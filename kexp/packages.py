"""Packages that some options need."""

from __future__ import annotations

import importlib.util


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    found = importlib.util.find_spec(package)
    # A folder of that name in the working folder is not the package: W&B and MLflow make such folders.
    return found is not None and found.origin is not None
