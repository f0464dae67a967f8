from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from kexp.catalog import Catalog
from kexp.hookspecs import KINDS
from kexp.plan.schema import json_schema, options_of

REPOSITORY = Path(__file__).parents[2]


COMMITTED = json.loads((REPOSITORY / "kexp.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def validator(catalog: Catalog) -> Draft7Validator:
    schema = json_schema(catalog)
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


@pytest.mark.parametrize("spec", sorted((REPOSITORY / "experiments").rglob("*.toml")), ids=lambda path: path.name)
def test_experiments_are_valid_and_name_the_schema(spec: Path) -> None:
    """By the committed schema, which knows the components of every package in this repository."""
    text = spec.read_text("utf-8")
    named = text.split("\n", 1)[0].removeprefix("#:schema ")
    assert (spec.parent / named).resolve() == REPOSITORY / "kexp.schema.json"
    assert list(Draft7Validator(COMMITTED).iter_errors(tomllib.loads(text))) == []


def test_committed_schema_is_that_of_what_is_installed(catalog: Catalog) -> None:
    """Packages of this repository that are not installed here are in the committed schema too; the rest is equal."""
    committed = json.loads(json.dumps(COMMITTED))
    for kind in KINDS:
        named, *tables = committed["$defs"][kind]["anyOf"]
        installed = {entry.name for entry in catalog.entries(kind)}
        named["enum"] = [name for name in named["enum"] if name in installed]
        kept = [table for table in tables if table["properties"]["use"]["const"] in installed]
        committed["$defs"][kind]["anyOf"] = [named, *kept]
    expected = json_schema(catalog)
    committed["$defs"] = {name: schema for name, schema in committed["$defs"].items() if name in expected["$defs"]}
    assert committed == expected, "run `make schema` with every package of plugins/ installed"


@pytest.mark.parametrize(
    "mistake",
    [
        {"objective": {"use": "focal", "gama": 2}},
        {"objective": {"use": "focal", "gamma": -1}},
        {"objective": "vocal"},
        {"training": {"epochs": "3"}},
        {"trainin": {}},
    ],
)
def test_mistakes_are_marked_in_an_editor(validator: Draft7Validator, mistake: dict[str, object]) -> None:
    assert list(validator.iter_errors({"dataset": {"use": "nsmc", "path": "."}, "backbone": "tiny", **mistake}))


def test_every_component_is_in_the_schema(catalog: Catalog, validator: Draft7Validator) -> None:
    definitions = validator.schema["$defs"]
    for entry in catalog.entries():
        tables = [table for table in definitions[entry.kind]["anyOf"] if table["type"] == "object"]
        found = [table for table in tables if table["properties"]["use"]["const"] == entry.name]
        assert len(found) == 1
        assert set(found[0]["properties"]) == {"use", *entry.options.model_fields}


def test_options_are_told_in_words(catalog: Catalog) -> None:
    told = {option.name: option for option in options_of(catalog.find("objective", "focal"))}
    assert told["gamma"].type == "number, 0 to 20"
    assert told["gamma"].default == "2.0"
    assert told["alpha"].type == '"none" | "balanced" or list of number'
    layers = {option.name: option for option in options_of(catalog.find("freezing", "bottom-layers"))}["layers"]
    assert (layers.type, layers.default) == ("whole number, at least 1", None)
