"""Batches of a number of tokens, in training and in evaluations."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support import kexp, tiny_spec
from typer.testing import Result

from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows

Pass = tuple[bool, list[int]]
"""Whether a pass trains, and the lengths of its rows."""


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Pass]:
    """Record every forward pass."""
    found: list[Pass] = []
    forward = Classifier._forward

    def recorded(self: Classifier, module: torch.nn.Module, rows: TokenRows, *more: Any) -> torch.Tensor:
        found.append((module.training, rows.lengths.tolist()))
        return forward(self, module, rows, *more)

    monkeypatch.setattr(Classifier, "_forward", recorded)
    return found


@pytest.fixture
def start(write_spec: Callable[[str], Path], reviews: Path, tmp_path: Path) -> Callable[..., tuple[Result, Path]]:
    """Return a function that runs a spec with some settings; it returns the result and the folder of the run."""
    numbers = count()

    def of(*settings: str, tables: str = "", **training: Any) -> tuple[Result, Path]:
        text = tiny_spec("name = 'spec'\nseeds = [1]", f"{tables}[evaluation]\nbaselines = []", **training)
        options = [word for setting in settings for word in ("--set", setting)]
        runs = tmp_path / str(next(numbers))
        done = kexp("run", write_spec(text.format(data=reviews)), "--runs-dir", runs, "--quiet", *options)
        (folder,) = runs.glob("spec/*/default/seed-1")
        return done, folder

    return of


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_passes_of_an_evaluation_are_as_large_as_stated_and_change_nothing(
    start: Callable[..., tuple[Result, Path]], passes: list[Pass]
) -> None:
    fitting: dict[str, Callable[[list[int]], bool]] = {
        "evaluation.batch_size=1": lambda lengths: len(lengths) == 1,
        "evaluation.oracle=true": lambda lengths: len(lengths) == 24,
        "evaluation.batch_tokens=64": lambda lengths: max(lengths) * len(lengths) <= 64,
        "evaluation.batch_size=5": lambda lengths: len(lengths) in (5, 4),
    }
    found = []
    for setting, allowed in fitting.items():
        passes.clear()
        done, folder = start(setting, epochs=1)
        assert done.exit_code == 0, done.stderr
        evaluated = [lengths for training, lengths in passes if not training]
        # Validation and test have 24 rows each.
        assert sum(map(len, evaluated)) == 48
        assert all(map(allowed, evaluated))
        predictions = pd.read_parquet(folder / "predictions.parquet")
        found.append(((folder / "model" / "model.safetensors").read_bytes(), predictions))
    # What is trained does not depend on how it is evaluated.
    assert {weights for weights, _ in found} == {found[0][0]}
    for _, predictions in found[1:]:
        pd.testing.assert_frame_equal(predictions, found[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stated", ["batch_size", "batch_tokens"])
def test_an_evaluation_that_needs_too_much_memory_names_its_own_option(
    start: Callable[..., tuple[Result, Path]], monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    forward = Classifier._forward

    def cramped(self: Classifier, module: torch.nn.Module, *given: Any) -> torch.Tensor:
        if not module.training:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(self, module, *given)

    monkeypatch.setattr(Classifier, "_forward", cramped)
    done, folder = start(f"evaluation.{stated}=1000", epochs=1)
    assert done.exit_code == 1
    assert result_of(folder)["reason"] == (
        f"out of memory in an evaluation; lower evaluation.{stated} (CUDA out of memory. Tried to allocate 2 GiB)"
    )


# --- training --------------------------------------------------------------------------------------------------------

TOKENS = {"batch_size": None, "batch_tokens": 100, "epochs": 2}
FEW = '[labelled]\nper_class = 16\n[augmentation.unlabelled]\nuse = "random-swap"\n'


@pytest.mark.parametrize("accumulation", [1, 3])
def test_steps_have_about_as_many_tokens_as_stated(
    start: Callable[..., tuple[Result, Path]], passes: list[Pass], accumulation: int
) -> None:
    done, folder = start(**TOKENS, gradient_accumulation=accumulation)
    assert done.exit_code == 0, done.stderr
    trained = [lengths for training, lengths in passes if training]
    # Each of the 192 rows has 8 tokens: 16 batches are alike, and there is no small last one.
    batches = -(-192 * 8 // 100)
    assert [sum(lengths) for lengths in trained] == 2 * batches * [96]
    result = result_of(folder)
    assert result["steps"] == 2 * -(-batches // accumulation)
    assert result["epochs"] == 2
    spec = tomllib.loads((folder.parent.parent / "spec.toml").read_text())
    assert spec["training"]["batch_tokens"] == 100
    assert "batch_size" not in spec["training"]


@pytest.mark.parametrize("objective", ["cross-entropy", "mean-teacher"])
def test_smaller_passes_are_recorded_in_tokens(
    start: Callable[..., tuple[Result, Path]], monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    forward = Classifier._forward

    def cramped(self: Classifier, module: torch.nn.Module, rows: TokenRows, *more: Any) -> torch.Tensor:
        if torch.is_grad_enabled() and rows.lengths.sum() > (60 if objective == "cross-entropy" else 360):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory")
        return forward(self, module, rows, *more)

    monkeypatch.setattr(Classifier, "_forward", cramped)
    tables = FEW if objective == "mean-teacher" else ""
    done, folder = start(f"objective={objective}", tables=tables, **{**TOKENS, "epochs": 1})
    assert done.exit_code == 0, done.stderr
    result = result_of(folder)
    assert "rows_per_pass" not in result
    assert result["tokens_per_pass"] in (50, 25)
    assert result["remarks"][0].startswith("out of memory at step 1: from here on a batch takes 2 passes")


def test_more_unlabelled_rows_than_there_are_is_refused(
    write_spec: Callable[[str], Path], reviews: Path, tmp_path: Path
) -> None:
    text = tiny_spec("objective = 'mean-teacher'", FEW, **{**TOKENS, "unlabelled_ratio": 30})
    done = kexp("run", write_spec(text.format(data=reviews)), "--runs-dir", tmp_path / "runs")
    assert done.exit_code == 2
    assert re.search(
        r"training.unlabelled_ratio: a step takes up to \d+ unlabelled rows, but there are 144; lower it, or "
        r"training.batch_tokens",
        " ".join(done.stderr.split()),
    )
    assert not (tmp_path / "runs").exists()
