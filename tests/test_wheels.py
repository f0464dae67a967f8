"""Built packages in a new virtual environment: kexp's wheel, a package of ``kexp plugins new``, and kexp-example."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import kexp

REPOSITORY = Path(__file__).parent.parent
CONSTRAINTS = REPOSITORY / "constraints.txt"

pytestmark = pytest.mark.wheels


def call(*command: str | Path, folder: Path) -> str:
    """Run a command without what the tests' own environment says, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(source: Path, output: Path) -> Path:
    """Build a package as one that is published is, and return its wheel."""
    call(sys.executable, "-m", "build", "--outdir", output, source, folder=output.parent)
    (wheel,) = output.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Fresh:
    """A virtual environment, and a folder that is no checkout."""

    programs: Path
    folder: Path

    def install(self, *packages: str | Path) -> None:
        call(self.programs / "pip", "install", "-q", "-c", CONSTRAINTS, *packages, folder=self.folder)

    def kexp(self, *arguments: str | Path) -> str:
        return call(self.programs / "kexp", *arguments, folder=self.folder)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, needs: Callable[[bool, str], None]) -> Fresh:
    """An environment that has kexp's wheel and its dependencies alone."""
    needs("KEXP_WHEELS" in os.environ, "builds packages and installs them anew, which takes minutes: KEXP_WHEELS=1")
    folder = tmp_path_factory.mktemp("fresh")
    call(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    fresh = Fresh(folder / "venv" / "bin", folder)
    fresh.install(build(REPOSITORY, folder / "kexp"))
    return fresh


def components_of(folder: Path) -> dict[str, str]:
    components: dict[str, str] = json.loads((folder / "environment.json").read_text("utf-8"))["components"]
    return components


def test_kexp_alone_is_whole(fresh: Fresh) -> None:
    assert fresh.kexp("--version").strip() == f"kexp {kexp.__version__}"
    listed = json.loads(fresh.kexp("plugins", "list", "--json"))
    assert {entry["package"] for entry in listed["components"]} == {"kexp"}
    assert listed["broken"] == []
    installed = json.loads(call(fresh.programs / "pip", "list", "--format", "json", folder=fresh.folder))
    assert not {package["name"] for package in installed} & {"pytest", "hypothesis", "ruff", "kexp-korean"}


def test_a_new_package_runs_in_a_spec(fresh: Fresh) -> None:
    fresh.kexp("plugins", "new", "kexp-dialects", "--kind", "objective", "--kind", "augmenter", "--kind", "metric")
    package = fresh.folder / "kexp-dialects"
    wheel = build(package, fresh.folder / "dist")
    # What was written is gone: what runs is what the wheel has.
    shutil.move(package / "experiments", fresh.folder / "experiments")
    shutil.rmtree(package)
    fresh.install(wheel)
    ran = json.loads(fresh.kexp("run", "experiments/dialects.toml", "--json"))
    used = components_of(fresh.folder / ran["folder"])
    for name in ("objective dialects", "augmenter dialects", "metric dialects"):
        assert used[name] == "kexp-dialects 0.1.0"
    assert 0 < ran["variants"]["default"]["metrics"]["test"]["dialects"]["mean"] <= 1


def test_the_example_runs_and_passes_its_tests(fresh: Fresh) -> None:
    source = REPOSITORY / "plugins" / "kexp-example"
    fresh.install(build(source, fresh.folder / "example"))
    listed = json.loads(fresh.kexp("plugins", "list", "--json"))["components"]
    states = {entry["name"]: entry["state"] for entry in listed if entry["package"] == "kexp-example"}
    assert states == {"generalized-cross-entropy": "ok", "drop-particles": "ok"}

    ran = json.loads(fresh.kexp("run", source / "experiments" / "example.toml", "--json"))
    folder = fresh.folder / ran["folder"]
    used = components_of(folder)
    assert used["objective generalized-cross-entropy"] == used["augmenter drop-particles"] == "kexp-example 0.1.0"
    assert (folder / "robust" / "seed-1" / "diary.jsonl").is_file()

    fresh.install("pytest", "hypothesis")
    # Beside a copy of the tests, so that they do not find the sources.
    shutil.copytree(source, fresh.folder / "copy", ignore=shutil.ignore_patterns("kexp_example"))
    assert " passed" in call(fresh.programs / "python", "-m", "pytest", "-q", folder=fresh.folder / "copy")
