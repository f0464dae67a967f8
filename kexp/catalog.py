"""Every installed component by kind and name, who provides it, and which plugins are broken."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

import kexp
from kexp import hookspecs
from kexp.contracts import KINDS
from kexp.errors import KexpError, PluginError, did_you_mean
from kexp.hookspecs import HOOK_OF_KIND, OBSERVER_HOOKS
from kexp.options import TITLES, Options


@dataclass(frozen=True, slots=True)
class Owner:
    """The installed package behind a plugin."""

    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered component."""

    kind: str
    name: str
    options: type[Options]
    owner: Owner

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return (inspect.getdoc(self.options) or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be loaded, and why."""

    name: str
    owner: Owner
    reason: str


@dataclass(frozen=True, slots=True)
class Observer:
    """A plugin's function that wants to know what happens to runs, or that is a command."""

    name: str
    owner: Owner
    function: Callable[..., Any]
    arguments: tuple[str, ...] = ()

    def __call__(self, **arguments: Any) -> None:
        """Call the function with those of the arguments that it takes."""
        self.function(**{name: arguments[name] for name in self.arguments})


class UnknownComponent(PluginError, ValueError):
    """A name that no plugin or more than one provides; a ``ValueError`` too, so that pydantic keeps its place."""


@dataclass(slots=True)
class Catalog:
    """What is installed. ``claims`` holds every claim to a name; a name claimed twice belongs to nobody."""

    claims: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    commands: list[Observer] = field(default_factory=list)
    disabled: list[Owner] = field(default_factory=list)

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Yield all claims, by kind and name."""
        for key in sorted(self.claims):
            if kind in (None, key[0]):
                yield from self.claims[key]

    def find(self, kind: str, name: str) -> Entry:
        """Return the component; raises ``UnknownComponent`` for an unknown or contested name."""
        claims = self.claims.get((kind, name), [])
        if len(claims) > 1:
            owners = " and ".join(str(entry.owner) for entry in claims)
            files = [entry.owner.package for entry in claims if entry.owner.version.startswith("sha256 ")]
            others = [entry.owner.package for entry in claims if entry.owner.package not in (*files, "kexp")]
            ways = [f"rename it in {file}" for file in files]
            if others:
                left_out = f'[plugins] block = ["{others[-1]}"] or KEXP_DISABLE_PLUGINS={others[-1]}'
                ways.append(f"uninstall {' or '.join(others)}, or leave one out with {left_out}")
            raise UnknownComponent(f'{kind} "{name}" is provided twice, by {owners}; {", or ".join(ways)}')
        if not claims:
            known = [known_name for known_kind, known_name in self.claims if known_kind == kind]
            raise UnknownComponent(f'unknown {kind} "{name}"; {did_you_mean(name, known)}{self._broken_hint()}')
        return claims[0]

    def name_of(self, options: type[Options]) -> str:
        """Return the name under which a class is registered."""
        for entry in self.entries(options.kind):
            if entry.options is options:
                return entry.name
        raise PluginError(f"{options.__qualname__} is not registered by any plugin")

    def owner_of(self, options: type[Options]) -> Owner:
        """Return the package that registered a class."""
        return self.find(options.kind, self.name_of(options)).owner

    def contest(self, entry: Entry) -> str:
        """Say who else claims the entry's name; empty when nobody does."""
        others = [str(other.owner) for other in self.claims[entry.kind, entry.name] if other is not entry]
        return f" (refused: {', '.join(others)} claims the name too)" if others else ""

    def _broken_hint(self) -> str:
        if not self.broken:
            return ""
        names = ", ".join(str(plugin.owner) for plugin in self.broken)
        return f" (could not be loaded: {names}; see `kexp plugins list`)"


def load_catalog(*, block: Collection[str] = (), local: Sequence[Path] = ()) -> Catalog:
    """Collect what kexp itself and every package with an entry point in the group ``kexp`` provide.

    ``block`` names packages that are left out, as ``KEXP_DISABLE_PLUGINS`` does; ``local`` are Python files that are
    plugins too: they are run. Raises ``PluginError`` when one of these files does not load.
    """
    from kexp import builtin

    manager = pluggy.PluginManager("kexp")
    manager.add_hookspecs(hookspecs)
    manager.register(builtin, name="kexp")
    owners = {"kexp": Owner("kexp", kexp.__version__)}
    catalog = Catalog()
    blocked = {canonical(name) for name in (*block, *os.environ.get("KEXP_DISABLE_PLUGINS", "").split(","))}
    for point in sorted(entry_points(group="kexp"), key=lambda point: (point.name, point.value)):
        owner = _owner(point)
        if blocked & {canonical(point.name), canonical(owner.package)}:
            catalog.disabled.append(owner)
            continue
        name = f"{owner.package}:{point.name}"
        try:
            _register(manager, point.load(), name)
        # Whatever a stranger's module does while it is imported, the others must still load.
        except Exception as error:  # noqa: BLE001
            catalog.broken.append(BrokenPlugin(point.name, owner, _reason(error)))
        else:
            owners[name] = owner
    for path in local:
        name, owner = str(path), Owner(path.name, f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}")
        try:
            _register(manager, _load_file(path), name)
        except PluginError as error:
            raise PluginError(f"{path}: {error}") from error.__cause__
        owners[name] = owner
    _collect(catalog, manager, owners)
    for plugin in catalog.broken:
        # A file that a spec names is wanted; one that does nothing would be missed only later.
        if plugin.name in map(str, local):
            raise PluginError(f"{plugin.name}: {plugin.reason}")
    return catalog


def canonical(name: str) -> str:
    """Return a package's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _load_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own name, which pickles find in the processes that ran it too."""
    spec = importlib.util.spec_from_file_location(f"kexp_local_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError("expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    # Whatever the file does is its author's to repair; this is a mistake of theirs, not of kexp's.
    except Exception as error:
        raise PluginError(f"cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _owner(point: EntryPoint) -> Owner:
    return Owner(point.dist.name, point.dist.version) if point.dist else Owner(point.name, "unknown version")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, KexpError) else str(error)


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register a plugin.

    Raises ``PluginError`` for another version of the interface, and for hooks and arguments that kexp lacks.
    """
    written_for = getattr(plugin, "KEXP_API", kexp.API_VERSION)
    if not isinstance(written_for, int):
        raise PluginError(f"KEXP_API is {written_for!r}, expected a whole number such as {kexp.API_VERSION}")
    if written_for != kexp.API_VERSION:
        remedy = "install a newer version of it" if written_for < kexp.API_VERSION else "install a newer kexp"
        raise PluginError(
            f"written for version {written_for} of kexp's plugin interface, kexp {kexp.__version__} has version "
            f"{kexp.API_VERSION}; {remedy}"
        )
    _check_hooks(manager, plugin)
    if manager.register(plugin, name=name) is None:
        raise PluginError("the plugin is blocked")


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    """Raise ``PluginError`` where a marked function is no hook, or takes what the hook does not have."""
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


def _collect(catalog: Catalog, manager: pluggy.PluginManager, owners: Mapping[str, Owner]) -> None:
    """Call each plugin's hooks one by one, so that one that raises costs only its own components."""
    for kind, hook in HOOK_OF_KIND.items():
        for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
            owner = owners[implementation.plugin_name]
            try:
                entries = [_entry(kind, name, cls, owner) for name, cls in _named(implementation.function())]
            except Exception as error:  # noqa: BLE001
                catalog.broken.append(_broken(implementation.plugin_name, owner, f"{hook}: {_reason(error)}"))
                continue
            for entry in entries:
                catalog.claims.setdefault((kind, entry.name), []).append(entry)

    for hook in OBSERVER_HOOKS:
        for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
            owner, arguments = owners[implementation.plugin_name], tuple(implementation.argnames)
            catalog.observers.append(Observer(hook, owner, implementation.function, arguments))
    commands: Any = manager.hook.kexp_commands
    for implementation in reversed(commands.get_hookimpls()):
        owner = owners[implementation.plugin_name]
        try:
            catalog.commands += [Observer(name, owner, made) for name, made in _named(implementation.function())]
        except Exception as error:  # noqa: BLE001
            catalog.broken.append(_broken(implementation.plugin_name, owner, f"kexp_commands: {_reason(error)}"))


def _broken(name: str, owner: Owner, reason: str) -> BrokenPlugin:
    return BrokenPlugin(name.removeprefix(f"{owner.package}:"), owner, reason)


def _named(found: Any) -> Iterable[tuple[str, Any]]:
    """Return what a hook names; raises ``PluginError`` for anything but a mapping of names to callables."""
    if not isinstance(found, Mapping):
        raise PluginError(f"expected a mapping from names, found {type(found).__name__}")
    for name, made in found.items():
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
            raise PluginError(f"expected a name of letters, digits, '-', '_' and '.', found {name!r}")
        if not callable(made):
            raise PluginError(f'"{name}": expected a class or function, found {made!r}')
    return found.items()


def _entry(kind: str, name: str, options: Any, owner: Owner) -> Entry:
    base = KINDS[kind]
    if not (inspect.isclass(options) and issubclass(options, base)):
        raise PluginError(f'{kind} "{name}" must be a subclass of {base.__name__}, found {options!r}')
    if inspect.isabstract(options):
        missing = ", ".join(sorted(options.__abstractmethods__))
        raise PluginError(f'{kind} "{name}" does not define {missing}')
    TITLES[options] = f'{kind} "{name}" of {owner}'
    if "use" in options.model_fields:
        raise PluginError(f'{kind} "{name}" has an option "use", by which specs name components; call it otherwise')
    return Entry(kind, name, options, owner)
