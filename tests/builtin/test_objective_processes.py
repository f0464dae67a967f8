"""Objectives in several processes, where the suite of objectives cannot compare them with one process."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kexp.builtin.objectives import OBJECTIVES, RDropOptions, VatOptions
from kexp.contracts import Progress
from kexp.model.forward import Classifier
from kexp.testing.objective_processes import Processes, check_parts, part_of_rows
from kexp.testing.objective_steps import StepRows, build


def test_all_objectives_are_right_in_several_processes() -> None:
    assert [name for name, options in OBJECTIVES.items() if not options.several_processes] == []


def step_rows(options: Any, labelled: int, unlabelled: int) -> StepRows:
    rows = StepRows(options, labelled, unlabelled)
    rows.leave_out_dropout()
    rows.spread_predictions()
    rows.module.double()
    return rows


@pytest.mark.parametrize(("size", "labelled", "unlabelled"), [(2, 5, 4), (3, 2, 5), (3, 4, 2)])
def test_every_process_looks_for_the_worst_change_of_its_own_rows(size: int, labelled: int, unlabelled: int) -> None:
    options = VatOptions(coefficient=3.0, epsilon=2.0, iterations=2)
    rows, progress = step_rows(options, labelled, unlabelled), Progress(45, 100)
    parts = Processes(options, rows, size).step(progress)
    expected, supervised, unsupervised = torch.zeros(()), 0.0, 0.0
    for rank in range(size):
        of_labelled, of_unlabelled = part_of_rows(rows, rank, size)
        assert of_unlabelled is not None
        (logits,) = rows.model.logits(of_labelled.inputs)
        objective: Any = build(options, seed=rank)
        losses = objective.supervised.row_losses(logits, of_labelled.labels)
        expected = expected + losses.sum() / labelled
        supervised += float(losses.detach().sum()) / labelled
        if len(of_unlabelled.original):
            smoothness, _ = objective._smoothness(*objective._predictions(rows.model, of_unlabelled.original, progress))
            share = len(of_unlabelled.original) / unlabelled
            expected, unsupervised = (
                expected + 3 * smoothness * share,
                unsupervised + float(smoothness.detach()) * share,
            )
    expected.backward()
    assert float(sum(part.loss for part in parts)) == pytest.approx(expected.item(), rel=1e-5)
    assert float(parts[0].logs["supervised_loss"]) == pytest.approx(supervised, rel=1e-5)
    assert float(parts[0].logs["unsupervised_loss"]) == pytest.approx(unsupervised, rel=1e-5)
    for name, parameter in rows.module.named_parameters():
        known = [part.gradients[name] for part in parts if part.gradients[name] is not None]
        torch.testing.assert_close(sum(known), parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "labelled"), [(2, 5), (3, 2)])
def test_the_divergence_of_two_passes_is_that_of_all_rows(
    size: int, labelled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = Classifier.logits

    def unlike(model: Classifier, *groups: Any) -> tuple[torch.Tensor, ...]:
        """Let the passes differ as dropout would, but alike in every process."""
        return tuple(found * (1 + number / 2) for number, found in enumerate(logits(model, *groups)))

    monkeypatch.setattr(Classifier, "logits", unlike)
    options = RDropOptions(alpha=2.0, label_smoothing=0.1)
    rows, objective = step_rows(options, labelled, 0), build(options)
    check_parts(rows, objective, Processes(options, rows, size), Progress(0, 100), is_random=False)
    assert float(objective.step(rows.model, rows.batch, None, Progress(0, 100)).logs["divergence"]) > 0.01
