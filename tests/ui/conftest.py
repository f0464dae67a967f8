"""What the tests of the page share: runs that were trained, a folder for others, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from support import tiny_spec
from typer.testing import CliRunner
from ui_support import served, tab

from kexp.cli import app
from kexp.inference.loading import load
from kexp.ui.app import make_app

SPEC = tiny_spec("seeds = [1, 2]", '[variants.plain]\n[variants.focal]\nobjective.use = "focal"')


@pytest.fixture(scope="package")
def runs(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with two variants and two seeds."""
    folder = tmp_path_factory.mktemp("ui")
    spec = folder / "reviews.toml"
    spec.write_text(SPEC.format(data=reviews), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(spec), "--runs-dir", str(folder / "runs"), "--quiet"])
    assert result.exit_code == 0, result.stderr
    return folder / "runs"


@pytest.fixture(scope="package")
def client(runs: Path) -> TestClient:
    return TestClient(make_app(runs, load, ["testserver"]))


@pytest.fixture
def page(runs: Path, chromium: Any) -> Iterator[Any]:
    """A tab on the runs that were trained."""
    with served(runs, load) as address, tab(chromium, address) as opened:
        yield opened


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A runs folder for runs that are written by hand."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"
