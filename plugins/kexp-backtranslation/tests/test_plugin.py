"""The package as kexp sees it: specs name its components, the entry point and the read-me are complete."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kexp.catalog import Catalog
from kexp.options import SpecText
from kexp.plan.cross_checks import sections_in
from kexp.plan.schema import json_schema
from kexp_backtranslation import plugin
from kexp_backtranslation.augmenter import BackTranslation
from kexp_backtranslation.gate import Gate
from kexp_backtranslation.models import ModelSource

PACKAGE = Path(__file__).parents[1]
COMPONENTS = {**plugin.kexp_augmenters(), **plugin.kexp_translators()}


def validate(table: dict[str, Any], catalog: Catalog) -> BackTranslation:
    return BackTranslation.model_validate(table, context={"catalog": catalog})


def test_a_spec_names_everything(catalog: Catalog, tmp_path: Path) -> None:
    options = validate(
        {
            "translator": {"use": "marian", "model": {"path": SpecText("ko-en", tmp_path)}, "batch_tokens": 512},
            "back": {"use": "command", "command": ["no-such-program", "--quick"]},
            "gate": {"min_characters": 5, "classifier": SpecText("run/model", tmp_path)},
            "fallback": "keep-original",
        },
        catalog,
    )
    assert options.translator.model.path == tmp_path / "ko-en"  # type: ignore[attr-defined]
    assert options.gate.classifier == tmp_path / "run" / "model"
    found = [problem.under(place) for place, part in sections_in("augmenter", options) for problem in part.problems()]
    assert {problem.path for problem in found} == {
        "augmenter.translator.model.path", "augmenter.back", "augmenter.back.command", "augmenter.gate.classifier"
    }  # fmt: skip
    dumped = options.model_dump(mode="json", context={"catalog": catalog}, exclude_none=True)
    assert dumped["translator"]["use"] == "marian"
    assert dumped["back"]["command"] == ["no-such-program", "--quick"]
    assert validate(dumped, catalog) == options


def test_a_bare_name_and_unknown_options(catalog: Catalog) -> None:
    with pytest.raises(ValidationError, match='unknown option of translator "ctranslate2"; did you mean "compute"'):
        validate({"translator": {"use": "ctranslate2", "model": {"hub": "a/b"}, "comptue": "int8"}}, catalog)
    with pytest.raises(ValidationError, match='did you mean "marian"'):
        validate({"translator": "marain"}, catalog)


def test_the_schema_holds_the_components(catalog: Catalog) -> None:
    definitions = json_schema(catalog)["$defs"]
    assert {"marian", "ctranslate2", "command"} <= set(definitions["translator"]["anyOf"][0]["enum"])
    assert "back-translation" in definitions["augmenter"]["anyOf"][0]["enum"]


def test_the_entry_point_is_the_plugin() -> None:
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]
    assert import_module(project["entry-points"]["kexp"]["backtranslation"]) is plugin


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_every_option_is_documented(name: str) -> None:
    readme = (PACKAGE / "README.md").read_text("utf-8")
    assert f"`{name}`" in readme
    options = COMPONENTS[name]
    assert options.__doc__
    for option, field in options.model_fields.items():
        assert field.description, option
        assert f"`{option}`" in readme, option
    for section in (Gate, ModelSource):
        for option, field in section.model_fields.items():
            assert field.description
            assert f"`{option}`" in readme, option


def test_importing_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, kexp_backtranslation.plugin\n"
        "heavy = {'torch', 'transformers', 'ctranslate2', 'sacrebleu', 'sentencepiece', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE, timeout=60)
