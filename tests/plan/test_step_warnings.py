"""What the number of steps makes pointless is warned of: by the check where the spec states it, else by the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import kexp

SPEC = """
seeds = [1]
[dataset]
use = "dialect-sample"
rows = 120
[labelled]
per_class = 10
[augmentation.unlabelled]
use = "random-deletion"
[backbone]
use = "tiny"
layers = 1
hidden = 32
heads = 2
vocabulary = 200
[objective]
use = "mean-teacher"
decay = 0.9
[training]
batch_size = 4
max_length = 16
[evaluation]
metrics = ["macro_f1"]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "few.toml"
    path.write_text(SPEC, "utf-8")
    return path


def sets(*changes: str) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        (["objective.decay=0.999"], ["objective: decay: 0.999 is not reached in 160 steps"]),
        (["training.ema=0.999"], ["training: ema: 0.999 is not reached in 160 steps"]),
        (["training.ema=0.99"], []),
        (["objective={use = 'softmatch', momentum = 0.999}"], ["objective: momentum: with 0.999, 92% of the running"]),
        (["objective={use = 'softmatch', momentum = 0.999}", "training.gradient_accumulation=10"], []),
    ],
    ids=str,
)
def test_the_check_warns_where_the_spec_states_the_steps(spec: Path, changes: list[str], warned: list[str]) -> None:
    # A table that replaces the objective must not keep the options of another one.
    if any(change.startswith("objective={") for change in changes):
        spec.write_text(SPEC.replace('[objective]\nuse = "mean-teacher"\ndecay = 0.9\n', ""), "utf-8")
    shown = kexp("check", spec, *sets("training.steps=160", *changes))
    assert shown.exit_code == 0
    found = [line for line in shown.stderr.splitlines() if "objective:" in line or "training:" in line]
    assert len(found) == len(warned)
    for line, expected in zip(found, warned, strict=True):
        assert f"warning: {expected}" in line


def test_a_run_of_epochs_warns_once_its_steps_are_known(spec: Path) -> None:
    changes = sets("training.epochs=2", "objective.decay=0.99")
    assert "not reached" not in kexp("check", spec, *changes).stderr
    shown = kexp("run", spec, "--runs-dir", spec.parent / "runs", *changes)
    assert shown.exit_code == 0, shown.output
    assert shown.stderr.count("decay: 0.99 is not reached in 10 steps") == 1
    (folder,) = (spec.parent / "runs").glob("few/*")
    assert "not reached" in (folder / "default/seed-1/log.txt").read_text("utf-8")


def test_one_average_is_evaluated(spec: Path) -> None:
    for name, value in (("ema", 0.9), ("average", 2)):
        shown = kexp("check", spec, *sets("objective.evaluate='teacher'", f"training.{name}={value}"))
        assert shown.exit_code == 2
        assert f"few.toml: training.{name}: the objective has an average of its own that is evaluated" in shown.stderr
    assert kexp("check", spec, *sets("objective.evaluate='teacher'")).exit_code == 0
    assert kexp("check", spec, *sets("training.ema=0.9")).exit_code == 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("training.epochs=1", "trained"),
        ("objective.evaluate='teacher'", "average of the objective"),
        ("training.ema=0.5", "moving average"),
        ("training.average=2", "average of the last evaluations"),
    ],
)
def test_results_say_which_weights_were_evaluated(spec: Path, change: str, name: str) -> None:
    shown = kexp("run", spec, "--runs-dir", spec.parent / "runs", *sets("training.epochs=2", change))
    assert shown.exit_code == 0, shown.output
    (path,) = (spec.parent / "runs").glob("few/*/default/seed-1/result.json")
    assert json.loads(path.read_text("utf-8"))["evaluated_weights"] == name
