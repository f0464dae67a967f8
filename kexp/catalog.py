"""Every installed component by kind and name, who provides it, and which plugins are broken."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

import kexp
from kexp import hookspecs
from kexp.contracts import KINDS
from kexp.errors import KexpError, PluginError, did_you_mean
from kexp.hookspecs import HOOK_OF_KIND
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


class UnknownComponent(PluginError, ValueError):
    """A name that no plugin or more than one provides; a ``ValueError`` too, so that pydantic keeps its place."""


@dataclass(slots=True)
class Catalog:
    """What is installed. ``claims`` holds every claim to a name; a name claimed twice belongs to nobody."""

    claims: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)

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
            raise UnknownComponent(f'{kind} "{name}" is provided twice, by {owners}; uninstall one of them')
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


def load_catalog() -> Catalog:
    """Collect the components of kexp itself and of every package with an entry point in the group ``kexp``."""
    from kexp import builtin

    manager = pluggy.PluginManager("kexp")
    manager.add_hookspecs(hookspecs)
    manager.register(builtin, name="kexp")
    owners = {"kexp": Owner("kexp", kexp.__version__)}
    catalog = Catalog()
    for point in sorted(entry_points(group="kexp"), key=lambda point: (point.name, point.value)):
        owner = _owner(point)
        try:
            owners[_register(manager, point, owner)] = owner
        # Whatever a stranger's module does while it is imported, the others must still load.
        except Exception as error:  # noqa: BLE001
            catalog.broken.append(BrokenPlugin(point.name, owner, _reason(error)))
    _collect(catalog, manager, owners)
    return catalog


def _owner(point: EntryPoint) -> Owner:
    return Owner(point.dist.name, point.dist.version) if point.dist else Owner(point.name, "unknown version")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, KexpError) else str(error)


def _register(manager: pluggy.PluginManager, point: EntryPoint, owner: Owner) -> str:
    """Load one entry point under a name of its own and refuse hooks that kexp does not have."""
    plugin = point.load()
    name = f"{owner.package}:{point.name}"
    if manager.register(plugin, name=name) is None:
        raise PluginError("the plugin is blocked")
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        manager.unregister(name=name)
        hooks = ", ".join(HOOK_OF_KIND.values())
        raise PluginError(f"{error}; kexp's hooks are {hooks}") from None
    return name


def _collect(catalog: Catalog, manager: pluggy.PluginManager, owners: Mapping[str, Owner]) -> None:
    """Call each plugin's hooks one by one, so that one that raises costs only its own components."""
    for kind, hook in HOOK_OF_KIND.items():
        for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
            owner = owners[implementation.plugin_name]
            try:
                entries = [_entry(kind, name, cls, owner) for name, cls in implementation.function().items()]
            except Exception as error:  # noqa: BLE001
                catalog.broken.append(BrokenPlugin(implementation.plugin_name, owner, f"{hook}: {_reason(error)}"))
                continue
            for entry in entries:
                catalog.claims.setdefault((kind, entry.name), []).append(entry)


def _entry(kind: str, name: str, options: Any, owner: Owner) -> Entry:
    base = KINDS[kind]
    if not (inspect.isclass(options) and issubclass(options, base)):
        raise PluginError(f'{kind} "{name}" must be a subclass of {base.__name__}, found {options!r}')
    if inspect.isabstract(options):
        missing = ", ".join(sorted(options.__abstractmethods__))
        raise PluginError(f'{kind} "{name}" does not define {missing}')
    return Entry(kind, name, options, owner)
