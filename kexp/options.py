"""Bases of the sections of a spec and of components: frozen, closed pydantic models, and fields with components."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    Secret,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from kexp.errors import PluginError, Problem, did_you_mean, plugin_call
from kexp.lists_of_one import as_list, lone_entries
from kexp.names import ADDRESS, existing_path, is_utf8
from kexp.redaction import is_masked, masked_address, remember_secrets, secrets_of, without_passwords

Result = TypeVar("Result")


class SpecText(str):
    """A string out of a spec that remembers the folder of the file in which it was written."""

    folder: Path

    def __new__(cls, value: str, folder: Path) -> SpecText:
        """Attach ``folder`` to ``value``."""
        text = super().__new__(cls, value)
        text.folder = folder
        return text


def _absolute(value: object) -> Path:
    """Resolve a path against the folder of the spec file, or against the working folder when it comes from Python."""
    if not isinstance(value, str | Path):
        raise ValueError("expected a path in quotes")
    if not str(value).strip():
        raise ValueError(f'expected a path, found "{value}"')
    if ADDRESS.match(str(value)):
        raise ValueError(f'expected a file or folder, found the address "{without_passwords(str(value))}"')
    folder = value.folder if isinstance(value, SpecText) else Path.cwd()
    try:
        path = existing_path((folder / Path(value).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ValueError(f'expected a path, found "{str(value)[:100]}": {reason}') from None
    if not is_utf8(path):
        raise ValueError(f"expected a path in UTF-8, found {str(path)!r}; rename it")
    return path


LocalPath = Annotated[
    Path,
    BeforeValidator(_absolute),
    PlainSerializer(lambda path: path.as_posix(), return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""A file or folder; a relative one is relative to the spec file (on the command line: to the working folder)."""


class Address(Secret[str]):
    """An address that may hold a password: shown and written with ``***`` in its place.

    ``get_secret_value`` returns the whole address. One that is read back with its password hidden becomes that of an
    environment variable that holds the same address with the password, if there is one.
    """

    def __init__(self, secret_value: str) -> None:
        if is_masked(secret_value):
            known = (value for value in os.environ.values() if masked_address(value) == secret_value)
            secret_value = next(known, secret_value)
        super().__init__(str(secret_value))
        remember_secrets(*secrets_of(secret_value))

    def _display(self) -> str:
        return masked_address(self.get_secret_value())


def _coerced(given: object, result: object) -> tuple[object, object] | None:
    """Return a scalar whose type pydantic changed, and into what: TOML has types, so "3" is not 3 and true is not 1."""
    if isinstance(given, list | tuple) and isinstance(result, list | tuple) and len(given) == len(result):
        return next(filter(None, map(_coerced, given, result)), None)
    if isinstance(result, bool):
        changed = not isinstance(given, bool)
    else:
        changed = isinstance(result, int | float) and isinstance(given, str | bool)
    return (given, result) if changed else None


class Section(BaseModel):
    """A table of the spec: frozen, without unknown keys, without silent conversion between strings and numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _typed(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        value = as_list(value, cls.model_fields[info.field_name or ""])
        result = handler(value)
        if isinstance(result, Secret | SecretStr) and not isinstance(result, Address):
            remember_secrets(str(result.get_secret_value()))
        if coerced := _coerced(value, result):
            given, made = coerced
            raise ValueError(f"expected {_type_name(made)}, found {json.dumps(given, ensure_ascii=False)}")
        return result

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Let the JSON Schema allow a list of one without brackets, as the validation does."""
        schema = handler(core_schema)
        lone_entries(handler.resolve_ref_schema(schema), cls)
        return schema

    @model_serializer(mode="wrap")
    def _secrets_if_wanted(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Hide secret options, unless the context asks for them, for another process that needs them."""
        table: dict[str, Any] = handler(self)
        if info.context and info.context.get("secrets"):
            table |= {name: value.get_secret_value() for name, value in self.secrets()}
        return table

    def secrets(self) -> Iterator[tuple[str, Secret[str] | SecretStr]]:
        """Yield the options that are secret, by name."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Secret | SecretStr):
                yield name, value

    def problems(self) -> Iterable[Problem]:
        """Yield what is wrong beyond the types, cheaply and without torch: missing files, options that clash."""
        return ()

    def warnings(self) -> Iterable[Problem]:
        """Yield what is allowed but probably not intended."""
        return ()


def _type_name(value: object) -> str:
    names: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")


class Options(Section):
    """The options of one component; subclasses of a kind's base add the fields and build the component.

    The class is registry entry, schema, documentation and factory at once. ``build`` is the first place where torch,
    transformers or datasets may be imported.
    """

    kind: ClassVar[str]
    registered_as: ClassVar[str] = ""
    """How messages name the component; set when a plugin registers the class."""


def component_title(part: Section) -> str:
    """Return how messages name a component, ``metric "recall" of kexp-more 0.1``, or a section by its class."""
    cls = type(part)
    # Not inherited: a subclass that is not registered has the name of its class.
    registered_as: str | None = vars(cls).get("registered_as")
    return registered_as or f"{getattr(cls, 'kind', 'section')} {cls.__module__}.{cls.__qualname__}"


def build_component(options: Any, context: object) -> Any:
    """Return what a component builds; raises ``PluginError`` that names the component when it fails."""
    with plugin_call(component_title(options)):
        return options.build(context)


def plugin_results(part: Section, method: str, expected: type[Result], *arguments: object) -> list[Result]:
    """Return what a method such as ``problems`` yields; raises ``PluginError`` that names the component."""
    place = f"{component_title(part)}, {method}()"
    with plugin_call(place):
        results = list(getattr(part, method)(*arguments))
    for result in results:
        if not isinstance(result, expected):
            raise PluginError(f"{place}: yields {result!r}, expected {expected.__name__}")
    return results


COMPONENT_KEY = "x-kexp-component"
"""Stands in the JSON Schema of a field for the components that the catalog has of this kind."""


class Component:
    """Marks a field that holds a component of ``kind``: ``{use = "name", option = value}`` or just ``"name"``.

    Use it through an alias, ``Annotated[ObjectiveOptions, *component("objective")]``; it works in the sections of a
    spec and, for nested components, in a plugin's own options.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def validate(self, value: object, info: ValidationInfo) -> Options:
        """Turn what the spec says into the options of the component that it names."""
        if isinstance(value, Options):
            return value
        table = {"use": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or not isinstance(table.get("use"), str):
            raise ValueError(f'names no {self.kind}; expected use = "NAME" in this table')
        name = str(table["use"])
        entry = _catalog(info).find(self.kind, name)
        try:
            options = {key: item for key, item in table.items() if key != "use"}
            validated: Options = entry.options.model_validate(options, context=info.context)
        except ValidationError as error:
            raise _owned(error, entry, f'{self.kind} "{name}"') from None
        return validated

    def serialise(self, value: Options, info: SerializationInfo) -> dict[str, Any]:
        """Return the table with which a spec names the component."""
        dumped = value.model_dump(mode=info.mode, context=info.context, exclude_none=True)
        return {"use": _catalog(info).name_of(type(value)), **dumped}


UNKNOWN_OPTION = "unknown_option"
"""Type of the error of a key that a component does not have, in place of pydantic's."""


def _owned(error: ValidationError, entry: Any, title: str) -> ValidationError:
    """Say in each error which package refused it, and of an unknown option which may be intended."""
    details: list[InitErrorDetails] = []
    for found in error.errors(include_url=False):
        kind, context = found["type"], {"owner": str(entry.owner), **found.get("ctx", {}), "message": found["msg"]}
        if kind == "extra_forbidden":
            keys = keys_at(entry.options, found["loc"])
            finding = f"unknown option of {title}"
            hint = did_you_mean(str(found["loc"][-1]), keys) or "it has none"
            kind, context = UNKNOWN_OPTION, {**context, "finding": finding, "component": entry, "keys": keys}
            context["message"] = f"{finding}; {hint}"
        custom = PydanticCustomError(kind, "{message}", context)
        details.append(InitErrorDetails(type=custom, loc=found["loc"], input=found["input"]))
    return ValidationError.from_exception_data(title, details)


def keys_at(section: type[BaseModel], place: Sequence[str | int]) -> tuple[str, ...]:
    """Return the keys that the table has in which pydantic's error about a key is placed, seen from ``section``."""
    for key in place[:-1]:
        field = section.model_fields.get(str(key))
        if field is not None:
            within = section_in(field.annotation)
            if within is None:
                return ()
            section = within
    return tuple(section.model_fields)


def section_in(annotation: Any) -> type[Section] | None:
    """Return the class of the section that a field holds, alone, in a list or by name; None where it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(section_in, get_args(annotation))), None)


def _catalog(info: ValidationInfo | SerializationInfo) -> Any:
    context = info.context
    if not isinstance(context, dict) or "catalog" not in context:
        raise ValueError("components are named by a catalog: pass context={'catalog': catalog}")
    return context["catalog"]


def component(kind: str) -> tuple[Component, BeforeValidator, PlainSerializer, WithJsonSchema]:
    """Return the annotations that make a field hold a component of ``kind``."""
    marker = Component(kind)
    return (
        marker,
        BeforeValidator(marker.validate),
        PlainSerializer(marker.serialise, return_type=dict[str, Any]),
        WithJsonSchema({COMPONENT_KEY: kind}),
    )
