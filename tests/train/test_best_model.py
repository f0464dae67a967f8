"""Which of several evaluations with equal metrics is the best one: that of the lower validation loss."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from small_training import trainer

from kexp import tensor_files
from kexp.errors import RunInterrupted
from kexp.train.events import Evaluated, Finished
from kexp.train.loop import Trainer

Found = list[tuple[float, float | None]]
"""Monitored metric and validation loss of every evaluation."""

nan = math.nan


def compared(folder: Path, found: Found, *, greater_is_better: bool = True, **options: Any) -> Trainer:
    """Return a trainer that evaluates after every step and finds the next of these."""
    run = trainer(folder, evaluate_every=1, **{"steps": len(found), **options})
    scores, losses = iter(found), iter(found)
    run.evaluate = lambda: {"macro_f1": next(scores)[0]}
    run.details = lambda: {"validation_loss": next(losses)[1]}
    run.greater_is_better = greater_is_better
    return run


@pytest.mark.parametrize("greater_is_better", [True, False])
@pytest.mark.parametrize(
    ("found", "best"),
    [
        ([(0.8, 0.9), (0.9, 0.4), (0.9, 0.2), (0.9, 0.1), (0.9, 0.3)], 4),
        # The monitor comes first, whatever the loss.
        ([(0.9, 5.0), (0.8, 0.1), (0.8, 0.0)], 1),
        # Of equals in both, the earlier.
        ([(0.9, 0.2), (0.9, 0.2)], 1),
        # A loss that is no number loses to any, and so does a metric.
        ([(0.9, nan), (0.9, 7.0), (0.9, nan)], 2),
        ([(nan, 3.0), (nan, 1.0), (nan, 2.0)], 2),
        ([(nan, 0.1), (0.2, nan)], 2),
        ([(0.9, math.inf), (0.9, 1.0)], 2),
        # Without a loss there is nothing that breaks a tie.
        ([(0.9, None), (0.9, None)], 1),
    ],
)
def test_ties_are_broken_by_the_validation_loss(
    tmp_path: Path, found: Found, best: int, greater_is_better: bool
) -> None:
    signed = [(score if greater_is_better else -score, loss) for score, loss in found]
    run = compared(tmp_path, signed, greater_is_better=greater_is_better)
    evaluations = [event for event in run.events() if isinstance(event, Evaluated)]
    # What is shown, what is kept and what is written are the same evaluation.
    assert [event.step for event in evaluations if event.best][-1] == best
    assert (run.state.best_step, run.kept_step) == (best, best)
    assert [step for *_, step in run.state.kept] == [best]


def test_a_monitor_that_is_the_loss_itself_keeps_the_earlier_of_equals(tmp_path: Path) -> None:
    run = compared(tmp_path, [(0.3, 0.3), (0.2, 0.2), (0.2, 0.2)], greater_is_better=False)
    list(run.events())
    assert run.state.best_step == 2


def test_of_equals_those_with_the_lowest_losses_are_kept_in_order(tmp_path: Path) -> None:
    run = compared(tmp_path, [(0.9, 0.4), (0.9, 0.1), (0.8, 0.0), (0.9, 0.3), (0.9, 0.1)], keep=3)
    list(run.events())
    assert run.state.kept == [(0.9, 0.1, 2), (0.9, 0.1, 5), (0.9, 0.3, 4)]


def test_a_tie_is_no_improvement_that_patience_waits_for(tmp_path: Path) -> None:
    run = compared(tmp_path, [(0.5, 0.9), (0.6, 0.8), (0.6, 0.7), (0.6, 0.6), (0.6, 0.5)], patience=2)
    finished = [event for event in run.events() if isinstance(event, Finished)]
    assert finished == [Finished(step=4, best_step=4, best_epoch=0.8, stopped_early=True)]


def test_ties_are_broken_alike_after_an_interruption(tmp_path: Path) -> None:
    found: Found = [(0.9, 0.4), (0.9, 0.2), (0.9, 0.3), (0.9, 0.1)]
    first = compared(tmp_path, found, keep=2)
    with pytest.raises(RunInterrupted):
        list(first.events(lambda: first.state.step == 2))
    second = compared(tmp_path, found[2:], keep=2, steps=4)
    assert second.resume() == 2
    list(second.events())
    assert second.state.kept == [(0.9, 0.1, 4), (0.9, 0.2, 2)]
    assert (second.state.best_loss, second.state.best_step) == (0.1, 4)


def test_a_checkpoint_without_losses_is_still_read(tmp_path: Path) -> None:
    list(compared(tmp_path, [(0.9, 0.4), (0.8, 0.3)], keep=2).events())
    newest = tmp_path / "step-2.safetensors"
    value = tensor_files.load(newest, {})
    # As earlier versions wrote it.
    del value["state"]["best_loss"]
    value["state"]["kept"] = [(0.9, 1), (0.8, 2)]
    tensor_files.save(newest, value, {})
    second = compared(tmp_path, [(0.9, 0.1), (0.95, 0.5)], keep=2, steps=4)
    assert second.resume() == 2
    list(second.events())
    # Whether the tie of step 3 has the lower loss is not known, so the earlier one stays before it.
    assert second.state.kept == [(0.95, 0.5, 4), (0.9, None, 1)]
    assert second.state.best_step == 4
