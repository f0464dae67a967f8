"""Runs whose steps run out of memory or of numbers: what is told, recorded, and named by its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support import kexp, tiny_spec
from typer.testing import Result

from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows

FEW = '[labelled]\nper_class = 16\n[augmentation.unlabelled]\nuse = "random-swap"\n'
Write = Callable[[str], Path]


@pytest.fixture
def start(write_spec: Write, reviews: Path, tmp_path: Path) -> Callable[..., Result]:
    def of(top: str = "", tables: str = "", *more: str, **training: Any) -> Result:
        keys = {"epochs": 1, "batch_size": 16, **training}
        text = tiny_spec(f"name = 'spec'\nseeds = [1]\n{top}", f"{tables}[evaluation]\nbaselines = []", **keys)
        return kexp("run", write_spec(text.format(data=reviews)), "--runs-dir", tmp_path / "runs", *more)

    return of


def written(tmp_path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the result of the run and its warnings."""
    (folder,) = (tmp_path / "runs" / "spec").glob("*/default/seed-1")
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return json.loads((folder / "result.json").read_text()), [one for one in events if one["event"] == "warning"]


@pytest.mark.parametrize(
    ("top", "tables", "room"),
    [("", "", 5), ("objective = 'mean-teacher'", FEW, 20)],
    ids=["supervised", "mean-teacher"],
)
def test_smaller_passes_are_told_and_recorded(
    start: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str, tables: str, room: int
) -> None:
    forward = Classifier._forward

    def cramped(self: Classifier, module: torch.nn.Module, rows: TokenRows) -> torch.Tensor:
        if torch.is_grad_enabled() and len(rows) > room:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory")
        return forward(self, module, rows)

    monkeypatch.setattr(Classifier, "_forward", cramped)
    done = start(top, tables)
    assert done.exit_code == 0, done.stderr
    result, warnings = written(tmp_path)
    assert result["rows_per_pass"] == 4
    said = [
        f"out of memory at step 1: from here on a batch takes {passes} passes, of at most {16 // passes} of its 16 rows, "
        "whose gradients are added up; the batch is the same, and steps take longer"
        for passes in (2, 4)
    ]
    assert result["remarks"] == said
    assert [(one["step"], one["message"]) for one in warnings if "memory" in one["message"]] == [
        (1, one) for one in said
    ]
    assert " ".join(done.stderr.split()).count("out of memory at step 1") == 2


def explode(monkeypatch: pytest.MonkeyPatch, at: set[int]) -> None:
    """Let the logits of these training passes, counted from 1, be no numbers."""
    forward, passes = Classifier._forward, 0

    def exploding(self: Classifier, module: torch.nn.Module, rows: TokenRows) -> torch.Tensor:
        nonlocal passes
        passes += torch.is_grad_enabled()
        return forward(self, module, rows) * (math.nan if torch.is_grad_enabled() and passes in at else 1.0)

    monkeypatch.setattr(Classifier, "_forward", exploding)


def named_rows(message: str) -> list[int]:
    return [int(word.strip(",;")) for word in message.partition(" rows ")[2].split("(")[0].split(";")[0].split()]


def test_a_bad_step_is_named_with_its_rows(
    start: Callable[..., Result], reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explode(monkeypatch, {3})
    done = start()
    assert done.exit_code == 1
    result, _ = written(tmp_path)
    assert result["reason"].startswith("the loss is not finite at step 3 (learning rate 0.00")
    rows = named_rows(result["reason"])
    assert len(rows) == len(set(rows)) == 16
    assert set(rows) <= set(range(len(pd.read_csv(reviews))))
    assert "or leave such steps out with training.skip_bad_steps" in result["reason"]


def test_bad_steps_are_left_out_told_and_recorded(
    start: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explode(monkeypatch, {3, 5})
    done = start(skip_bad_steps=2)
    assert done.exit_code == 0, done.stderr
    result, warnings = written(tmp_path)
    assert result["skipped_steps"] == [3, 5]
    assert [one["message"] for one in warnings] == result["remarks"]
    assert [named_rows(message) != [] for message in result["remarks"]] == [True, True]
    assert result["steps"] == 12
    assert all(map(math.isfinite, result["metrics"]["test"].values()))


def test_a_run_with_an_operation_without_a_deterministic_form_names_it_and_goes_on_without(
    start: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Classifier._forward

    def putting(self: Classifier, module: torch.nn.Module, rows: TokenRows) -> torch.Tensor:
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))
        return forward(self, module, rows)

    monkeypatch.setattr(Classifier, "_forward", putting)
    torch.use_deterministic_algorithms(True)
    try:
        failed = start()
    finally:
        torch.use_deterministic_algorithms(False)
    assert failed.exit_code == 1
    remedy = "training.deterministic = false lets two runs of the same spec differ, or use another component"
    result, _ = written(tmp_path)
    assert result["reason"] == f"put_ has no deterministic form on this device; {remedy}"
    # The operation is the same on a CPU with or without the option, which a GPU obeys; it may be changed by then.
    (spec,) = (tmp_path / "runs" / "spec").glob("*/spec.toml")
    text = spec.read_text("utf-8")
    assert "deterministic = true" in text
    spec.write_text(text.replace("deterministic = true", "deterministic = false"), encoding="utf-8")
    done = kexp("run", "--resume", spec.parent)
    assert done.exit_code == 0, done.stderr
    result, _ = written(tmp_path)
    # On a CPU equal specs have equal bits all the same.
    assert (result["status"], result["deterministic"]) == ("done", True)
