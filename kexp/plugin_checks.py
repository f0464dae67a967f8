"""What a plugin must satisfy to be loaded: its interface version, its hooks, and the classes that it registers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

import kexp
from kexp import hookspecs
from kexp.errors import CHANGES, PluginError, did_you_mean
from kexp.hookspecs import HOOK_OF_KIND, OBSERVER_HOOKS

if TYPE_CHECKING:
    from kexp.options import Options

RENAMED: Mapping[str, Mapping[str, str]] = {
    "objective": {
        "uses_pool": "uses_unlabelled",
        "check_labels": "label_problems",
        "doubt_labels": "label_warnings",
    },
    "augmenter": {"forms": "views"},
    "search-sampler": {"refuse": "space_problems"},
    "pruner": {"refuse": "seed_problems"},
}
"""By kind, what version 1 of the interface called methods and class variables that plugins may define."""

FORMER_PARAMETERS = {"notes", "texts", "labels", "tokenizer", "names", "sampling"}
"""What version 1 passed to ``build`` and ``build_tokenizer`` where version 2 passes one context."""


def check_version(plugin: object) -> None:
    """Raise ``PluginError`` for a plugin that was written for another version of the interface."""
    version = getattr(plugin, "KEXP_API", kexp.API_VERSION)
    if not isinstance(version, int):
        raise PluginError(f"KEXP_API is {version!r}, expected a whole number such as {kexp.API_VERSION}")
    if version != kexp.API_VERSION:
        older = f"install a newer version of the plugin, or adapt it: {CHANGES}"
        remedy = older if version < kexp.API_VERSION else "install a newer kexp"
        raise PluginError(
            f"written for version {version} of kexp's plugin interface, kexp {kexp.__version__} has version "
            f"{kexp.API_VERSION}; {remedy}"
        )


def check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise ``PluginError`` for a marked function that is no hook, or that takes an argument which the hook lacks."""
    known = [*HOOK_OF_KIND.values(), *OBSERVER_HOOKS, "kexp_commands"]
    marked = [name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None]
    if not marked:
        raise PluginError("has no hooks; functions that are hooks are marked with kexp.hookimpl")
    for name in marked:
        if name not in known:
            raise PluginError(f"kexp has no hook {name}; {did_you_mean(name, known)}")
        takes = inspect.signature(getattr(hookspecs, name)).parameters
        for argument in inspect.signature(getattr(plugin, name)).parameters:
            if argument not in takes:
                raise PluginError(f"{name} has no argument {argument}; it is {name}({', '.join(takes)})")


def named(found: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a hook returns by name; raises ``PluginError`` unless it is a mapping of names to callables."""
    if not isinstance(found, Mapping):
        raise PluginError(f"expected a mapping from names, found {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
            raise PluginError(f"expected a name of letters, digits, '-', '_' and '.', found {name!r}")
        if not callable(value):
            raise PluginError(f'"{name}": expected a class or function, found {value!r}')
        yield name, value


def check_component(kind: str, name: str, options: Any) -> None:
    """Raise ``PluginError`` unless ``options`` is a class of this kind that can be built as kexp builds it."""
    from kexp.hookspecs import KINDS

    base = KINDS[kind]
    if not (inspect.isclass(options) and issubclass(options, base)):
        raise PluginError(f'{kind} "{name}" must be a subclass of {base.__name__}, found {options!r}')
    if inspect.isabstract(options):
        missing = ", ".join(sorted(options.__abstractmethods__))
        raise PluginError(f'{kind} "{name}" does not define {missing}')
    if "use" in options.model_fields:
        raise PluginError(f'{kind} "{name}" has an option "use", which is the key that names a component; rename it')
    for former, current in RENAMED.get(kind, {}).items():
        if hasattr(options, former):
            raise PluginError(f'{kind} "{name}": {former} is now {current}; {CHANGES}')
    for method in sorted(base.__abstractmethods__ & {"build", "build_tokenizer"}):
        expected, found = _parameters(base, method), _parameters(options, method)
        # kexp passes the context by position, so its name is free; former names mean what is no longer passed.
        if len(found) != len(expected) or FORMER_PARAMETERS & set(found):
            signatures = f"{method} takes ({', '.join(expected)}), found {method}({', '.join(found)})"
            raise PluginError(f'{kind} "{name}": {signatures}; {CHANGES}')


def _parameters(options: type[Options], method: str) -> list[str]:
    """Return the names of the parameters that a method requires, ``self`` left out."""
    parameters = list(inspect.signature(getattr(options, method)).parameters.values())[1:]
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]
