"""A run that is over leaves nothing in memory, whatever comes after it in the same process."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from kexp.cli import app
from kexp.experiment import train_and_test as one_run
from kexp.testing import tiny_classifier
from kexp.train.loop import Trainer
from kexp.train.step import OptimizerStep

SPEC = """
seeds = [1, 2, 3]
[dataset]
use = "table"
path = "{data}"
[backbone]
use = "tiny"
layers = 2
hidden = 32
heads = 2
vocabulary = 300
[training]
epochs = 2
batch_size = 16
max_length = 16
[evaluation]
baselines = []
"""
FROZEN = '[freezing]\nuse = "bottom-layers"\nlayers = 1\n'
SEMI_SUPERVISED = "[labelled]\nper_class = 8\n[objective]\nuse = 'mean-teacher'\n[augmentation.unlabelled]\nuse = 'random-deletion'\np = 0.2\n"  # fmt: skip


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Leave everything that is part of a circle of references in memory."""
    # When transformers first imports a model's code it makes such a circle, which holds whoever called it.
    tiny_classifier(("부정", "긍정"))
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def tensor_bytes() -> int:
    return sum(map(_bytes, gc.get_objects()))


def _bytes(item: object) -> int:
    """The bytes of a real tensor; traced ones that an export in this process has left have no size."""
    if type(item) not in (torch.Tensor, torch.nn.Parameter):
        return 0
    try:
        return int(item.nbytes)  # type: ignore[attr-defined]
    except RuntimeError:
        return 0


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("more", [FROZEN, SEMI_SUPERVISED], ids=["frozen", "semi-supervised"])
def test_models_and_optimisers_are_freed_after_their_run(
    more: str, write_spec: Callable[..., Path], reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Any]] = []
    found: list[tuple[int, int]] = []
    assemble, init = one_run.assemble, Trainer.__init__

    def watched_assemble(*given: Any) -> Any:
        found.append((sum(reference() is not None for reference in made), tensor_bytes()))
        assembled = assemble(*given)
        made.append(weakref.ref(assembled.model))
        return assembled

    def watched_init(self: Trainer, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        made.extend((weakref.ref(self), weakref.ref(self.optimizer)))

    monkeypatch.setattr(one_run, "free_memory", lambda: None)
    monkeypatch.setattr(one_run, "assemble", watched_assemble)
    monkeypatch.setattr(Trainer, "__init__", watched_init)
    command = ["run", str(write_spec(SPEC.format(data=reviews) + more)), "--runs-dir", str(tmp_path), "--quiet"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert len(made) == 9
    assert [alive for alive, _ in found] == [0, 0, 0]
    assert not any(reference() for reference in made)
    # What a run leaves are its inputs, which all runs share until the experiment ends, and its hidden states: those of
    # the first run, whose weights were others, are gone when the third begins.
    assert found[1][1] == found[2][1]
    hidden_states = [json.loads(path.read_text("utf-8")).get("hidden_states") for path in tmp_path.rglob("result.json")]
    assert len(hidden_states) == 3
    states = [0 if record is None else int(record["mib"] * 2**20) for record in hidden_states]
    assert (states[0] > 0) == (more == FROZEN)
    assert states == 3 * [states[0]]
    # At the end those of the last run are gone too; some tensors of a few kB are kept by libraries.
    assert tensor_bytes() <= found[2][1] - 0.9 * states[0]


class Held(Exception):
    """An error that is part of a circle of references, as those of many libraries are."""


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("place", ["step", "test"])
def test_a_run_that_fails_leaves_no_model_to_the_next_one(
    place: str, write_spec: Callable[..., Path], reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Any]] = []
    alive: list[int] = []
    emptied: list[int] = []
    assemble = one_run.assemble

    def watched_assemble(*given: Any) -> Any:
        alive.append(sum(reference() is not None for reference in made))
        assembled = assemble(*given)
        made.append(weakref.ref(assembled.model))
        return assembled

    def fail(*given: Any, **named: Any) -> None:
        error = Held("no")
        error.itself = (error, given)  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(one_run, "assemble", watched_assemble)
    monkeypatch.setattr(*((OptimizerStep, "_passes", fail) if place == "step" else (one_run, "save_models", fail)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(len(made)))
    spec = write_spec(SPEC.format(data=reviews).replace("[training]", "[training]\ndevice = 'cpu'"))
    done = CliRunner().invoke(app, ["run", str(spec), "--runs-dir", str(tmp_path), "--quiet"])
    assert done.exit_code == 1
    assert "no" in done.output
    assert (alive, emptied) == ([0, 0, 0], [1, 2, 3])
    assert not any(reference() for reference in made)
