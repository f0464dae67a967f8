"""From files to batches: reading, cleaning, splitting, tokenising into ragged arrays, batching by length.

The package is the function ``kexp.data`` of ``kexp.api`` at the same time: ``kexp.data("spec.toml")`` looks at data.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module that can be called. Importing a package sets the name of its parent to it, whatever that was before."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Look at the data of a spec before training: see ``kexp.api.data_result.data``."""
        return self._function()(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    @staticmethod
    def _function() -> Any:
        # By name: this package is below that one.
        return importlib.import_module("kexp.api.data_result").data


sys.modules[__name__].__class__ = _CallableModule
