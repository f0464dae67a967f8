"""What the packages say of themselves agrees: addresses, versions, licences, supported Pythons."""

from __future__ import annotations

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
