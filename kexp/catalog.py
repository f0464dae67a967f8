"""Every installed component by kind and name, the package that provides it, and the plugins that are broken."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

import kexp
from kexp import hookspecs
from kexp.errors import PluginError, describe_error, did_you_mean
from kexp.hookspecs import HOOK_OF_KIND, OBSERVER_HOOKS
from kexp.plugin_checks import check_component, check_hooks, check_version, named

if TYPE_CHECKING:
    from kexp.options import Options


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
    """A plugin's function for one of the hooks that observe runs, with the arguments of the hook that it takes."""

    hook: str
    owner: Owner
    function: Callable[..., Any]
    arguments: tuple[str, ...]

    def __call__(self, **arguments: Any) -> None:
        """Call the function with those of the hook's arguments that it takes."""
        self.function(**{name: arguments[name] for name in self.arguments})


@dataclass(frozen=True, slots=True)
class Command:
    """A plugin's function that is a command of the command line."""

    name: str
    owner: Owner
    function: Callable[..., Any]


class UnknownComponent(PluginError, ValueError):
    """A name that no plugin or more than one provides; a ``ValueError`` too, so that pydantic keeps its place."""


@dataclass(slots=True)
class Catalog:
    """What is installed. ``registered`` has every component by kind and name; two for a name make it unusable."""

    registered: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    disabled: list[Owner] = field(default_factory=list)

    def entries(self, kind: str | None = None) -> Iterator[Entry]:
        """Yield all components, by kind and name."""
        for key in sorted(self.registered):
            if kind in (None, key[0]):
                yield from self.registered[key]

    def find(self, kind: str, name: str) -> Entry:
        """Return the component; raises ``UnknownComponent`` for a name that no package or more than one provides."""
        found = self.registered.get((kind, name), [])
        if len(found) > 1:
            raise UnknownComponent(_conflict(found))
        if not found:
            known = [known_name for known_kind, known_name in self.registered if known_kind == kind]
            raise UnknownComponent(f'unknown {kind} "{name}"; {did_you_mean(name, known)}{self._broken_hint()}')
        return found[0]

    def name_of(self, options: type[Options]) -> str:
        """Return the name under which a class is registered."""
        for entry in self.entries(options.kind):
            if entry.options is options:
                return entry.name
        raise PluginError(f"{options.__qualname__} is not registered by any plugin")

    def owner_of(self, options: type[Options]) -> Owner:
        """Return the package that registered a class."""
        return self.find(options.kind, self.name_of(options)).owner

    def state(self, entry: Entry) -> str:
        """Return ok, or which other packages provide a component of the same name."""
        others = [str(other.owner) for other in self.registered[entry.kind, entry.name] if other is not entry]
        return f"shadowed (refused: {', '.join(others)} claims the name too)" if others else "ok"

    def _broken_hint(self) -> str:
        if not self.broken:
            return ""
        names = ", ".join(str(plugin.owner) for plugin in self.broken)
        return f" (could not be loaded: {names}; see `kexp plugins list`)"


def _conflict(entries: Sequence[Entry]) -> str:
    """Say which packages provide a component of one name, and how to choose between them."""
    owners = " and ".join(str(entry.owner) for entry in entries)
    files = [entry.owner.package for entry in entries if entry.owner.version.startswith("sha256 ")]
    others = [entry.owner.package for entry in entries if entry.owner.package not in (*files, "kexp")]
    remedies = [f"rename it in {file}" for file in files]
    if others:
        block = f'[plugins] block = ["{others[-1]}"] or KEXP_DISABLE_PLUGINS={others[-1]}'
        remedies.append(f"uninstall {' or '.join(others)}, or leave one out with {block}")
    first = entries[0]
    return f'{first.kind} "{first.name}" is provided twice, by {owners}; {", or ".join(remedies)}'


def load_catalog(*, block: Collection[str] = (), local: Sequence[Path] = ()) -> Catalog:
    """Collect what kexp itself and every package with an entry point in the group ``kexp`` provide.

    ``block`` names packages that are left out, as ``KEXP_DISABLE_PLUGINS`` does; ``local`` are Python files that are
    plugins too: they are run. Raises ``PluginError`` when one of these files does not load.
    """
    import hashlib

    from kexp import builtin

    manager, catalog, owners = _manager(), Catalog(), {"kexp": Owner("kexp", kexp.__version__)}
    manager.register(builtin, name="kexp")
    owners |= _register_installed(manager, catalog, block)
    for path in local:
        name, owner = str(path), Owner(path.name, f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}")
        try:
            _register(manager, _load_file(path), name)
        except PluginError as error:
            raise PluginError(f"{path}: {error}") from error.__cause__
        owners[name] = owner
    _collect(catalog, manager, owners)
    for plugin in catalog.broken:
        # The spec names this file: without its components the run would fail later, or differ.
        if plugin.name in map(str, local):
            raise PluginError(f"{plugin.name}: {plugin.reason}")
    return catalog


def load_commands() -> Catalog:
    """Collect the commands of installed plugins alone: no component is loaded for them, neither kexp's own."""
    manager, catalog = _manager(), Catalog()
    _collect_commands(catalog, manager, _register_installed(manager, catalog))
    return catalog


def canonical(name: str) -> str:
    """Return a package's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("kexp")
    manager.add_hookspecs(hookspecs)
    return manager


def _register_installed(
    manager: pluggy.PluginManager, catalog: Catalog, block: Collection[str] = ()
) -> dict[str, Owner]:
    """Register every package with an entry point, besides blocked ones; return the packages by plugin name."""
    owners: dict[str, Owner] = {}
    blocked = {canonical(name) for name in (*block, *os.environ.get("KEXP_DISABLE_PLUGINS", "").split(","))}
    for point in sorted(entry_points(group="kexp"), key=lambda point: (point.name, point.value)):
        owner = _owner(point)
        if blocked & {canonical(point.name), canonical(owner.package)}:
            catalog.disabled.append(owner)
            continue
        name = f"{owner.package}:{point.name}"
        try:
            _register(manager, point.load(), name)
        # Whatever a plugin's module raises while it is imported, the other plugins must load.
        except Exception as error:  # noqa: BLE001
            catalog.broken.append(BrokenPlugin(point.name, owner, describe_error(error)))
        else:
            owners[name] = owner
    return owners


def _load_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own name, which pickles find in the processes that ran it too."""
    spec = importlib.util.spec_from_file_location(f"kexp_local_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError("expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    # Whatever the file raises is a mistake in the file, not in kexp.
    except Exception as error:
        raise PluginError(f"cannot be loaded: {describe_error(error)}") from error
    return module


def _owner(point: EntryPoint) -> Owner:
    return Owner(point.dist.name, point.dist.version) if point.dist else Owner(point.name, "unknown version")


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register a plugin; raises ``PluginError`` for one of another interface version, or with wrong hooks."""
    check_version(plugin)
    check_hooks(manager, plugin)
    if manager.register(plugin, name=name) is None:
        raise PluginError("the plugin is blocked")


def _collect(catalog: Catalog, manager: pluggy.PluginManager, owners: Mapping[str, Owner]) -> None:
    """Call each plugin's hooks one by one, so that one that raises costs only its own components."""
    for kind, hook in HOOK_OF_KIND.items():
        for owner, implementation in _implementations(manager, owners, hook):
            try:
                entries = [_entry(kind, name, cls, owner) for name, cls in named(implementation.function())]
            except Exception as error:  # noqa: BLE001
                catalog.broken.append(_broken(implementation.plugin_name, owner, f"{hook}: {describe_error(error)}"))
                continue
            for entry in entries:
                catalog.registered.setdefault((kind, entry.name), []).append(entry)
    for hook in OBSERVER_HOOKS:
        for owner, implementation in _implementations(manager, owners, hook):
            arguments = tuple(implementation.argnames)
            catalog.observers.append(Observer(hook, owner, implementation.function, arguments))
    _collect_commands(catalog, manager, owners)


def _collect_commands(catalog: Catalog, manager: pluggy.PluginManager, owners: Mapping[str, Owner]) -> None:
    for owner, implementation in _implementations(manager, owners, "kexp_commands"):
        try:
            catalog.commands += [Command(name, owner, function) for name, function in named(implementation.function())]
        except Exception as error:  # noqa: BLE001
            catalog.broken.append(_broken(implementation.plugin_name, owner, f"kexp_commands: {describe_error(error)}"))


def _implementations(
    manager: pluggy.PluginManager, owners: Mapping[str, Owner], hook: str
) -> Iterator[tuple[Owner, Any]]:
    for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
        yield owners[implementation.plugin_name], implementation


def _entry(kind: str, name: str, options: Any, owner: Owner) -> Entry:
    check_component(kind, name, options)
    if owner.package != "kexp":
        # pydantic reads a class where it is first used; one that it cannot read is a mistake of this plugin.
        options.model_rebuild(raise_errors=False)
    options.registered_as = f'{kind} "{name}" of {owner}'
    return Entry(kind, name, options, owner)


def _broken(name: str, owner: Owner, reason: str) -> BrokenPlugin:
    return BrokenPlugin(name.removeprefix(f"{owner.package}:"), owner, reason)
