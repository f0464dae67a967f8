"""Steps that run out of memory or of numbers: the same batch in smaller passes, and steps that are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_training import CLASSES, ROWS, TOKENS, FixedStream, Pairs, bits, model, trainer

from kexp.builtin.objectives import CrossEntropy, UdaOptions
from kexp.contracts import Objective, ObjectiveContext, Progress, StepLoss
from kexp.devices import is_out_of_memory
from kexp.errors import PluginError, RunFailed
from kexp.host_batches import HostBatch, HostRows, MicroBatch
from kexp.train.events import Evaluated, Finished, StepsDone, Warned
from kexp.train.loop import Trainer
from tests.support import unseen

SAID = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64000 bytes. Error code 12"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]  # fmt: skip


def of_plugin(error: Exception) -> Exception:
    try:
        raise PluginError("objective x") from error
    except PluginError as wrapped:
        return wrapped


@pytest.mark.parametrize("error", [*SAID, of_plugin(MemoryError())], ids=lambda error: type(error).__name__)
def test_errors_that_say_that_memory_is_not_enough(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("memory"), KeyError("x")])
def test_other_errors(error: Exception) -> None:
    assert not is_out_of_memory(error)


def with_room_for(rows: int, net: torch.nn.Module, error: Exception) -> torch.nn.Module:
    """Let a model fail in training mode for more than so many rows."""

    def check(module: torch.nn.Module, given: tuple[Any, ...], named: Mapping[str, torch.Tensor]) -> None:
        if module.training and named["input_ids"].numel() > rows * TOKENS:
            raise error

    net.bert.embeddings.register_forward_pre_hook(unseen(check), with_kwargs=True)
    return net


@pytest.mark.parametrize(("room", "error"), [*zip([1, 3, 4, 7, 7], SAID, strict=True)], ids=range(5))
def test_smaller_passes_train_on_the_same_batch(tmp_path: Path, room: int, error: Exception) -> None:
    whole = trainer(tmp_path / "whole", net=model(dropout=0.0), epochs=2)
    expected = list(whole.events())
    run = trainer(tmp_path / "parts", net=with_room_for(room, model(dropout=0.0), error), epochs=2)
    events = list(run.events())
    passes = {1: 8, 3: 4, 4: 2, 7: 2}[room]
    assert run.state.passes == passes
    for ours, theirs in zip(run.model.parameters(), whole.model.parameters(), strict=True):
        # Adam makes more of the last digits of a sum where gradients are small.
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    pairs = zip(
        *([event.loss for event in of if isinstance(event, StepsDone)] for of in (events, expected)), strict=True
    )
    assert all(ours == pytest.approx(theirs, rel=1e-4) for ours, theirs in pairs)
    messages = [event.message for event in events if isinstance(event, Warned)]
    assert len(messages) == math.log2(passes)
    assert messages[-1] == (
        f"out of memory at step 1: from here on a batch takes {passes} passes, of at most {8 // passes} of its 8 rows, "
        "whose gradients are added up; the batch is the same, and steps take longer"
    )
    assert run.state.remarks == messages


def test_the_gradient_of_smaller_passes_is_that_of_the_batch() -> None:
    rows = FixedStream().batch(np.arange(7))
    found = []
    for passes in (1, 2, 4, 8):
        run = trainer(Path("unused"), net=model(dropout=0.0), epochs=1)
        run.state.passes = passes
        run.blocks.apply_freezing(())
        loss, _ = run.step._gradients([MicroBatch(rows)], run.state) or (None, None)
        assert loss is not None
        found.append([loss, *(p.grad for p in run.model.parameters() if p.grad is not None)])
    assert len(found[0]) > 10
    for other in found[1:]:
        for ours, theirs in zip(other, found[0], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_resumed_run_goes_on_with_its_smaller_passes(tmp_path: Path) -> None:
    def cramped() -> Trainer:
        net = with_room_for(4, model(), MemoryError())
        return trainer(tmp_path / "parts", net=net, epochs=2, checkpoint_every_steps=1)

    whole = trainer(tmp_path / "whole", net=with_room_for(4, model(), MemoryError()), epochs=2)
    list(whole.events())
    with pytest.raises(Exception, match="stopped after step 3"):
        list((first := cramped()).events(lambda: first.state.step == 3))
    second = cramped()
    assert second.resume() == 3
    assert second.state.passes == 2
    assert [event for event in second.events() if isinstance(event, Warned)] == []
    assert bits(second.model) == bits(whole.model)
    assert len(second.state.remarks) == 1


@pytest.mark.parametrize("recompute", [False, True])
def test_where_one_row_is_too_much_the_run_fails_in_words(tmp_path: Path, recompute: bool) -> None:
    net = with_room_for(0, model(), MemoryError())
    run = trainer(tmp_path, net=net, epochs=1, gradient_checkpointing=recompute)
    with pytest.raises(RunFailed) as failure:
        list(run.events())
    remedy = "lower training.max_length, or choose a smaller model"
    if not recompute:
        remedy = f"set training.gradient_checkpointing = true, {remedy}"
    assert str(failure.value) == f"out of memory at step 1 with one row per pass; {remedy}"


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    run = trainer(tmp_path, net=with_room_for(4, model(), ValueError("no")), epochs=1)
    with pytest.raises(ValueError, match="no"):
        list(run.events())


# --- unlabelled rows, and objectives with a state --------------------------------------------------------------------


def uda(*, aligned: bool = False) -> Objective:
    alignment = "uniform" if aligned else "none"
    return UdaOptions(distribution_alignment=alignment).build(ObjectiveContext([1] * CLASSES, ROWS, 7))


def test_unlabelled_rows_are_divided_as_the_labelled_ones(tmp_path: Path) -> None:
    (batch, *_) = [step[0] for step in Pairs().epoch(0)]
    for count in (2, 3, 4, 8, 16):
        parts = batch.split(count)
        assert len(parts) == min(count, 8)
        assert all(len(part.unlabelled.rows) == 3 * len(part.labelled) for part in parts)
        for name in ("labels", "numbers"):
            joined = np.concatenate([getattr(part.labelled, name) for part in parts])
            assert joined.tolist() == getattr(batch.labelled, name).tolist()
        assert np.concatenate([part.unlabelled.rows for part in parts]).tolist() == batch.unlabelled.rows.tolist()
        for view in ("original", "augmented"):
            ids = np.concatenate([getattr(part.unlabelled, view).ids for part in parts])
            assert ids.tolist() == getattr(batch.unlabelled, view).ids.tolist()
    whole = trainer(tmp_path / "whole", stream=Pairs(), objective=uda(), net=model(dropout=0.0), epochs=2)
    list(whole.events())
    net = with_room_for(16, model(dropout=0.0), MemoryError())
    run = trainer(tmp_path / "parts", stream=Pairs(), objective=uda(), net=net, epochs=2)
    list(run.events())
    assert run.state.passes == 2
    for ours, theirs in zip(run.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_rows_are_divided_with_what_belongs_to_their_tokens() -> None:
    lengths, hidden = np.asarray([2, 1, 3, 1]), torch.arange(14.0).reshape(7, 2)
    rows = HostRows(np.arange(7), lengths, np.arange(7) % 2, hidden)
    first, second = MicroBatch(HostBatch(rows, np.arange(4), np.arange(4) + 10)).split(2)
    assert (first.labelled.tokens, second.labelled.tokens) == (3, 4)
    inputs = second.labelled.inputs
    assert (inputs.ids.tolist(), inputs.lengths.tolist()) == ([3, 4, 5, 6], [3, 1])
    assert inputs.types is not None
    assert inputs.types.tolist() == [1, 0, 1, 0]
    assert torch.equal(inputs.hidden, hidden[3:])
    assert second.labelled.numbers.tolist() == [12, 13]
    # First tokens alone have one vector for each row, and labels may be those of tokens.
    few = HostBatch(replace(rows, hidden=hidden[:4]), np.arange(7) + 20).part(1, 3)
    assert torch.equal(few.inputs.hidden, hidden[1:3])
    assert few.labels.tolist() == [22, 23, 24, 25]


def test_a_step_that_is_done_again_finds_the_state_of_the_objective_as_it_was(tmp_path: Path) -> None:
    cramped = trainer(
        tmp_path / "a",
        stream=Pairs(),
        objective=uda(aligned=True),
        net=with_room_for(16, model(), MemoryError()),
        steps=1,
    )
    told = trainer(tmp_path / "b", stream=Pairs(), objective=uda(aligned=True), net=model(), steps=1)
    told.state.passes = 2
    for run in (cramped, told):
        list(run.events())
    states = [run.parts["objective"].state_dict()["alignment.means"] for run in (cramped, told)]
    assert torch.equal(*states)
    assert bits(cramped.model) == bits(told.model)


def test_an_objective_that_changes_its_state_in_place_is_named(tmp_path: Path) -> None:
    class InPlace(CrossEntropy):
        def __init__(self) -> None:
            super().__init__(0.0, None)
            self.seen = torch.zeros(1)

        def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
            self.seen += 1
            return super().step(model, labelled, unlabelled, progress)

        def state_dict(self) -> dict[str, torch.Tensor]:
            return {"seen": self.seen}

    run = trainer(tmp_path, objective=InPlace(), net=with_room_for(4, model(), MemoryError()), epochs=1)
    with pytest.raises(RunFailed, match=r"out of memory, and the step cannot be repeated: objective .*InPlace changes"):
        list(run.events())


# --- steps that are not finite ---------------------------------------------------------------------------------------


class Exploding(CrossEntropy):
    """A loss, or with ``gradient`` only its gradient, that is no number in some steps, and remembers its steps."""

    def __init__(self, at: set[int], *, gradient: bool = False) -> None:
        super().__init__(0.0, None)
        self.at, self.gradient = at, gradient
        self.total = torch.zeros(())

    def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
        found = super().step(model, labelled, unlabelled, progress)
        bad = progress.step + 1 in self.at
        self.total = self.total + (found.loss.detach() * (math.nan if bad else 1.0))
        if bad and self.gradient:
            found.loss.register_hook(lambda gradient: gradient * math.nan)
            return found
        return StepLoss(found.loss * (math.nan if bad else 1.0))

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"total": self.total}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self.total = state["total"]


@pytest.mark.parametrize("gradient", [False, True])
def test_bad_steps_are_left_out_up_to_a_number(tmp_path: Path, gradient: bool) -> None:
    objective = Exploding({2, 7}, gradient=gradient)
    run = trainer(tmp_path, objective=objective, epochs=2, skip_bad_steps=2, log_every=1)
    events = list(run.events())
    assert isinstance(events[-1], Finished)
    assert run.state.skipped == [2, 7]
    assert [event.step for event in events if isinstance(event, StepsDone)] == [1, 3, 4, 5, 6, 8, 9, 10]
    rows = ", ".join(str(number) for number in list(FixedStream().epoch(0))[1][0].labelled.numbers)
    messages = [event.message for event in events if isinstance(event, Warned)]
    said = "step 2 is left out, since its loss or gradient is not finite"
    assert messages[0] == f"{said} on rows {rows} (1 of at most 2)"
    assert run.state.remarks == messages
    assert len(messages) == 2
    assert math.isfinite(objective.total)
    assert all(torch.isfinite(tensor).all() for tensor in run.model.state_dict().values())
    assert all(math.isfinite(event.train_loss) for event in events if isinstance(event, Evaluated))


def test_more_bad_steps_than_may_be_left_out_end_the_run(tmp_path: Path) -> None:
    run = trainer(tmp_path, objective=Exploding({2, 3, 4}), epochs=2, skip_bad_steps=2)
    with pytest.raises(RunFailed) as failure:
        list(run.events())
    assert str(failure.value).startswith("the loss or its gradient is not finite at step 4 on rows ")
    assert "2 steps before it were left out (training.skip_bad_steps); lower training.learning_rate" in str(
        failure.value
    )


def test_a_gradient_that_is_not_finite_ends_the_run_at_its_own_step(tmp_path: Path) -> None:
    run = trainer(tmp_path, objective=Exploding({3}, gradient=True), epochs=2)
    with pytest.raises(RunFailed, match=r"the gradient is not finite at step 3 \(learning rate .*\) on rows \d+, "):
        list(run.events())


def test_an_epoch_without_a_finite_step_has_no_loss(tmp_path: Path) -> None:
    run = trainer(tmp_path, objective=Exploding(set(range(1, 6))), epochs=1, skip_bad_steps=5)
    events = list(run.events())
    assert [event for event in events if isinstance(event, StepsDone)] == []
    (evaluated,) = [event for event in events if isinstance(event, Evaluated)]
    assert math.isnan(evaluated.train_loss)
