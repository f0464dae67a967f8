"""Losses of numbers and of ordered classes against their formulas, row by row, and what is learnt with them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_training import FixedStream, bits, model, trainer

from kexp.builtin.objectives import AbsoluteErrorOptions, HuberOptions, OrdinalOptions, SquaredErrorOptions
from kexp.builtin.tasks import Ordinal, Regression
from kexp.contracts import Batch, ObjectiveContext
from kexp.contracts.objective import build_objective
from kexp.distributed import World
from kexp.errors import RunInterrupted
from kexp.host_batches import HostBatch, HostRows, MicroBatch
from kexp.model.token_rows import TokenRows
from kexp.testing.objective_processes import ThreadWorld, in_processes
from kexp.train.events import StepsDone
from kexp.train.page_locked import locked
from kexp.train.step import to_device
from tests.support import unseen

BOUNDS = {"unbounded": Regression(), "from -1 to 4": Regression(low=-1, high=4)}
HUBER_DELTA = 0.7


def squared(error: float) -> float:
    return error * error


def huber(error: float) -> float:
    if abs(error) <= HUBER_DELTA:
        return error * error / 2
    return HUBER_DELTA * (abs(error) - HUBER_DELTA / 2)


OF_ERRORS: dict[str, Any] = {
    "squared-error": (SquaredErrorOptions(), squared),
    "absolute-error": (AbsoluteErrorOptions(), abs),
    "huber": (HuberOptions(delta=HUBER_DELTA), huber),
}


def built(options: Any, task: Any) -> Any:
    return build_objective(options, ObjectiveContext((), task=task))


@pytest.mark.parametrize("task", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize(("options", "of_error"), OF_ERRORS.values(), ids=OF_ERRORS)
def test_losses_are_those_of_the_error_in_the_unit_of_the_labels(options: Any, of_error: Any, task: Any) -> None:
    random = np.random.default_rng(0)
    logits, numbers = random.normal(0, 2, (40, 1)).astype("float32"), random.uniform(-1, 4, 40)
    found = built(options, task).losses(torch.from_numpy(logits), torch.from_numpy(numbers))
    expected = []
    for (logit,), number in zip(logits.tolist(), numbers.tolist(), strict=True):
        said = logit if task.bounds is None else -1 + 5 / (1 + math.exp(-logit))
        expected.append(of_error(said - number))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", BOUNDS.values(), ids=BOUNDS)
def test_the_loss_of_training_is_that_of_validation(task: Any) -> None:
    random = np.random.default_rng(1)
    logits, numbers = random.normal(0, 2, (40, 1)), random.uniform(-1, 4, 40)
    found = built(SquaredErrorOptions(), task).losses(torch.from_numpy(logits), torch.from_numpy(numbers))
    np.testing.assert_allclose(found.numpy(), task.losses(numbers, task.predictions(logits)), rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("form", ["conditional", "cumulative"])
def test_ordinal_losses_are_sums_over_the_questions_of_a_row(form: Any, classes: int) -> None:
    random = np.random.default_rng(classes)
    logits, labels = random.normal(0, 2, (60, classes - 1)), random.integers(classes, size=60)
    found = built(OrdinalOptions(), Ordinal(form=form)).losses(torch.from_numpy(logits), torch.from_numpy(labels))
    expected = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        loss = 0.0
        for number, logit in enumerate(row):
            if form == "conditional" and number > label:
                break
            above = 1 / (1 + math.exp(-logit))
            loss -= math.log(above if label > number else 1 - above)
        expected.append(loss)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_the_conditional_loss_is_the_cross_entropy_of_the_predicted_classes() -> None:
    random = np.random.default_rng(0)
    logits, labels, task = random.normal(0, 2, (60, 4)), random.integers(5, size=60), Ordinal()
    found = built(OrdinalOptions(), task).losses(torch.from_numpy(logits), torch.from_numpy(labels))
    np.testing.assert_allclose(found.numpy(), task.losses(labels, task.predictions(logits)), rtol=1e-9)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_certain_logits_have_finite_losses_and_gradients(size: float) -> None:
    logits = torch.tensor([[size], [-size]], requires_grad=True)
    for options, _ in OF_ERRORS.values():
        losses = built(options, BOUNDS["from -1 to 4"]).losses(logits, torch.tensor([4.0, 4.0], dtype=torch.float64))
        losses.sum().backward()
        assert losses.isfinite().all()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


# --- numbers on their way through a step -----------------------------------------------------------------------------


class NumberStream(FixedStream):
    """The same rows with numbers that float32 does not hold."""

    def __init__(self, accumulation: int = 1) -> None:
        super().__init__(accumulation)
        self.numbers = self.labels / 3 + 0.1

    def batch(self, rows: Any) -> HostBatch:
        return replace(super().batch(rows), labels=self.numbers[rows])


def one_output() -> Any:
    net = model(dropout=0.0)
    net.classifier = torch.nn.Linear(net.classifier.in_features, 1)
    torch.nn.init.normal_(net.classifier.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(net.classifier.bias)
    return net


def number_trainer(folder: Any, stream: Any, net: Any = None, **options: Any) -> Any:
    own = net or one_output()
    found = trainer(folder, stream=stream, objective=built(SquaredErrorOptions(), Regression()), net=own, **options)
    # What small_training measures is of classes.
    found.evaluate = lambda: {"macro_f1": 0.0}
    return found


def losses_of(run: Any) -> list[float]:
    return [event.loss for event in run.events() if isinstance(event, StepsDone)]


def test_a_step_is_of_the_mean_over_all_rows_of_its_batches(tmp_path: Any) -> None:
    stream = NumberStream(accumulation=2)
    run = number_trainer(tmp_path, stream, epochs=1, gradient_accumulation=2, log_every=1)
    first = next(stream.epoch(0))
    ids = np.concatenate([part.labelled.inputs.ids.reshape(len(part.labelled), -1) for part in first])
    numbers = np.concatenate([part.labelled.labels for part in first])
    assert numbers.dtype == np.float64
    net = one_output().eval()
    with torch.inference_mode():
        said = net(torch.from_numpy(ids)).logits[:, 0].double().numpy()
    assert losses_of(run)[0] == pytest.approx(((said - numbers) ** 2).mean(), rel=1e-4)


def test_smaller_passes_train_on_the_same_numbers(tmp_path: Any) -> None:
    def with_room_for(rows: int, net: Any) -> Any:
        def check(module: Any, given: Any, named: Any) -> None:
            if module.training and named["input_ids"].numel() > rows * 9:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        net.bert.embeddings.register_forward_pre_hook(unseen(check), with_kwargs=True)
        return net

    whole = number_trainer(tmp_path / "whole", NumberStream(), epochs=2)
    expected = losses_of(whole)
    run = number_trainer(tmp_path / "parts", NumberStream(), with_room_for(3, one_output()), epochs=2)
    assert losses_of(run) == pytest.approx(expected, rel=1e-4)
    assert run.state.passes == 4


def test_a_step_is_the_same_after_a_stop(tmp_path: Any) -> None:
    whole = number_trainer(tmp_path / "whole", NumberStream(), epochs=2)
    list(whole.events())
    steps = iter(range(100))
    stopped = number_trainer(tmp_path / "stopped", NumberStream(), epochs=2)
    with pytest.raises(RunInterrupted):
        list(stopped.events(lambda: next(steps) == 3))
    resumed = number_trainer(tmp_path / "stopped", NumberStream(), epochs=2)
    assert resumed.resume() == 4
    list(resumed.events())
    assert bits(resumed.model) == bits(whole.model)


def host_batch(rows: int = 7) -> HostBatch:
    inputs = HostRows(np.arange(rows), np.ones(rows, np.int64))
    return HostBatch(inputs, np.arange(rows) + 0.1, np.arange(rows))


def test_numbers_reach_the_device_in_float64() -> None:
    batch, _ = to_device(MicroBatch(host_batch()), torch.device("cpu"))
    assert batch.labels.dtype == torch.float64
    assert batch.labels.tolist() == (np.arange(7) + 0.1).tolist()
    parts = MicroBatch(host_batch()).split(3)
    assert np.concatenate([part.labelled.labels for part in parts]).tolist() == batch.labels.tolist()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs CUDA")
def test_numbers_are_page_locked_as_they_are() -> None:
    assert locked(MicroBatch(host_batch())).labelled.labels.dtype == np.float64


@pytest.mark.parametrize("size", [2, 3, 9])
def test_processes_have_each_some_of_the_numbers(size: int) -> None:
    logits = torch.randn(7, 1, generator=torch.Generator().manual_seed(0))
    objective = built(SquaredErrorOptions(), Regression(low=0, high=8))
    whole = objective.losses(logits, torch.from_numpy(host_batch().labels)).mean()

    def work(world: ThreadWorld) -> Any:
        batch, _ = to_device(MicroBatch(host_batch()), torch.device("cpu"), as_world(world))
        own = logits[world.rank :: world.size]
        return batch.mean(objective.losses(own, batch.labels))

    assert float(sum(in_processes(size, work))) == pytest.approx(float(whole), rel=1e-6)


@pytest.mark.parametrize("size", [2, 9])
def test_numbers_are_gathered_exactly_beside_logits(size: int) -> None:
    numbers = torch.from_numpy(np.random.default_rng(0).random(7))
    logits = torch.randn(7, 1, generator=torch.Generator().manual_seed(0))

    class Model:
        def __init__(self, world: ThreadWorld) -> None:
            self.world = world

        def gather(self, values: torch.Tensor, all_rows: int) -> torch.Tensor:
            found = torch.zeros(all_rows, *values.shape[1:], dtype=values.dtype)
            found[self.world.rank :: self.world.size] = values
            return self.world.total(found)

    def work(world: ThreadWorld) -> Any:
        of = slice(world.rank, None, world.size)
        rows = TokenRows(torch.arange(len(numbers[of])), np.ones(len(numbers[of]), np.int64), None)
        batch = Batch(rows, numbers[of], 7)
        return batch.gather(Model(world), logits[of], batch.labels)  # type: ignore[arg-type]

    for own_logits, own_numbers in in_processes(size, work):
        assert own_numbers.dtype == torch.float64
        assert torch.equal(own_numbers, numbers)
        assert torch.equal(own_logits, logits)


def as_world(world: ThreadWorld) -> World:
    return world  # type: ignore[return-value]
