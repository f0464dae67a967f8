"""kexp with its own dependencies alone: what is an extra is not needed, and what needs it names it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import tiny_spec

REPOSITORY = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
DEVELOPMENT = {"test", "docs"}
NAMED = re.compile(r"kexp\[([a-z0-9,-]+)\]|-e '\.\[([a-z0-9,-]+)\]'")
PLUGINS = sorted((REPOSITORY / "plugins").glob("*/pyproject.toml"))


def installed_with(requirements: list[str]) -> dict[str, list[Requirement]]:
    """Return what must be installed for requirements, by name, and who asks for it how."""
    found: dict[str, list[Requirement]] = {}
    done, todo = set(), [Requirement(requirement) for requirement in requirements]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name.startswith("kexp"):
            if name == "kexp":
                todo += [Requirement(text) for extra in wanted.extras for text in EXTRAS[extra]]
            continue
        found.setdefault(name, []).append(wanted)
        for extra in {"", *wanted.extras} - {known for at, known in done if at == name}:
            done.add((name, extra))
            try:
                below = [Requirement(text) for text in distribution(name).requires or ()]
            except PackageNotFoundError:
                continue
            todo += [each for each in below if each.marker is None or each.marker.evaluate({"extra": extra})]
    return found


# Runs commands of kexp where only the packages named in the first argument can be found, and prints what they did.
ALONE = """
import json, sys
from importlib import metadata
from pathlib import Path

hidden = set(json.loads(sys.argv[1]))

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]

from typer.testing import CliRunner
from kexp.cli import app

for command in json.loads(sys.argv[2]):
    # A path may have wildcards, as in a shell: a run folder is named by the time.
    words = [str(min(Path(".").glob(word), default=word)) if "*" in word else word for word in command]
    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
    sys.stdout.flush()
"""


def run_alone(folder: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    """Run commands in a Python that has nothing but what pyproject.toml says kexp depends on."""
    there = installed_with(PROJECT["dependencies"])
    hidden = [
        module
        for module, owners in packages_distributions().items()
        if not module.startswith("kexp") and not {canonicalize_name(owner) for owner in owners} & there.keys()
    ]
    assert {"wandb", "cmaes", "plotly", "fastapi", "onnxruntime", "pytest"} <= {*hidden}
    assert not {"torch", "optuna", "matplotlib", "datasets"} & {*hidden}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(hidden), json.dumps(commands)],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


SEARCH = """
[search]
metric = "validation.accuracy"
trials = 2
space = {"training.learning_rate" = {low = 1e-3, high = 1e-2}}
"""


def test_kexp_does_without_every_extra(tmp_path: Path, reviews: Path) -> None:
    text = tiny_spec('name = "tiny"\nseeds = [1]', SEARCH).replace("{data}", str(reviews))
    (tmp_path / "tiny.toml").write_text(text, "utf-8")
    pd.read_csv(reviews).to_excel(tmp_path / "sheet.xlsx", index=False)
    spec, table = "tiny.toml", 'dataset={use="table",path="sheet.xlsx"}'
    run, tune, *told = run_alone(
        tmp_path,
        ["run", spec, "--json"],
        ["tune", spec, "--json"],
        *(["check", spec, "--set", f'trackers=["{name}"]'] for name in ("wandb", "tensorboard", "mlflow", "trackio")),
        ["check", spec, "--set", 'search.sampler="cmaes"'],
        ["check", spec, "--set", 'training.optimizer="adamw-8bit"'],
        ["check", spec, "--set", 'backbone.adapter="lora"'],
        ["run", spec, "--set", table],
        ["tune", spec, "--storage", "grpc://localhost:1"],
        ["tune", spec, "--storage", "postgresql+psycopg://nobody@localhost:1/nothing"],
        ["ui"],
        ["export", "runs/tiny/2*", "--format", "onnx"],
    )
    assert run[0] == 0, run[2]
    folder = tmp_path / json.loads(run[1])["folder"]
    assert "data:image/svg+xml" in (folder / "report.html").read_text("utf-8")

    assert tune[0] == 0, tune[2]
    found = json.loads(tune[1])
    assert found["remarks"][-1] == (
        "study.html has no figures: they need plotly; pip install 'kexp[plotly]', then the same command once more"
    )
    (page,) = tmp_path.glob("runs/tiny/*/study.html")
    assert "Best trials" in page.read_text("utf-8")
    assert "pip install &#39;kexp[plotly]&#39;" in page.read_text("utf-8")

    wanted = [
        "wandb", "tensorboard", "mlflow", "trackio", "cmaes", "adamw-8bit", "lora", "excel", "grpc", "postgresql", "ui",
        "onnx",
    ]  # fmt: skip
    for extra, (status, _, message) in zip(wanted, told, strict=True):
        assert status == 2, (extra, message)
        assert f"pip install 'kexp[{extra}]'" in message
        assert "Traceback" not in message


def texts() -> list[Path]:
    """Return all that is read by users: code, documentation, specs."""
    named = [path for folder in ("kexp", "docs", "plugins", "experiments") for path in (REPOSITORY / folder).rglob("*")]
    kinds = {".py", ".md", ".toml", ".j2", ".cff", ".ipynb"}
    return [path for path in [*named, *REPOSITORY.glob("*.md")] if path.suffix in kinds]


def test_every_extra_that_is_named_exists() -> None:
    named = {}
    for path in texts():
        for found in NAMED.finditer(path.read_text("utf-8")):
            named |= dict.fromkeys((found[1] or found[2]).split(","), path)
    assert {extra: str(path) for extra, path in named.items() if extra not in EXTRAS} == {}
    # An extra that nothing names is one that no user can know of.
    assert EXTRAS.keys() - DEVELOPMENT <= named.keys()


def test_the_tests_install_every_extra_but_those_for_a_gpu() -> None:
    (own,) = [Requirement(text) for text in EXTRAS["test"] if text.startswith("kexp[")]
    assert own.extras == EXTRAS.keys() - DEVELOPMENT - {"adamw-8bit", "energy"}


# --- constraints.txt --------------------------------------------------------------------------------------------------


def pins() -> dict[str, list[Requirement]]:
    """Return the lines of constraints.txt by name; there are several where Pythons or systems differ."""
    found: dict[str, list[Requirement]] = {}
    for line in (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def test_constraints_pin_every_package_that_any_extra_installs() -> None:
    wanted = [*PROJECT["dependencies"], *(text for each in EXTRAS.values() for text in each)]
    for path in PLUGINS:
        plugin = tomllib.loads(path.read_text("utf-8"))["project"]
        wanted += plugin["dependencies"] + [
            text for each in plugin.get("optional-dependencies", {}).values() for text in each
        ]
    pinned, needed = pins(), installed_with(wanted)
    assert needed.keys() - pinned.keys() == set(), "run: make constraints"
    for name, requirements in needed.items():
        for pin in pinned[name]:
            (version,) = pin.specifier
            assert version.operator == "==", pin
            if pin.marker is None or pin.marker.evaluate():
                for requirement in requirements:
                    assert requirement.specifier.contains(version.version, prereleases=True), f"{pin}: {requirement}"


@pytest.mark.parametrize("python", ["3.11.0", "3.11.5", "3.12.0", "3.13.0"])
def test_constraints_pin_one_version_for_every_python(python: str) -> None:
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": "linux"}
    for name, lines in pins().items():
        here = [line for line in lines if line.marker is None or line.marker.evaluate(environment)]
        everywhere = all("sys_platform" not in str(line.marker) for line in lines)
        assert len(here) == 1 or (not here and not everywhere), (name, python)
