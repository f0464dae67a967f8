"""Averages of weights that are evaluated and kept, against NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kexp.builtin.freezing import GradualUnfreezing
from kexp.builtin.objectives import MeanTeacherOptions
from kexp.contracts import Batch, Model, Objective, Progress, StepLoss, UnlabelledBatch
from kexp.errors import RunInterrupted
from kexp.moving_average import MovingAverage
from kexp.spec.training_section import Training
from kexp.train.events import Evaluated, StepsDone
from tests.small_training import bits, model, trainer

Weights = dict[str, NDArray[np.float64]]


def weights(net: torch.nn.Module) -> Weights:
    return {name: value.double().numpy().copy() for name, value in net.state_dict().items()}


def assert_near(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def differ(found: Weights, expected: Weights) -> bool:
    return any(np.abs(found[name] - expected[name]).max() > 1e-4 for name in found)


def watched(folder: Path, **options: Any) -> tuple[list[Weights], dict[int, Weights], Weights]:
    """Train; return the weights before and after every step, those that were evaluated by step, and those kept."""
    run = trainer(folder, log_every=1, **options)
    after, seen = [weights(run.model)], dict[int, Weights]()
    evaluate = run.evaluate

    def looked() -> Any:
        seen[run.state.step] = weights(run.model)
        return evaluate()

    run.evaluate = looked
    for event in run.events():
        if isinstance(event, StepsDone):
            after.append(weights(run.model))
        if isinstance(event, Evaluated):
            # Training goes on with its own weights.
            assert all((after[-1][name] == value).all() for name, value in weights(run.model).items())
    run.restore_best()
    return after, seen, weights(run.model)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_moving_average_is_evaluated_and_kept(tmp_path: Path, decay: float) -> None:
    after, seen, kept = watched(tmp_path, epochs=3, evaluate_every=4, keep="last", ema=decay)
    average = after[0]
    for step, now in enumerate(after[1:], 1):
        a = min(decay, 1 - 1 / (step + 1))
        average = {name: a * average[name] + (1 - a) * value for name, value in now.items()}
        if step in seen:
            assert_near(seen[step], average)
    assert sorted(seen) == [4, 8, 12, 15]
    assert_near(kept, average)
    assert differ(kept, after[-1])


def test_a_decay_that_is_not_reached_is_the_plain_mean(tmp_path: Path) -> None:
    after, _, kept = watched(tmp_path, epochs=2, keep="last", ema=0.999)
    assert_near(kept, {name: np.mean([now[name] for now in after], axis=0) for name in kept})


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_mean_of_the_last_evaluations_is_evaluated_and_kept(tmp_path: Path, count: int) -> None:
    after, seen, kept = watched(tmp_path, epochs=3, evaluate_every=3, keep="last", average=count)
    for step, found in seen.items():
        last = range(3, step + 1, 3)[-count:]
        assert_near(found, {name: np.mean([after[number][name] for number in last], axis=0) for name in found})
    assert sorted(seen) == [3, 6, 9, 12, 15]
    assert_near(kept, seen[15])
    assert differ(kept, after[-1])


@pytest.mark.parametrize("options", [{"ema": 0.8}, {"average": 3}], ids=str)
def test_the_best_model_is_the_averaged_one_that_was_measured(tmp_path: Path, options: dict[str, Any]) -> None:
    run = trainer(tmp_path, epochs=4, evaluate_every=2, keep=2, **options)
    measured: dict[int, tuple[float, Weights]] = {}
    evaluate = run.evaluate

    def looked() -> Any:
        metrics = evaluate()
        measured[run.state.step] = (metrics["macro_f1"], weights(run.model))
        return metrics

    run.evaluate = looked
    list(run.events())
    best = sorted(measured, key=lambda step: -measured[step][0])[:2]
    assert [step for *_, step in run.state.kept] == best
    run.restore_best()
    assert_near(weights(run.model), measured[best[0]][1])
    assert evaluate()["macro_f1"] == pytest.approx(run.state.best)


@pytest.mark.parametrize("options", [{"ema": 0.8}, {"average": 3}], ids=str)
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("stop_after", [1, 4, 7, 15])
def test_a_resumed_run_has_the_same_average(
    tmp_path: Path, options: dict[str, Any], keep: str, stop_after: int
) -> None:
    settings = {"epochs": 3, "evaluate_every": 3, "keep": keep, **options}
    whole = trainer(tmp_path / "whole", **settings)
    list(whole.events())
    first = trainer(tmp_path / "parts", **settings)
    try:
        list(first.events(lambda: first.state.step == stop_after))
    except RunInterrupted:
        assert stop_after < 15
    second = trainer(tmp_path / "parts", net=model(), **settings)
    assert second.resume() == stop_after
    list(second.events())
    assert bits(second.model) == bits(whole.model)
    whole.restore_best()
    second.restore_best()
    assert bits(second.model) == bits(whole.model)


@pytest.mark.parametrize("options", [{"ema": 0.8}, {"average": 3}], ids=str)
def test_training_has_the_bits_of_one_without_average(tmp_path: Path, options: dict[str, Any]) -> None:
    plain = trainer(tmp_path / "plain", epochs=2, evaluate_every=2)
    averaged = trainer(tmp_path / "averaged", epochs=2, evaluate_every=2, **options)
    list(plain.events())
    list(averaged.events())
    assert bits(plain.model) == bits(averaged.model)


@pytest.mark.parametrize("options", [{"ema": 0.8}, {"average": 3}], ids=str)
def test_weights_that_do_not_train_stay_to_the_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    run = trainer(tmp_path, freezing=GradualUnfreezing(), epochs=2, evaluate_every=1, keep="last", **options)
    before = bits(run.model)
    list(run.events())
    run.restore_best()
    frozen = [name for name in before if name.startswith("bert.embeddings")]
    assert frozen
    assert {name: bits(run.model)[name] for name in frozen} == {name: before[name] for name in frozen}


class Averaging(Objective):
    """Cross entropy, with a copy of the model of its own that is to be evaluated."""

    def __init__(self) -> None:
        self.copy = MovingAverage()

    def step(self, model: Model, labelled: Batch, unlabelled: UnlabelledBatch | None, progress: Progress) -> StepLoss:
        self.copy.of(model.module)
        (logits,) = model.logits(labelled.inputs)
        return StepLoss(torch.nn.functional.cross_entropy(logits, labelled.labels))

    def stepped(self, model: Model, progress: Progress) -> None:
        self.copy.update(model.module, 0.7)

    def averaged(self, model: Model) -> torch.nn.Module:
        return self.copy.of(model.module)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.copy.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.copy.load_state_dict(state)


def test_the_average_of_an_objective_is_the_moving_average_of_the_same_decay(tmp_path: Path) -> None:
    found = []
    for folder, options in (("own", {"objective": Averaging()}), ("ema", {"ema": 0.7})):
        run = trainer(tmp_path / folder, epochs=3, evaluate_every=2, **options)  # type: ignore[arg-type]
        evaluations = [event for event in run.events() if isinstance(event, Evaluated)]
        run.restore_best()
        found.append(([event.metrics for event in evaluations], bits(run.model), run.evaluated.name))
    assert found[0][:2] == found[1][:2]
    assert [name for *_, name in found] == ["average of the objective", "moving average"]


def test_a_finished_run_that_resumes_has_the_average_of_its_objective(tmp_path: Path) -> None:
    first = trainer(tmp_path, objective=Averaging(), epochs=2, keep="last")
    list(first.events())
    first.restore_best()
    second = trainer(tmp_path, objective=Averaging(), net=model(), epochs=2, keep="last")
    assert second.resume() == 10
    list(second.events())
    second.restore_best()
    assert bits(second.model) == bits(first.model)


def test_mean_teacher_says_which_of_both_is_evaluated() -> None:
    assert not MeanTeacherOptions().evaluates_average
    assert MeanTeacherOptions(evaluate="teacher").evaluates_average


def test_two_averages_exclude_each_other() -> None:
    (problem,) = Training(ema=0.9, average=2).problems()
    assert problem.path == "average"
    assert not list(Training(ema=0.9).problems()) + list(Training(average=2).problems()) + list(Training().problems())
