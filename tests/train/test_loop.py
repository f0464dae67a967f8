"""The loop against a plain one, and its promises: same seed same bits, resumed like uninterrupted."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import ROWS, TOKENS, FixedStream, bits, model, trainer

from kexp.builtin.freezing import FreezeAllButHead, FreezeBottomLayers, GradualUnfreezing, NoFreezing
from kexp.builtin.objectives import CrossEntropy
from kexp.contracts import FreezingOptions, Progress, StepLoss
from kexp.errors import PluginError, RunFailed, RunInterrupted
from kexp.host_batches import MicroBatch
from kexp.model.token_rows import TokenRows
from kexp.seeds import derive
from kexp.train.events import EpochStarted, Evaluated, Event, Finished, StepsDone, Warned
from kexp.train.loop import Trainer


# Without padding, dropout draws other numbers.
@pytest.mark.parametrize(("way", "dropout"), [("flat", 0.0), ("padded", 0.1)])
def test_training_is_that_of_a_plain_loop(tmp_path: Path, way: str, dropout: float) -> None:
    net = model(dropout, way)
    run = trainer(
        tmp_path, epochs=2, schedule="linear", warmup_steps=3, gradient_clip=0.5, keep="last", weight_decay=0.1, net=net
    )
    losses = [event.loss for event in run.events() if isinstance(event, StepsDone)]
    plain, stream = model(dropout), FixedStream()
    matrices = [p for p in plain.parameters() if p.ndim > 1]
    others = [p for p in plain.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-2
    )
    told, step = [], 0
    for epoch in range(2):
        for (micro,) in stream.epoch(epoch):
            batch = micro.labelled
            plain.train()
            torch.manual_seed(derive(7, "dropout", step))
            inputs = TokenRows.of(batch.inputs, torch.device("cpu")).padded(0)
            loss = torch.nn.functional.cross_entropy(plain(**inputs).logits, torch.from_numpy(batch.labels))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            factor = (step + 1) / 4 if step < 3 else 1 - (step - 3) / 7
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * factor
            optimizer.step()
            told.append(loss.item())
            step += 1
    assert losses == pytest.approx([np.mean(told[:5]), np.mean(told[5:])], rel=1e-5)
    for ours, theirs in zip(run.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    class Large(FixedStream):
        def steps_per_epoch(self) -> int:
            return 2

        def epoch(self, number: int, start: int = 0):
            order = np.random.default_rng(number).permutation(ROWS)
            yield from ([MicroBatch(self.batch(rows))] for rows in (order[:24], order[24:])[start:])

    small = trainer(tmp_path / "a", stream=FixedStream(accumulation=3), net=model(dropout=0.0), epochs=1, keep="last")
    large = trainer(tmp_path / "b", stream=Large(), net=model(dropout=0.0), epochs=1, keep="last")
    for run in (small, large):
        assert [event.step for event in run.events() if isinstance(event, Finished)] == [2]
    for ours, theirs in zip(small.model.parameters(), large.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_an_objective_can_tell_the_batches_of_a_step_apart(tmp_path: Path) -> None:
    seen = []

    class Recording(CrossEntropy):
        def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
            seen.append((progress.step, progress.batch))
            return super().step(model, labelled, unlabelled, progress)

    run = trainer(tmp_path, stream=FixedStream(accumulation=3), objective=Recording(0.0, None), epochs=1, keep="last")
    list(run.events())
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    runs = [trainer(tmp_path / name, epochs=2) for name in ("a", "b")]
    metrics = [[event.metrics for event in run.events() if isinstance(event, Evaluated)] for run in runs]
    assert metrics[0] == metrics[1]
    assert bits(runs[0].model) == bits(runs[1].model)


def test_steps_are_logged_as_often_as_the_spec_says(tmp_path: Path) -> None:
    once, often = (
        [
            event
            for event in trainer(tmp_path / str(every), epochs=2, log_every=every).events()
            if isinstance(event, StepsDone)
        ]
        for every in (100, 1)
    )
    # Every evaluation closes a window too: here after each of the two epochs.
    assert len(once) == 2
    assert [event.step for event in often] == list(range(1, once[-1].step + 1))
    half = len(often) // 2
    assert once[0].loss == pytest.approx(sum(event.loss for event in often[:half]) / half)


@pytest.mark.parametrize("stop_after", [1, 4, 5, 7, 12])
def test_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path: Path, stop_after: int) -> None:
    options = {"epochs": 3, "evaluate_every": 3}
    whole = trainer(tmp_path / "whole", **options)
    expected = [event for event in whole.events() if isinstance(event, Evaluated)]
    first = trainer(tmp_path / "parts", **options)
    told: list[Event] = []
    with pytest.raises(RunInterrupted, match=f"stopped after step {stop_after} of 15"):
        told.extend(first.events(lambda: first.state.step == stop_after))
    second = trainer(tmp_path / "parts", **options)
    assert second.resume() == stop_after
    told += second.events()
    evaluations = [event for event in told if isinstance(event, Evaluated)]
    for ours, theirs in zip(evaluations, expected, strict=True):
        assert (ours.step, ours.metrics, ours.train_loss, ours.best) == (
            theirs.step, theirs.metrics, theirs.train_loss, theirs.best,
        )  # fmt: skip
    assert bits(second.model) == bits(whole.model)
    second.restore_best()
    whole.restore_best()
    assert bits(second.model) == bits(whole.model)


def test_run_killed_between_evaluations_resumes_from_the_last_one(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", epochs=3)
    list(whole.events())
    killed = trainer(tmp_path / "killed", epochs=3)
    for event in killed.events():
        if isinstance(event, EpochStarted) and event.epoch == 2:
            break
    second = trainer(tmp_path / "killed", epochs=3)
    assert second.resume() == 10
    list(second.events())
    assert bits(second.model) == bits(whole.model)


def test_run_without_checkpoint_starts_anew(tmp_path: Path) -> None:
    assert trainer(tmp_path, epochs=1).resume() is None


def test_best_weights_are_those_of_the_best_evaluation(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=6, evaluate_every=1)
    kept, best = {}, -math.inf
    for event in run.events():
        if isinstance(event, Evaluated):
            assert event.best == (event.metrics["macro_f1"] > best)
            if event.best:
                best, kept = event.metrics["macro_f1"], bits(run.model)
    run.restore_best()
    assert bits(run.model) == kept
    assert run.state.best == best


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_weights_of_the_best_evaluations_are_kept(tmp_path: Path, greater_is_better: bool) -> None:
    scores = [0.3, 0.5, math.nan, 0.5, 0.9, 0.1, 0.4]
    run, left = trainer(tmp_path, evaluate_every=1, steps=7, keep=3), iter(scores)
    run.evaluate = lambda: {"macro_f1": next(left)}
    run.greater_is_better = greater_is_better
    seen = {event.step: bits(run.model) for event in run.events() if isinstance(event, Evaluated)}
    # Of equal ones the earlier, and never one that is no number.
    best = [(0.9, 5), (0.5, 2), (0.5, 4)] if greater_is_better else [(0.1, 6), (0.3, 1), (0.4, 7)]
    assert run.state.kept == [(score, None, step) for score, step in best]
    # Those that the checkpoint before the last one needs are there too.
    before = [(0.5, 2), (0.9, 5), (0.5, 4)] if greater_is_better else [(0.1, 6), (0.3, 1), (0.5, 2)]
    kept = {f"weights-{step}.safetensors" for _, step in (*best, *before)}
    assert {path.name for path in tmp_path.glob("weights-*")} == kept
    assert run.weights is not None
    for _, step in best:
        run.weights.load(run.model, step)
        assert bits(run.model) == seen[step]
    run.restore_best()
    assert run.kept_step == best[0][1]
    assert bits(run.model) == seen[best[0][1]]


def test_kept_weights_survive_an_interruption(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", epochs=3, evaluate_every=1, keep=2)
    list(whole.events())
    first = trainer(tmp_path / "parts", epochs=3, evaluate_every=1, keep=2)
    with pytest.raises(RunInterrupted):
        list(first.events(lambda: first.state.step == 7))
    second = trainer(tmp_path / "parts", epochs=3, evaluate_every=1, keep=2)
    assert second.resume() == 7
    list(second.events())
    assert second.state.kept == whole.state.kept
    files = [sorted(folder.glob("weights-*")) for folder in (tmp_path / "whole", tmp_path / "parts")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_training_time_of_evaluations_is_that_of_the_run(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=3)
    seconds = [event.train_seconds for event in run.events() if isinstance(event, Evaluated)]
    assert len(seconds) == 3
    assert min(seconds) > 0
    assert sum(seconds) == pytest.approx(run.state.training_seconds)


def test_patience_stops_early(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=50, evaluate_every=1, patience=2)
    values = iter([0.5, 0.6, 0.6, 0.4, 0.9])
    run.evaluate = lambda: {"macro_f1": next(values)}
    finished = [event for event in run.events() if isinstance(event, Finished)]
    assert finished == [Finished(step=4, best_step=2, best_epoch=0.4, stopped_early=True)]


def test_steps_replace_epochs_and_end_with_an_evaluation(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=9, steps=7)
    assert [event.step for event in run.events() if isinstance(event, Evaluated)] == [5, 7]


@pytest.mark.parametrize(
    ("policy", "changing"),
    [
        (NoFreezing(), {"embeddings", "layer.0", "layer.1", "head"}),
        (FreezeBottomLayers(layers=1), {"layer.1", "head"}),
        (FreezeAllButHead(), {"head"}),
    ],
)
def test_frozen_blocks_stay_and_have_no_dropout(tmp_path: Path, policy: FreezingOptions, changing: set[str]) -> None:
    run = trainer(tmp_path, policy, epochs=1, keep="last", weight_decay=0.5)
    before = bits(run.model)
    modes = {}
    for event in run.events():
        if isinstance(event, EpochStarted):
            modes = {name: module.training for name, module in run.model.named_modules()}
            trained = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
            assert event.trainable_parameters == trained
    after = bits(run.model)
    changed = {run.blocks.block_of[name.rpartition(".")[0]] for name in before if before[name] != after[name]}
    assert changed == changing
    for name, training in modes.items():
        assert training == (run.blocks.block_of[name] in changing), name


def test_gradual_unfreezing_trains_one_block_more_each_epoch(tmp_path: Path) -> None:
    run = trainer(tmp_path, GradualUnfreezing(), epochs=5, evaluate_every=2)
    counts = [event.trainable_parameters for event in run.events() if isinstance(event, EpochStarted)]
    assert counts == sorted(counts)
    assert len(set(counts[:4])) == 4
    assert counts[3] == counts[4] == sum(p.numel() for p in run.model.parameters())


def test_layer_decay_lowers_the_learning_rate_block_by_block(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=1, layer_decay=0.5, schedule="constant")
    list(run.events())
    rate = {id(p): group["lr"] for group in run.optimizer.param_groups for p in group["params"]}
    found = {name: rate[id(p)] for name, p in run.model.named_parameters()}
    assert found["classifier.weight"] == found["bert.pooler.dense.bias"] == 1e-2
    assert found["bert.encoder.layer.1.output.dense.weight"] == 5e-3
    assert found["bert.encoder.layer.0.output.dense.weight"] == 2.5e-3
    assert found["bert.embeddings.word_embeddings.weight"] == 1.25e-3


class Clock:
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(FixedStream):
    """Takes two seconds for a batch."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def epoch(self, number: int, start: int = 0):
        for step in super().epoch(number, start):
            self.clock.now += 2
            yield step


class SlowObjective(CrossEntropy):
    """Takes three seconds for a step."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(0.0, None)
        self.clock = clock

    def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
        self.clock.now += 3
        return super().step(model, labelled, unlabelled, progress)


def slow(folder: Path, clock: Clock, **options) -> Trainer:
    """Return a trainer whose evaluation takes five seconds."""
    run = trainer(folder, stream=Slow(clock), objective=SlowObjective(clock), **options)
    evaluate = run.evaluate

    def slowly() -> Mapping[str, float]:
        clock.now += 5
        return evaluate()

    run.evaluate = slowly
    return run


def written(run: Trainer, clock: Clock, stop_after: int | None = None) -> list[Event]:
    """Take one second to write an event."""
    events = []
    for event in run.events(lambda: run.state.step == stop_after):
        events.append(event)
        clock.now += 1
    return events


def timed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop read this clock, and wait for all that a batch takes."""
    monkeypatch.setattr("kexp.train.stopwatch.perf_counter", clock)
    monkeypatch.setattr("kexp.train.loop.one_ahead", lambda items, name: (item for item in items))


def test_time_is_divided_among_data_steps_evaluation_and_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    timed(clock, monkeypatch)
    run = slow(tmp_path, clock, epochs=1)
    events = written(run, clock)
    # Five steps, one evaluation, and four events before the last one.
    assert run.state.seconds == {"data": 10, "steps": 15, "evaluation": 5, "writing": 4}
    assert run.state.training_seconds == 25
    assert run.state.time_shares() == {"data": 10 / 34, "steps": 15 / 34, "evaluation": 5 / 34, "writing": 4 / 34}
    (event,) = [event for event in events if isinstance(event, StepsDone)]
    assert (event.examples_per_second, event.tokens_per_second) == (ROWS / 25, ROWS * TOKENS / 25)
    assert event.data_share == 10 / 25


def test_time_of_a_resumed_run_is_that_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    timed(clock, monkeypatch)
    with pytest.raises(RunInterrupted):
        written(slow(tmp_path, clock, epochs=2), clock, stop_after=7)
    clock.now += 1000
    run = slow(tmp_path, clock, epochs=2)
    assert run.resume() == 7
    events = written(run, clock)
    # Ten steps and two evaluations; five events in the first part, three before the last one in the second.
    assert run.state.seconds == {"data": 20, "steps": 30, "evaluation": 10, "writing": 8}
    assert run.state.examples / run.state.training_seconds == 2 * ROWS / 50
    (event,) = [event for event in events if isinstance(event, StepsDone)]
    assert event.examples_per_second == ROWS / 25


class Exploding(CrossEntropy):
    """A loss that is no number from a step on."""

    def __init__(self, at: int) -> None:
        super().__init__(0.0, None)
        self.at = at

    def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
        told = super().step(model, labelled, unlabelled, progress)
        return StepLoss(told.loss * (math.nan if progress.step + 1 >= self.at else 1.0))


class Recording(CrossEntropy):
    """Writes down with which progress it was called."""

    def __init__(self) -> None:
        super().__init__(0.0, None)
        self.calls: list[tuple[str, int, int]] = []

    def step(self, model, labelled, unlabelled, progress: Progress) -> StepLoss:
        self.calls.append(("step", progress.step, progress.total_steps))
        return super().step(model, labelled, unlabelled, progress)

    def stepped(self, model, progress: Progress) -> None:
        self.calls.append(("stepped", progress.step, progress.total_steps))


def test_progress_counts_the_steps_that_are_done_when_the_objective_is_called(tmp_path: Path) -> None:
    objective = Recording()
    list(trainer(tmp_path, objective=objective, stream=FixedStream(accumulation=3), epochs=2).events())
    # Steps of three and of two batches; a call of step() for each batch, one of stepped() for each optimiser step.
    assert objective.calls == [
        *[("step", 0, 4)] * 3, ("stepped", 1, 4), *[("step", 1, 4)] * 2, ("stepped", 2, 4),
        *[("step", 2, 4)] * 3, ("stepped", 3, 4), *[("step", 3, 4)] * 2, ("stepped", 4, 4),
    ]  # fmt: skip


SKIP = "or leave such steps out with training.skip_bad_steps"
SOURCE = "nothing has been learnt by then: look at the objective and its options, and the weights of the backbone"


@pytest.mark.parametrize(
    ("at", "precision", "remedy"),
    [
        (3, "fp32", f"lower training.learning_rate, {SKIP}"),
        (3, "bf16", f"lower training.learning_rate, or use precision fp32, {SKIP}"),
        (1, "bf16", "use precision fp32"),
        (1, "fp32", SOURCE),
    ],
)
def test_loss_that_is_not_finite_ends_the_run_with_the_step_and_a_remedy_that_may_help(
    tmp_path: Path, at: int, precision: str, remedy: str
) -> None:
    run = trainer(tmp_path, objective=Exploding(at), epochs=1, precision=precision, schedule="constant")
    with pytest.raises(RunFailed) as failure:
        list(run.events())
    (batch,) = list(FixedStream().epoch(0))[at - 1]
    rows = ", ".join(map(str, batch.labelled.numbers))
    found = f"the loss is not finite at step {at} (learning rate 0.01, {precision}) on rows {rows}"
    assert str(failure.value) == f"{found}; {remedy}"


def scored(folder: Path, scores: list[float], *, greater_is_better: bool = True, **options) -> list[Event]:
    """Train with an evaluation after every step that finds the next of these scores; return what is told."""
    run, left = trainer(folder, evaluate_every=1, **options), iter(scores)
    run.evaluate = lambda: {"macro_f1": next(left), "undefined": math.nan}
    run.greater_is_better = greater_is_better
    return list(run.events())


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_a_score_that_is_no_number_is_worse_than_any(tmp_path: Path, greater_is_better: bool) -> None:
    nan, sign = math.nan, 1 if greater_is_better else -1
    scores = [nan, nan, -2.0 * sign, nan, -1.0 * sign]
    events = scored(tmp_path, scores, greater_is_better=greater_is_better, epochs=1)
    assert [event.best for event in events if isinstance(event, Evaluated)] == [True, False, True, False, True]
    assert [event.best_step for event in events if isinstance(event, Finished)] == [5]


def test_a_score_that_is_no_number_is_no_improvement_to_wait_for(tmp_path: Path) -> None:
    events = scored(tmp_path, [0.5, math.nan, math.nan, 0.6, 0.7], epochs=1, patience=2)
    assert events[-1] == Finished(step=3, best_step=1, best_epoch=0.2, stopped_early=True)


def test_metrics_that_are_not_finite_are_warned_of_and_the_monitor_most_of_all(tmp_path: Path) -> None:
    events = scored(tmp_path, [0.5, math.nan, math.inf], steps=3)
    told = {step: [event.message for event in events if isinstance(event, Warned) and event.step == step] for step in (1, 2, 3)}  # fmt: skip
    other = 'metric "undefined" is nan on validation'
    chosen = "it is the monitored metric, and counts as worse than any number"
    assert told == {
        1: [other],
        2: [f'metric "macro_f1" is nan on validation; {chosen}', other],
        3: ['metric "macro_f1" is inf on validation', other],
    }


def test_bf16_trains_on_the_cpu(tmp_path: Path) -> None:
    run = trainer(tmp_path, epochs=4, precision="bf16")
    losses = [event.train_loss for event in run.events() if isinstance(event, Evaluated)]
    assert losses[-1] < losses[0]
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}


# --- batches are prepared ahead --------------------------------------------------------------------------------------


class Watched(FixedStream):
    """Remembers which batches were made, and where; the one with number ``broken`` cannot be made."""

    def __init__(self, broken: int = -1) -> None:
        super().__init__()
        self.made: list[tuple[int, str]] = []
        self.broken = broken

    def epoch(self, number: int, start: int = 0):
        for step in super().epoch(number, start):
            if len(self.made) == self.broken:
                raise PluginError("the augmenter failed")
            self.made.append((number, threading.current_thread().name))
            yield step


def test_batches_are_made_in_a_thread_and_none_beyond_the_last_step(tmp_path: Path) -> None:
    stream = Watched()
    list(trainer(tmp_path, stream=stream, steps=7).events())
    assert [epoch for epoch, _ in stream.made] == [0] * 5 + [1] * 2
    assert {name for _, name in stream.made} == {"kexp batches"}
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("kexp batches")] == []


def test_an_error_of_the_stream_ends_the_run_with_its_message_after_the_steps_before_it(tmp_path: Path) -> None:
    run = trainer(tmp_path, stream=Watched(broken=3), epochs=1)
    with pytest.raises(PluginError, match=r"^the augmenter failed$"):
        list(run.events())
    assert run.state.step == 3
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("kexp batches")] == []


@pytest.mark.parametrize("how", ["stop", "close", "interrupt"])
def test_the_thread_ends_with_the_training(tmp_path: Path, how: str) -> None:
    run = trainer(tmp_path, stream=Watched(), epochs=2, log_every=1)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    if how == "stop":
        with pytest.raises(RunInterrupted, match="stopped after step 1 of 10"):
            list(run.events(lambda: True))
    elif how == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            list(run.events(interrupt))
    else:
        events = run.events()
        while not isinstance(next(events), StepsDone):
            pass
        events.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("kexp batches")] == []
