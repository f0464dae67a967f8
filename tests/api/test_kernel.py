"""In a real kernel: a mistake is its message alone, a stopped cell leaves a folder that is continued in the next one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from page_sessions import page_environment

CELLS = (
    "import os, pathlib, signal, kexp\n"
    "spec = {'name': 'cell', 'dataset': {'use': 'dialect-sample', 'rows': 200}, 'training': {'max_length': 16},\n"
    "        'backbone': {'use': 'tiny', 'layers': 1, 'hidden': 32, 'heads': 2, 'vocabulary': 300}}\n"
    "kexp.run(spec, overrides={'training.epoch': 1, 'training.batch_size': 0})",
    "import kexp.api.notebook\n"
    "class Stopped(kexp.api.notebook.NotebookDisplay):\n"
    "    def event(self, event):\n"
    "        super().event(event)\n"
    "        if event['event'] == 'evaluation':\n"
    "            os.kill(os.getpid(), signal.SIGINT)\n"
    "own, kexp.api.notebook.NotebookDisplay = kexp.api.notebook.NotebookDisplay, Stopped\n"
    "kexp.run(spec, overrides={'training.epochs': 2})",
    "kexp.api.notebook.NotebookDisplay = own\n"
    "import asyncio\n"
    "await asyncio.sleep(0)\n"
    "(folder,) = pathlib.Path('runs/cell').iterdir()\n"
    "result = kexp.run(resume=folder)\n"
    "print(result.status, list(result.epochs['epoch']))",
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory, needs: Callable[[bool, str], None]) -> list[Any]:
    """Return the cells with their outputs."""
    for package in ("nbclient", "ipykernel"):
        needs(importlib.util.find_spec(package) is not None, f"pip install 'kexp[test]', which brings {package}")
    import nbformat
    from nbclient import NotebookClient

    inside, other = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("other")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    environment = {**page_environment(other), "IPYTHONDIR": str(other), "JUPYTER_CONFIG_DIR": str(other)}
    options: dict[str, Any] = {"timeout": 120, "kernel_name": "python3", "allow_errors": True}
    client = NotebookClient(notebook, resources={"metadata": {"path": str(inside)}}, **options)
    client.execute(env=environment)
    return list(notebook.cells)


def errors(cell: Any) -> list[Any]:
    return [output for output in cell["outputs"] if output["output_type"] == "error"]


def test_a_mistake_is_shown_without_a_traceback(executed: list[Any]) -> None:
    (error,) = errors(executed[0])
    assert error["ename"] == "SpecError"
    (shown,) = error["traceback"]
    lines = shown.splitlines()
    assert lines[0].startswith("SpecError: the spec: training.")
    assert len(lines) == 2
    assert "the spec: training.epoch: unknown key of [training]; use training.epochs" in shown


def test_a_stopped_cell_names_the_folder_and_the_next_one_continues(executed: list[Any]) -> None:
    (error,) = errors(executed[1])
    assert error["ename"] == "KeyboardInterrupt"
    assert error["evalue"].startswith("interrupted; continue with: kexp run --resume runs/cell/")
    assert errors(executed[2]) == []
    printed = "".join(output["text"] for output in executed[2]["outputs"] if output.get("name") == "stdout")
    assert printed == "done [1.0, 2.0]\n"


def test_progress_ends_without_a_bar_and_prints_nothing(executed: list[Any]) -> None:
    for cell in executed[1:]:
        shown = [output for output in cell["outputs"] if output["output_type"] == "display_data"]
        assert len(shown) == 1
        assert "<progress" not in shown[0]["data"]["text/html"]
        assert f"epoch {executed.index(cell)}  " in shown[0]["data"]["text/plain"]
        assert [output["text"] for output in cell["outputs"] if output.get("name") == "stderr"] == []
