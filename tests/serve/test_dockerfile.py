"""The Dockerfile of a served model: that it can be built, as far as can be told without building, and is as the page shows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from pages import check_commands
from support import REPOSITORY

FOLDER = REPOSITORY / "examples" / "serve"
KNOWN = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile and what stands after them, without comments, each on one line."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = re.sub(r"\\\n\s*", "", kept).splitlines()
    return [(name, rest.strip()) for line in lines if line.strip() for name, _, rest in [line.partition(" ")]]


@pytest.fixture(scope="module")
def text() -> str:
    return (FOLDER / "Dockerfile").read_text("utf-8")


@pytest.fixture(scope="module")
def found(text: str) -> list[tuple[str, str]]:
    return instructions(text)


def only(found: list[tuple[str, str]], name: str) -> str:
    (one,) = [rest for of, rest in found if of == name]
    return one


def test_every_instruction_is_known_and_the_base_is_pinned(found: list[tuple[str, str]]) -> None:
    assert {name for name, _ in found} <= KNOWN
    assert found[0][0] == "FROM"
    assert re.fullmatch(r"python:3\.1[123]\.\d+-slim-\w+", only(found, "FROM"))


def test_what_is_copied_is_there_and_not_ignored(found: list[tuple[str, str]]) -> None:
    sent = {
        line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    copied = set()
    for _, rest in (one for one in found if one[0] == "COPY"):
        *sources, _ = shlex.split(rest)
        if sources[0] != "--from=model":
            copied |= set(sources)
    assert copied == sent
    for name in copied:
        assert (REPOSITORY / name).exists(), name
    # What hatchling reads to build the package.
    assert copied >= {"pyproject.toml", "README.md", "LICENSE", "kexp"}


def test_versions_are_those_that_are_tested(found: list[tuple[str, str]]) -> None:
    installs = [rest for name, rest in found if name == "RUN" and "pip install" in rest]
    assert len(installs) == 1
    words = shlex.split(installs[0])
    assert words[words.index("--constraint") + 1] == "constraints.txt"
    assert "--no-cache-dir" in words
    assert ".[serve]" in words
    assert "serve = [" in (REPOSITORY / "pyproject.toml").read_text("utf-8")


def test_server_has_no_rights_of_root_and_is_asked_for_its_health(found: list[tuple[str, str]]) -> None:
    names = [name for name, _ in found]
    assert only(found, "USER") not in ("root", "0")
    # Nothing is installed by the user, and all that follows runs as it.
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    assert names.index("USER") < names.index("CMD")
    # As a list, so that signals reach the server and not a shell.
    command = json.loads(only(found, "CMD"))
    check_commands(shlex.join(command), REPOSITORY)
    assert command[:2] == ["kexp", "serve"]
    port = command[command.index("--port") + 1]
    assert only(found, "EXPOSE") == port
    health = only(found, "HEALTHCHECK")
    checked = json.loads(health.partition("CMD ")[2])
    assert checked[:2] == ["python", "-c"]
    compile(checked[2], "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{port}/health" in checked[2]


def test_page_shows_the_file_and_its_commands(text: str) -> None:
    page = (REPOSITORY / "docs" / "publishing.md").read_text("utf-8")
    comment, _, rest = text.partition("FROM ")
    assert f"```text\nFROM {rest}```\n" in page
    for line in re.findall(r"^#     (docker .*)$", comment, re.MULTILINE):
        assert line.replace("FOLDER", "varieties").replace("reviews", "varieties") in page
    assert Path("examples/serve/Dockerfile").as_posix() in page
