"""What the README says is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from random import Random

import pytest

from kexp import nested
from kexp.catalog import Catalog
from kexp.cli import app
from kexp.cli.installed import plugins
from kexp.contracts import AugmenterContext
from kexp.plan.validate import validate
from kexp.spec import toml

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text("utf-8")
KOREAN = (REPOSITORY / "README.ko.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_two_commands_set_up_everything() -> None:
    commands = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert "pip install -c constraints.txt -e . -e plugins/kexp-korean && kexp run experiments/dialect.toml" in commands
    assert "pip install -c constraints.txt -e '.[test]' -e plugins/kexp-korean && pytest" in commands


@pytest.mark.parametrize("text", [README, KOREAN], ids=["english", "korean"])
def test_specs_are_valid_but_for_the_data_that_they_name(text: str, catalog: Catalog) -> None:
    whole = [block for block in blocks(text, "toml") if "[dataset]" in block]
    assert whole
    for block in whole:
        table = tomllib.loads(block)
        variants = table.pop("variants", {})
        for changes in ({}, *variants.values()):
            layered = nested.merge({"name": "readme", **table}, toml.expand(changes))
            _, problems = validate(layered, catalog)
            assert [problem.path for problem in problems] == ["dataset.path"], problems


@pytest.mark.parametrize("text", [README, KOREAN], ids=["english", "korean"])
def test_parts_of_specs_are_valid_where_they_are_put(text: str, catalog: Catalog) -> None:
    for block in blocks(text, "toml"):
        if "[dataset]" not in block:
            _, problems = validate(
                {"name": "x", "dataset": "dialect-sample", "backbone": "tiny", **tomllib.loads(block)}, catalog
            )
            assert problems == []


def test_component_example_works() -> None:
    names: dict[str, object] = {}
    (example,) = blocks(README, "python")
    exec(compile(example, "README.md", "exec"), names)
    shout = names["kexp_augmenters"]()["shout"](times=3)
    assert shout.build(AugmenterContext())(["정말 좋다"], [Random(0)]) == ["정말말말 좋다다다"]


def test_every_command_is_described() -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {f"plugins {command.name}" for command in plugins.registered_commands}
    for name in known:
        assert f"kexp {name}" in README, name


def test_every_pool_objective_is_named(catalog: Catalog) -> None:
    for entry in catalog.entries("objective"):
        if entry.options.uses_unlabelled:
            assert f"`{entry.name}`" in README
            assert re.search(rf"\b{entry.name}\b", KOREAN)
