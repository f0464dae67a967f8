"""``kexp plugins new``: what it writes installs, passes its own tests and works in a spec as it is."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import kexp
from kexp import catalog as catalog_module
from kexp import hookspecs
from kexp.catalog import load_catalog
from kexp.cli import app
from kexp.hookspecs import HOOK_OF_KIND
from kexp.plan.validate import validate
from kexp.scaffold.kinds import KINDS, component
from kexp.scaffold.package import package_files
from kexp.spec import toml
from kexp.testing import untested

# A translator is of use to back-translation alone, which is a package of its own.
ALONE = [kind for kind in KINDS if kind != "translator"]


def new(folder: Path, name: str, kinds: Sequence[str]) -> Result:
    stated = [word for kind in kinds for word in ("--kind", kind)]
    return CliRunner().invoke(app, ["plugins", "new", name, "--output", str(folder), *stated], catch_exceptions=False)


def as_if_installed(folder: Path) -> dict[str, str]:
    """Leave beside a package what pip would, and return an environment in which Python finds both."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["kexp"].items()
    (info / "entry_points.txt").write_text("[kexp]\n" + "".join(f"{name} = {value}\n" for name, value in points))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def passes_its_tests(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=as_if_installed(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    assert new(folder, "kexp-all-kinds", ALONE).exit_code == 0
    return folder / "kexp-all-kinds"


def test_a_package_of_all_kinds_passes_its_tests(package: Path) -> None:
    passed = re.search(r"(\d+) passed", passes_its_tests(package))
    # A suite per kind, tests of its own, the spec and the command.
    assert passed is not None
    assert int(passed[1]) > 300


def test_a_translator_passes_its_tests_with_back_translation(
    tmp_path: Path, needs: Callable[[bool, str], None]
) -> None:
    needs(find_spec("kexp_backtranslation") is not None, "kexp-backtranslation is not installed")
    assert new(tmp_path, "kexp-words", ["translator", "augmenter"]).exit_code == 0
    passes_its_tests(tmp_path / "kexp-words")
    project = tomllib.loads((tmp_path / "kexp-words" / "pyproject.toml").read_text("utf-8"))["project"]
    assert "kexp-backtranslation>=0.1" in project["dependencies"]


def test_what_is_written_is_clean_and_typed(package: Path, tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nplugins = pydantic.mypy\n[mypy-datasets.*]\nignore_missing_imports = True\n"
    )
    for command in (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path / "cache"), "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=package, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_of_one_kind_is_whole(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"kexp-only-{kind}"
    content = package_files(package, [kind])
    for path, text in content.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
        assert not re.search(r"\bmy[-_](name|package)|\bMy[A-Z]|{[{%]", text.replace("${{ matrix", "")), path
    points = tomllib.loads(content["pyproject.toml"])["project"]["entry-points"]["kexp"]
    there = list(catalog_module.entry_points(group="kexp"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        catalog_module,
        "entry_points",
        lambda group: [*there, *(EntryPoint(name, value, group) for name, value in points.items())],
    )
    catalog = load_catalog()
    assert catalog.broken == []
    (module,) = [importlib.import_module(value) for value in points.values()]
    assert module.KEXP_API == kexp.API_VERSION
    if kind in hookspecs.KINDS:
        name = component(kind, f"only-{kind}")
        assert catalog.find(kind, name).options.__module__ == module.__name__
        assert [*getattr(module, HOOK_OF_KIND[kind])()] == [name]
        tests = runpy.run_path(str(tmp_path / "tests" / f"test_{kind.replace('-', '_')}.py"))
        assert untested(module, tests) == []
    if kind == "translator" and find_spec("kexp_backtranslation") is None:
        return
    table = toml.read(tmp_path / "experiments" / f"only-{kind}.toml")
    _, problems = validate({"name": "x", **table}, catalog)
    assert problems == []


def test_there_is_a_template_for_everything_that_a_plugin_can_bring() -> None:
    assert set(KINDS) == {*hookspecs.KINDS, "observer", "command"}


def test_an_augmenter_is_what_one_begins_with(tmp_path: Path) -> None:
    result = new(tmp_path, "kexp-dialects", [])
    assert result.stdout.strip() == str(tmp_path / "kexp-dialects")
    assert "pip install -e '.[test]' && pytest && kexp run experiments/dialects.toml" in result.stderr
    assert "class DialectsAugmenter(" in (tmp_path / "kexp-dialects/kexp_dialects/augmenter.py").read_text("utf-8")


def test_components_need_no_prefix(tmp_path: Path) -> None:
    assert new(tmp_path, "dialects", ["metric"]).exit_code == 0
    assert '{"dialects": DialectsMetric}' in (tmp_path / "dialects/dialects/metric.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "kinds", "message"),
    [
        ("Kexp Dialects", [], '"Kexp Dialects" cannot name a package; expected small letters'),
        ("kexp-", [], '"kexp-" cannot name a package'),
        ("kexp-2nd", [], '"kexp-2nd" cannot name a package'),
        ("class", [], '"class" cannot name a package'),
        ("../escape", [], '"../escape" cannot name a package'),
        ("torch", [], '"torch" is the name of something that is installed; choose another, such as kexp-torch'),
        ("json", [], '"json" is the name of something that is installed'),
        ("kexp-korean", [], '"kexp-korean" is the name of something that is installed'),
        ("kexp-supervised", ["objective"], "would have two classes of the name SupervisedObjective; choose another"),
        ("kexp-uda", ["objective"], 'objective "uda" is there already, from kexp 0.1.0; choose another name'),
        ("kexp-macro-f1", ["metric"], 'metric "macro_f1" is there already, from kexp 0.1.0'),
        ("kexp-compare", ["command"], 'kexp has a command "compare" already; choose another name'),
        ("kexp-x", ["augmentor"], 'unknown kind "augmentor"; did you mean "augmenter"?'),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path: Path, name: str, kinds: list[str], message: str) -> None:
    result = new(tmp_path, name, kinds)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kexp-dialects").mkdir()
    result = new(tmp_path, "kexp-dialects", [])
    assert result.exit_code == 2
    assert "exists; choose another name, or another place with --output" in result.stderr
    (tmp_path / "file").write_text("")
    result = new(tmp_path / "file", "kexp-dialects", [])
    assert result.exit_code == 2
    assert "cannot be made: Not a directory" in result.stderr
