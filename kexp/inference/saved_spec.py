"""The spec beside a trained model: its parts are validated one by one; a missing one is reported with its package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kexp import nested
from kexp.catalog import Catalog
from kexp.errors import KexpError
from kexp.inference.model_folders import Place
from kexp.plan.plugins import plugins_of
from kexp.report.stored import check_spec, read_environment
from kexp.spec import toml
from kexp.spec.sections import Plugins
from kexp.validation_messages import describe_validation_error


def read_table(place: Place) -> Mapping[str, Any]:
    """Return the spec of a run as a table, with the changes of its variant; empty for a model without a spec.

    Raises ``KexpError`` for a file that is no spec: a model would be asked otherwise than it was trained.
    """
    if place.experiment is None or place.spec is None:
        return {}
    table = check_spec(place.spec, toml.read(place.spec))
    for name in ("dataset", "backbone"):
        if not table.get(name):
            raise KexpError(f"{place.spec} has no [{name}]; restore the file that the run wrote")
    return nested.merge(table, toml.expand(table.pop("variants", {}).get(place.experiment[1], {})))


def dataset_of(places: Sequence[Place]) -> Mapping[str, Any]:
    """Return the ``[dataset]`` of the first model that has a spec; empty without one."""
    return next((dataset for place in places if (dataset := read_table(place).get("dataset"))), {})


@dataclass(frozen=True, slots=True)
class SavedSpec:
    """The spec of a run for its variant; empty for a model without a spec.

    ``provided`` maps "kind name" to the package and version, or the local file, that the component came from.
    """

    source: str
    table: Mapping[str, Any]
    plugins: Plugins
    catalog: Catalog
    provided: Mapping[str, str]

    @classmethod
    def of(cls, place: Place, catalog_with: Callable[[Plugins], Catalog]) -> SavedSpec:
        """Read the spec at a place; ``catalog_with`` returns the catalog for a spec's ``[plugins]``."""
        if place.spec is None:
            return cls("", {}, Plugins(), catalog_with(Plugins()), {})
        table = read_table(place)
        plugins = plugins_of(table)
        path = place.spec.with_name("environment.json")
        provided = read_environment(path).get("components", {}) if path.is_file() else {}
        return cls(str(place.spec), table, plugins, catalog_with(plugins), provided)

    def part(self, name: str, kind: Any, default: Any = None) -> Any:
        """Return a section as ``kind``, with the components in it."""
        try:
            value = self.table.get(name, default)
            return TypeAdapter(kind).validate_python(value, context={"catalog": self.catalog})
        except ValidationError as error:
            found = describe_validation_error(error.errors(include_url=False)[0])
            raise KexpError(f"{self.source}: {name}: {self._traced(found)}") from None

    def _traced(self, found: str) -> str:
        """Add to a message about a component where the run had that from."""
        for component, owner in self.provided.items():
            kind, _, name = component.partition(" ")
            called = f'{kind} "{name}"'
            if found.startswith(f"unknown {called}"):
                return f"{called} is missing; the run had it from {owner}{self._remedy(owner)}"
            if called in found:
                return f"{found}; the run had it from {owner}"
        return found

    def _remedy(self, owner: str) -> str:
        file, local, _ = owner.partition(" sha256 ")
        if local:
            return self._remedy_of_file(file)
        package, _, version = owner.partition(" ")
        for plugin in self.catalog.broken:
            if plugin.owner.package == package:
                return f", which could not be loaded: {plugin.reason}"
        if package in {disabled.package for disabled in self.catalog.disabled}:
            return ", which KEXP_DISABLE_PLUGINS or plugins.block leaves out"
        # Not from the package index, where another package may have the name of a plugin.
        return f"; install {package} {version} from where its authors publish it"

    def _remedy_of_file(self, file: str) -> str:
        path = next((path for path in self.plugins.local if path.name == file), None)
        if path is None:
            return "; name that file in plugins.local"
        if not path.is_file():
            return f"; {path} does not exist: put it there, or change plugins.local"
        if any(entry.owner.package == file for entry in self.catalog.entries()):
            return f"; {path} has changed since"
        return f"; read {path}, then use --allow-local-code (in Python, allow_local_code=True)"
