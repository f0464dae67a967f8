"""kexp: experiments in Korean text classification, described by TOML files and run by plugins.

The functions of a script or a notebook, such as `kexp.run`, are imported when they are used: `import kexp` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from kexp.api.comparing import Comparison as Comparison
    from kexp.api.comparing import compare as compare
    from kexp.api.data_result import DataResult as DataResult
    from kexp.api.data_result import data as data
    from kexp.api.experiments import Checked as Checked
    from kexp.api.experiments import check as check
    from kexp.api.experiments import dry_run as dry_run
    from kexp.api.experiments import run as run
    from kexp.api.predicting import load as load
    from kexp.api.predicting import predict as predict
    from kexp.api.run_result import RunResult as RunResult
    from kexp.api.searching import SearchResult as SearchResult
    from kexp.api.searching import tune as tune
    from kexp.errors import DataError as DataError
    from kexp.errors import KexpError as KexpError
    from kexp.errors import PluginError as PluginError
    from kexp.errors import RunFailed as RunFailed
    from kexp.errors import SpecError as SpecError
    from kexp.trained import TrainedModel as TrainedModel

__version__ = "0.1.0"

API_VERSION = 3
"""Version of the interface to plugins; a plugin sets ``KEXP_API = 3`` to the one it was written for."""

hookimpl = pluggy.HookimplMarker("kexp")
"""Marks the functions of a plugin that implement hooks."""

_MODULES = {
    "Checked": "kexp.api.experiments",
    "Comparison": "kexp.api.comparing",
    "DataError": "kexp.errors",
    "DataResult": "kexp.api.data_result",
    "KexpError": "kexp.errors",
    "PluginError": "kexp.errors",
    "RunFailed": "kexp.errors",
    "RunResult": "kexp.api.run_result",
    "SearchResult": "kexp.api.searching",
    "SpecError": "kexp.errors",
    "TrainedModel": "kexp.trained",
    "check": "kexp.api.experiments",
    "compare": "kexp.api.comparing",
    "dry_run": "kexp.api.experiments",
    "load": "kexp.api.predicting",
    "predict": "kexp.api.predicting",
    "run": "kexp.api.experiments",
    "tune": "kexp.api.searching",
}
"""Where the names of this package are defined that are imported when they are used.

``data`` is not among them: it is the package ``kexp.data`` as well, which can be called for that reason.
"""


def __getattr__(name: str) -> Any:
    """Import a name of this package at its first use (PEP 562)."""
    import importlib

    if name == "data":
        return importlib.import_module("kexp.data")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, "data"})
