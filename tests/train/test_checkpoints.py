"""Checkpoints: at any step the run that goes on from one is the run that was never interrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import FixedStream, bits, trainer

from kexp.builtin.freezing import GradualUnfreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.contracts import Progress, StepLoss
from kexp.errors import KexpError, RunFailed
from kexp.train.events import Evaluated, Event, Started, StepsDone, Warned
from kexp.train.loop import Trainer

TIMES = {"seconds", "train_seconds", "examples_per_second", "tokens_per_second", "data_share"}


class Growing(CrossEntropy):
    """An objective with a state, by which it weighs its loss."""

    def __init__(self) -> None:
        super().__init__(0.0, None)
        self.weight = torch.ones(2)

    def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
        told = super().step(model, labelled, unlabelled, progress)
        self.weight = self.weight + told.loss.detach()
        return StepLoss(told.loss * self.weight.mean(), {"weight": self.weight.mean()})

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"weight": self.weight}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self.weight = state["weight"]


OPTIONS: dict[str, Any] = {"epochs": 3, "evaluate_every": 4, "log_every": 3, "keep": 2}


def run_of(folder: Path, **changes: Any) -> Trainer:
    return trainer(folder, GradualUnfreezing(), FixedStream(accumulation=2), Growing(), **{**OPTIONS, **changes})


def told(events: list[Event]) -> list[dict[str, Any]]:
    """Return events without what differs between equal runs: times, and where a process began."""
    return [
        {key: value for key, value in event.as_dict().items() if key not in TIMES}
        for event in events
        if not isinstance(event, Started)
    ]


def killed_after(run: Trainer, step: int) -> list[Event]:
    """Return the events up to the last checkpoint before the kill: what a resumed run keeps of them."""
    seen: list[Event] = []
    kept = 0

    def saved() -> None:
        nonlocal kept
        write()
        kept = len(seen)

    write, run._checkpoint = run._checkpoint, saved  # type: ignore[method-assign]

    def kill() -> bool:
        if run.state.step > step:
            raise ZeroDivisionError
        return False

    events = run.events(kill)
    with suppress(ZeroDivisionError):
        while True:
            seen.append(next(events))
    return seen[:kept]


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("kill", [1, 3, 4, 5, 8])
def test_a_run_killed_at_any_step_tells_everything_once_and_ends_with_the_same_bits(
    tmp_path: Path, every: int, kill: int
) -> None:
    whole = run_of(tmp_path / "whole")
    expected = list(whole.events())
    first = run_of(tmp_path / "parts", checkpoint_every_steps=every)
    events = killed_after(first, kill)
    second = run_of(tmp_path / "parts", checkpoint_every_steps=every)
    assert second.resume() == (max(kill - kill % every, kill - kill % 4) or None)
    events += second.events()
    assert told(events) == told(expected)
    assert bits(second.model) == bits(whole.model)
    assert second.state.kept == whole.state.kept
    whole.restore_best()
    second.restore_best()
    assert bits(second.model) == bits(whole.model)


def test_checkpoints_by_the_clock_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, saved = 0.0, []

    def minute() -> bool:
        nonlocal now
        now += 60
        return False

    monkeypatch.setattr("kexp.train.loop.time.monotonic", lambda: now)
    plain = trainer(tmp_path / "plain", epochs=3, checkpoint_every_minutes=0)
    expected = list(plain.events(minute))
    run = trainer(tmp_path / "timed", epochs=3, checkpoint_every_minutes=2)
    write = run._checkpoint
    run._checkpoint = lambda: (saved.append(run.state.step), write())  # type: ignore[method-assign,func-returns-value]
    assert told(list(run.events(minute))) == told(expected)
    # Two minutes after the last one, and at the evaluations after steps 5, 10 and 15.
    assert saved == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    assert bits(run.model) == bits(plain.model)


def test_without_checkpoints_none_is_written_but_where_the_run_is_stopped(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=2, checkpoint=False)
    with pytest.raises(KexpError, match="stopped after step 7"):
        list(run.events(lambda: run.state.step == 7))
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-7.safetensors"]
    second = trainer(tmp_path, epochs=2, checkpoint=False)
    assert second.resume() == 7
    for event in second.events():
        if isinstance(event, Evaluated):
            break
    # Killed now, the run can go on from the checkpoint that is there, with the weights that it needs.
    assert trainer(tmp_path, epochs=2, checkpoint=False).resume() == 7


def finished(folder: Path) -> Trainer:
    run = trainer(folder, epochs=3, evaluate_every=4, made_from={"spec": "a", "rows": "b"})
    list(run.events())
    return run


def again(folder: Path, **made_from: str) -> Trainer:
    return trainer(folder, epochs=3, evaluate_every=4, made_from={"spec": "a", "rows": "b", **made_from})


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    finished(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-12.safetensors", "step-15.safetensors"]


@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(path.read_bytes()[:-9]), Path.touch])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_warning(tmp_path: Path, harm) -> None:
    whole = finished(tmp_path)
    path = tmp_path / "step-15.safetensors"
    if harm is Path.touch:
        path.write_bytes(b"")
    harm(path)
    run = again(tmp_path)
    assert run.resume() == 12
    events = list(run.events())
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert warning.step == 12
    assert warning.message.startswith(f"{path} is damaged: ")
    assert warning.message.endswith("; training goes on from step 12")
    assert run.state.remarks == [warning.message]
    assert bits(run.model) == bits(whole.model)
    # The damaged one was replaced, and the warning stays in the record.
    third = again(tmp_path)
    assert third.resume() == 15
    assert third.state.remarks == [warning.message]
    assert [event for event in third.events() if isinstance(event, Warned)] == []


def test_damaged_weights_make_the_checkpoint_that_needs_them_give_way(tmp_path: Path) -> None:
    run = trainer(tmp_path, evaluate_every=1, steps=5)
    scores = iter([0.1, 0.2, 0.3, 0.2, 0.4])
    run.evaluate = lambda: {"macro_f1": next(scores)}
    list(run.events())
    damage(tmp_path / "weights-5.safetensors")
    second = trainer(tmp_path, evaluate_every=1, steps=5)
    assert second.resume() == 4
    assert second.state.kept == [(0.3, None, 3)]
    damage(tmp_path / "weights-3.safetensors")
    with pytest.raises(KexpError, match=r"no checkpoint of this run can be used; delete .* to start this run anew"):
        trainer(tmp_path, evaluate_every=1, steps=5).resume()


def test_damaged_weights_are_never_the_model(tmp_path: Path) -> None:
    run = finished(tmp_path)
    damage(tmp_path / f"weights-{run.state.best_step}.safetensors")
    found = (
        r"weights-\d+\.safetensors is damaged: its contents do not match its checksum; resume the run, which goes on"
    )
    with pytest.raises(RunFailed, match=found):
        run.restore_best()


def test_where_all_checkpoints_are_damaged_they_are_named_with_the_remedy(tmp_path: Path) -> None:
    finished(tmp_path)
    for path in tmp_path.glob("step-*"):
        damage(path)
    with pytest.raises(KexpError) as failure:
        again(tmp_path).resume()
    first, *named = str(failure.value).splitlines()
    assert first == f"no checkpoint of this run can be used; delete {tmp_path} to start this run anew:"
    assert [line.partition(" is damaged")[0].strip() for line in named] == [
        str(tmp_path / "step-15.safetensors"),
        str(tmp_path / "step-12.safetensors"),
    ]


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(KexpError) as failure:
        again(tmp_path, rows="other").resume()
    assert str(failure.value) == (
        f"{tmp_path / 'step-15.safetensors'} was made from something else: rows differ; put back what it was, or "
        f"delete {tmp_path} to start this run anew"
    )


def test_what_watches_the_run_goes_on_with_what_it_knew(tmp_path: Path) -> None:
    class Counting(Counter[str]):
        def state_dict(self) -> dict[str, Any]:
            return dict(self)

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            self.update(state)

    def watched(run: Trainer) -> Counting:
        counting = Counting()
        run.remember("counts", counting)
        return counting

    first = trainer(tmp_path, epochs=3, checkpoint_every_steps=2)
    counted = watched(first)
    for _ in first.events():
        counted["events"] += 1
        if first.state.step == 10:
            break
    second = trainer(tmp_path, epochs=3, checkpoint_every_steps=2)
    counted = watched(second)
    assert second.resume() == 8
    # Started, two epochs, and a step event and an evaluation after the first one.
    assert counted == {"events": 5}


def test_no_checkpoint_is_written_after_a_step_that_is_not_finite(tmp_path: Path) -> None:
    class Exploding(CrossEntropy):
        def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
            found = super().step(model, labelled, unlabelled, progress)
            return StepLoss(found.loss * (torch.nan if progress.step == 7 else 1.0))

    run = trainer(tmp_path, objective=Exploding(0.0, None), epochs=3, checkpoint_every_steps=1, log_every=100)
    with pytest.raises(RunFailed, match="the loss is not finite at step 8"):
        list(run.events())
    assert trainer(tmp_path, objective=Exploding(0.0, None), epochs=3).resume() == 7


def test_an_open_window_goes_on_where_it_was(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=1)
    with pytest.raises(KexpError, match="stopped after step 4"):
        list(run.events(lambda: run.state.step == 4))
    second = trainer(tmp_path, epochs=1)
    assert second.resume() == 4
    (event,) = [asdict(event) for event in second.events() if isinstance(event, StepsDone)]
    (expected,) = [asdict(e) for e in trainer(tmp_path / "whole", epochs=1).events() if isinstance(e, StepsDone)]
    assert {key: event[key] for key in event.keys() - TIMES} == {key: expected[key] for key in event.keys() - TIMES}
