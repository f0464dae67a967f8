"""The notebook in examples/: it runs from top to bottom in a kernel, and its link leads to it."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_sessions import page_environment

REPOSITORY = Path(__file__).parent.parent
NOTEBOOKS = sorted((REPOSITORY / "examples").glob("*.ipynb"))
URLS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["urls"]


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, tmp_path: Path, needs: Callable[[bool, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("nbclient", "ipykernel"):
        needs(importlib.util.find_spec(package) is not None, f"pip install 'kexp[test]', which brings {package}")
    import nbformat
    from nbclient import NotebookClient

    inside, other = tmp_path / "page", tmp_path / "other"
    inside.mkdir()
    other.mkdir()
    environment = {**page_environment(other), "IPYTHONDIR": str(other), "JUPYTER_CONFIG_DIR": str(other)}
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(inside)}})
    client.execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    # Warnings, and what libraries print, go to standard error.
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    pages = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    (folder,) = inside.glob("runs/quickstart/*")
    accuracy = json.loads((folder / "summary.json").read_text("utf-8"))["variants"]["focal"]["metrics"]["test"]
    assert f"<td>{accuracy['accuracy']['mean']:.4f} ± " in pages
    # Progress ends without a bar, whatever was shown before.
    assert "<progress" not in pages
    figures = [output for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(figures) == 2


def test_a_notebook_is_kept_without_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        for cell in cells(path):
            kept = [name for name in ("outputs", "execution_count") if cell.get(name)]
            assert kept == [], f"{path.name}: clear its outputs"


def test_its_addresses_are_those_of_the_package() -> None:
    """The addresses of a notebook, and the link of the documentation, lead to the repository that pyproject names."""
    repository = URLS["Source"].removeprefix("https://github.com/")
    links = {}
    for path in NOTEBOOKS:
        text = "".join(line for cell in cells(path) for line in cell["source"])
        links[path.name] = f"https://colab.research.google.com/github/{repository}/blob/main/examples/{path.name}"
        assert f"({links[path.name]})" in text
        assert set(re.findall(r"git\+(https://[^\"\s#]+)", text)) == {URLS["Source"]}
    for page in ("docs/python.md", "README.md"):
        found = re.findall(r"https://colab\.research\.google\.com/[^)\s]+", (REPOSITORY / page).read_text("utf-8"))
        assert found, page
        assert set(found) <= set(links.values()), page
