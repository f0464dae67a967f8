"""What the packages say of themselves agrees: addresses, versions, licences, supported Pythons."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import kexp

REPOSITORY = Path(__file__).parent.parent
PLUGINS = sorted(path.parent.name for path in (REPOSITORY / "plugins").glob("*/pyproject.toml"))


def project(folder: Path = REPOSITORY) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def pythons(of: dict[str, Any]) -> list[str]:
    return re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(of["classifiers"]))


KEXP = project()
SOURCE = KEXP["urls"]["Source"]


def test_the_package_says_where_the_project_lives() -> None:
    assert set(KEXP["urls"]) == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith("https://") for url in KEXP["urls"].values())
    assert KEXP["urls"]["Issues"] == f"{SOURCE}/issues"
    assert KEXP["requires-python"] == f">={pythons(KEXP)[0]}"


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_package_agrees_with_kexp(name: str) -> None:
    folder = REPOSITORY / "plugins" / name
    plugin = project(folder)
    assert plugin["name"] == name
    assert plugin["urls"] == {
        "Homepage": SOURCE,
        "Documentation": KEXP["urls"]["Documentation"],
        "Source": f"{SOURCE}/tree/main/plugins/{name}",
        "Issues": KEXP["urls"]["Issues"],
    }
    for key in ("license", "license-files", "requires-python", "readme"):
        assert plugin[key] == KEXP[key], key
    assert pythons(plugin) == pythons(KEXP)
    assert set(plugin["classifiers"]) <= set(KEXP["classifiers"])
    assert (folder / "LICENSE").read_text("utf-8") == (REPOSITORY / "LICENSE").read_text("utf-8")
    assert (folder / plugin["readme"]).is_file()


def test_the_site_is_where_the_package_says() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text("utf-8")
    assert f"site_url: {KEXP['urls']['Documentation']}\n" in text
    assert f'href="{SOURCE}"' in text


def test_the_citation_agrees_with_the_package() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))
    # What version 1.2.0 of the format requires.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == KEXP["name"]
    assert citation["version"] == kexp.__version__
    assert citation["license"] == KEXP["license"]
    assert citation["repository-code"] == SOURCE
    assert citation["url"] == KEXP["urls"]["Documentation"]
    assert citation["abstract"] == KEXP["description"]
    assert citation["keywords"] == KEXP["keywords"]


def test_no_other_address_of_the_project_is_named() -> None:
    """Whoever moves the project changes pyproject.toml, and this test names the other places."""
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "plugins").glob("*/*.md")]
    for page in pages:
        for address in re.findall(r"https://[^\s)\"'>]*/kexp\b[^\s)\"'>]*", page.read_text("utf-8")):
            assert address.startswith((SOURCE, KEXP["urls"]["Documentation"])), f"{page}: {address}"


# --- GitHub Actions ---------------------------------------------------------------------------------------------------

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def workflow(path: Path) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for true; BaseLoader leaves every scalar as it is written.
    table: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)
    return table


def test_ci_runs_on_every_python_that_the_package_names() -> None:
    (job,) = workflow(REPOSITORY / ".github" / "workflows" / "ci.yml")["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == pythons(KEXP)
    assert job["container"]["image"].startswith("python:${{ matrix.python }}-")
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_little_and_names_versions(path: Path) -> None:
    table = workflow(path)
    assert table["permissions"] == {"contents": "read"}
    assert set(table["on"]) <= {"push", "pull_request"}
    for job in table["jobs"].values():
        assert int(job["timeout-minutes"]) <= 180
        assert set(job.get("permissions", {})) <= {"pages", "id-token"}
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step.get("uses", "actions/checkout@v4"))
            # A caller's text in a script would be a command.
            assert "${{" not in step.get("run", "")
            for command in re.findall(r"make ((?:\w+ ?)+)", step.get("run", "")):
                targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
                assert set(command.split()) <= set(targets)
