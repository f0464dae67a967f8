"""What a spec may contain, for editors (JSON Schema) and for people (the options of a component as a table)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kexp.catalog import Catalog, Entry
from kexp.hookspecs import KINDS
from kexp.options import COMPONENT_KEY
from kexp.spec.sections import Spec

Json = dict[str, Any]


def json_schema(catalog: Catalog) -> Json:
    """Return the JSON Schema of spec files with the options of every installed component."""
    schema = Spec.model_json_schema()
    definitions: Json = schema.pop("$defs", {})
    for kind in KINDS:
        names = sorted({entry.name for entry in catalog.entries(kind)})
        tables = [_table(entry, definitions) for entry in catalog.entries(kind)]
        definitions[kind] = {"anyOf": [{"type": "string", "enum": names}, *tables]}
    properties = {
        "extends": {"type": "string", "description": "Another spec, on which this one is laid."},
        **schema["properties"],
        "variants": {
            "type": "object",
            "description": "Sets of changes by name: dotted paths, or tables like those of the spec.",
            "additionalProperties": {"type": "object"},
        },
    }
    linked: Json = _link(
        {"type": "object", "additionalProperties": False, "properties": properties, "$defs": definitions}
    )
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "kexp spec", **linked}


def _table(entry: Entry, definitions: Json) -> Json:
    """Return the schema of a component's table and hoist the definitions that it brings."""
    schema = entry.options.model_json_schema()
    definitions |= schema.pop("$defs", {})
    return {
        "type": "object",
        "title": f"{entry.kind} {entry.name}",
        "description": schema.get("description", ""),
        "additionalProperties": False,
        "properties": {"use": {"const": entry.name}, **schema.get("properties", {})},
        "required": ["use", *schema.get("required", [])],
    }


def _link(value: Any) -> Any:
    """Point every field that holds a component to the definition of its kind."""
    if isinstance(value, Mapping):
        if COMPONENT_KEY in value:
            rest = {key: _link(item) for key, item in value.items() if key != COMPONENT_KEY}
            return {"allOf": [{"$ref": f"#/$defs/{value[COMPONENT_KEY]}"}], **rest}
        return {key: _link(item) for key, item in value.items()}
    return [_link(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a component, in words; ``default`` is None if it is required."""

    name: str
    type: str
    default: str | None
    description: str


def options_of(entry: Entry) -> list[Option]:
    """Return the options of a component with types, bounds and defaults."""
    return keys_of(entry.options.model_json_schema())


def keys_of(schema: Json) -> list[Option]:
    """Return the keys of a table, given its JSON Schema, in words."""
    import json

    required = schema.get("required", [])
    return [
        Option(
            name,
            _words(field, schema.get("$defs", {})),
            None
            if name in required
            else json.dumps(field.get("default"), ensure_ascii=False).replace("null", "not given"),
            field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    ]


BOUNDS = {
    "minLength": "at least {} characters", "maxLength": "at most {} characters",
    "minItems": "at least {} items", "maxItems": "at most {} items",
    "minProperties": "at least {} entries", "pattern": "matching {}",
}  # fmt: skip
TYPES = {"number": "number", "integer": "whole number", "string": "string", "boolean": "true or false", "null": ""}


def _range(field: Mapping[str, Any]) -> str:
    """Return the bounds of a number in words: ``0 to 20``, or ``more than 0, at most 1``."""
    low, above = field.get("minimum"), field.get("exclusiveMinimum")
    high, below = field.get("maximum"), field.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{low} to {high}"
    bounds = {"at least {}": low, "more than {}": above, "at most {}": high, "less than {}": below}
    return ", ".join(words.format(bound) for words, bound in bounds.items() if bound is not None)


def _words(field: Mapping[str, Any], definitions: Json) -> str:
    """Return a JSON Schema in words: ``number, at least 0, less than 1``."""
    if COMPONENT_KEY in field:
        return f"component of kind {field[COMPONENT_KEY]}"
    if "$ref" in field:
        return _words(definitions.get(field["$ref"].rpartition("/")[2], {}), definitions)
    if "anyOf" in field:
        # Where a list of one may be written without brackets, its entry is no kind of value of its own.
        lone = [branch.get("items") for branch in field["anyOf"] if branch.get("type") == "array"]
        branches = [branch for branch in field["anyOf"] if branch not in lone]
        return " or ".join(filter(None, (_words(branch, definitions) for branch in branches)))
    if "enum" in field or "const" in field:
        return " | ".join(f'"{value}"' for value in field.get("enum", [field.get("const")]))
    kind: str = field.get("type", "value")
    if kind == "array":
        items = field.get("items") or {}
        words = f"list of {_words(items, definitions)}" if isinstance(items, Mapping) and items else "list"
    elif kind == "object":
        extra = field.get("additionalProperties")
        words = f"table of {_words(extra, definitions)}" if isinstance(extra, Mapping) else "table"
    else:
        words = TYPES.get(kind, str(kind))
    bounds = [text.format(field[key]) for key, text in BOUNDS.items() if key in field]
    return ", ".join(filter(None, [" ".join([words, *bounds]), _range(field)]))
