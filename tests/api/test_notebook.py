"""Progress in a notebook, without one: a stand-in for IPython collects what would be shown."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from support import tiny_spec

import kexp


class Handle:
    """An output of a cell: what it has shown, one after the other."""

    def __init__(self, shown: Any) -> None:
        self.pages = [shown._repr_html_()]
        self.texts = [repr(shown)]

    def update(self, shown: Any) -> None:
        self.pages.append(shown._repr_html_())
        self.texts.append(repr(shown))


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[Handle]:
    found: list[Handle] = []
    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.version_info = (9, 0)  # type: ignore[attr-defined]
    package.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]

    def display(shown: Any, *, display_id: bool) -> Handle:
        assert display_id
        found.append(Handle(shown))
        return found[-1]

    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("kexp.api.notebook.SECONDS", 0.0)
    return found


def spec(reviews: Path, **changes: Any) -> dict[str, Any]:
    import tomllib

    table = tomllib.loads(tiny_spec(epochs=2).format(data=reviews))
    return {"name": "small", **table, **changes}


def test_a_run_is_one_output_that_is_written_over(
    reviews: Path, tmp_path: Path, outputs: list[Handle], capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"a<b": {"training.epochs": 1}}
    with pytest.raises(kexp.SpecError):
        kexp.run(spec(reviews, variants=names), runs_dir=tmp_path)
    assert outputs == []
    result = kexp.run(spec(reviews, seeds=[1, 2]), runs_dir=tmp_path)
    (output,) = outputs
    # The bar begins empty, ends full, and is gone at the end.
    bars = [re.search(r'value="(\d+)" max="(\d+)"', page) for page in output.pages]
    values = [int(bar[1]) for bar in bars if bar]
    assert (min(values), max(values)) == (0, int(next(bar[2] for bar in bars if bar)))
    assert "<progress" not in output.pages[-1]
    last = output.texts[-1].splitlines()
    evaluations = [line for line in last if "  epoch " in line]
    expected = [f"default seed {seed}  epoch {epoch}" for seed in (1, 2) for epoch in (1, 2)]
    assert [line[: len(expected[0])] for line in evaluations] == expected
    accuracy = result.epochs["accuracy"].iloc[-1]
    assert f"accuracy {accuracy:.4f}" in evaluations[-1]
    assert next(line for line in last if "done in" in line).startswith("default seed 1  done in ")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_texts_are_escaped(outputs: list[Handle]) -> None:
    from kexp.api.notebook import NotebookDisplay

    display = NotebookDisplay()
    display.phase("reading <b>글</b> at https://me:geheim-12345@host")
    display.event({"event": "warning", "step": 0, "message": "<script>alert(1)</script>"})
    assert "<script>" not in outputs[0].pages[-1]
    assert "&lt;b&gt;글&lt;/b&gt;" in outputs[0].pages[-1]
    assert "geheim" not in outputs[0].pages[-1] + outputs[0].texts[-1]


def test_many_lines_are_cut(outputs: list[Handle]) -> None:
    from kexp.api.notebook import LINES, NotebookDisplay

    display = NotebookDisplay()
    for number in range(LINES + 5):
        display.event({"event": "warning", "step": 0, "message": f"number {number}"})
    assert len(outputs[0].texts[-1].splitlines()) == LINES
    assert outputs[0].texts[-1].endswith(f"number {LINES + 4}")


def test_runs_at_once_have_a_bar_each(outputs: list[Handle], tmp_path: Path) -> None:
    from kexp.api.notebook import NotebookDisplay
    from kexp.repeats import Repeat

    display = NotebookDisplay()
    runs = [display.beside("<a>", Repeat(seed)) for seed in (1, 2)]
    runs[0].phase("reading the data…")
    assert "&lt;a&gt; seed 1  reading the data…" in outputs[0].pages[-1]
    for number, run in enumerate(runs, start=1):
        run.run_started("<a>", Repeat(number), 10, 0)
    runs[1].event({"event": "step", "step": 4, "loss": 0.5, "examples_per_second": 1.0})
    display._show()
    assert re.findall(r'value="(\d+)" max="(\d+)"', outputs[0].pages[-1]) == [("0", "10"), ("4", "10")]
    assert outputs[0].texts[-1].splitlines() == ["<a> seed 1", "0/10", "<a> seed 2  loss 0.500", "4/10"]
    runs[0].run_ended({"status": "failed", "variant": "<a>", "seed": 1, "reason": "its process was killed"}, tmp_path)
    assert outputs[0].texts[-1].splitlines() == [
        "<a> seed 1 failed: its process was killed", "<a> seed 2  loss 0.500", "4/10",
    ]  # fmt: skip


def test_runs_at_once_from_python(reviews: Path, tmp_path: Path) -> None:
    result = kexp.run(spec(reviews, seeds=[1, 2]), jobs=2, runs_dir=tmp_path, progress=False)
    assert result.status == "done"
    assert sorted(path.parent.name for path in tmp_path.glob("*/*/default/*/.lock")) == ["seed-1", "seed-2"]
    with pytest.raises(kexp.SpecError, match=r"execution\.jobs"):
        kexp.run(spec(reviews), jobs=0, runs_dir=tmp_path)


def test_no_progress_shows_nothing(reviews: Path, outputs: list[Handle]) -> None:
    kexp.dry_run(spec(reviews), progress=False)
    assert outputs == []


def test_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    from kexp.api.notebook import in_notebook

    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()
    # The shell of IPython in a terminal.
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=types.SimpleNamespace))
    assert not in_notebook()
