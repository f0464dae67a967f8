"""The training loop: a generator of events. Who consumes them decides what is shown, tracked and written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from kexp.background import one_ahead
from kexp.contracts import FreezingOptions, Objective
from kexp.errors import KexpError, RunInterrupted
from kexp.host_batches import MicroBatch
from kexp.model.blocks import find_blocks
from kexp.model.forward import Classifier
from kexp.model.recomputation import recompute_activations
from kexp.spec.training_section import Training
from kexp.train.best_model import merit, metric_warnings
from kexp.train.checkpoint import KEPT, Checkpoints, Stateful, TrainState
from kexp.train.equal_weights import need_equal
from kexp.train.evaluated_weights import EvaluatedWeights
from kexp.train.events import EpochStarted, Evaluated, Event, Finished, Started, StepsDone, Warned
from kexp.train.kept_weights import Kept, WeightFiles, rank
from kexp.train.optimizers import OptimizerState, make_optimizer
from kexp.train.page_locked import page_locked
from kexp.train.step import OptimizerStep
from kexp.train.stopwatch import Stopwatch
from kexp.train.window import Window
from kexp.trained_weights import TrainedWeights


class Stream(Protocol):
    """The labelled rows as the loop sees them."""

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batches of each optimiser step of an epoch, from step ``start`` on."""


def total_steps(options: Training, stream: Stream) -> int:
    """Return the number of optimiser steps of a whole training."""
    return options.steps or options.epochs * stream.steps_per_epoch()


class Trainer:
    """One run's model, optimiser and state; ``events`` trains.

    ``evaluate`` measures the model on validation; where there is none, it returns nothing, and the last model is kept.
    ``watch`` measures it on unlabelled rows: numbers, and warnings about them. The
    folder gets the best weights and checkpoints; without one nothing is kept. ``made_from`` are digests by name of what
    the run reads, which these files carry. ``details`` are further fields of an evaluation's event, taken right after
    ``evaluate``. ``begin_epoch`` is called before the batches of an epoch are made. ``spent`` are seconds of training
    that were spent before, on hidden states of frozen blocks.
    """

    def __init__(
        self,
        classifier: Classifier,
        objective: Objective,
        freezing: FreezingOptions,
        stream: Stream,
        evaluate: Callable[[], Mapping[str, float]],
        options: Training,
        *,
        seed: int,
        greater_is_better: bool,
        folder: Path | None,
        watch: Callable[[], tuple[Mapping[str, float], Sequence[str]]] = lambda: ({}, ()),
        details: Callable[[], Mapping[str, Any]] = dict,
        begin_epoch: Callable[[int], None] = lambda epoch: None,
        spent: float = 0.0,
        made_from: Mapping[str, str] | None = None,
    ) -> None:
        self.freezing, self.stream, self.evaluate, self.options, self.spent = freezing, stream, evaluate, options, spent
        self.greater_is_better, self.watch, self.details = greater_is_better, watch, details
        self.begin_epoch = begin_epoch
        self.checkpoints = None if folder is None else Checkpoints(folder, made_from or {})
        self.weights = None if folder is None or not options.models_kept else WeightFiles(folder, made_from or {})
        self.model, self.hardware, self.world = classifier.module, classifier.hardware, classifier.world
        self.state = TrainState(processes=self.world.size)
        self.steps_per_epoch = stream.steps_per_epoch()
        self.total_steps = total_steps(options, stream)
        if options.gradient_checkpointing:
            recompute_activations(self.model)
        self.blocks = find_blocks(self.model)
        self.optimizer = make_optimizer(self.blocks, options)
        scaler = self.hardware.gradient_scaler()
        self.objective, self.evaluated = objective, EvaluatedWeights(classifier, objective, options)
        self.step = OptimizerStep(
            classifier,
            objective,
            self.optimizer,
            scaler,
            self.evaluated,
            options,
            seed,
            self.total_steps,
            self.steps_per_epoch,
        )
        self.window = self._window()
        self.parts: dict[str, Stateful] = {
            "model": TrainedWeights(self.model), "optimizer": OptimizerState(self.optimizer, self.blocks),
            "objective": objective, "scaler": scaler, "evaluated weights": self.evaluated,
        }  # fmt: skip
        self.warnings: list[str] = []
        # Of the last checkpoints, which need these weights.
        self.kept_before: list[Kept] = []
        self.checkpoint_time = time.monotonic()

    # --- what others call ------------------------------------------------------------------------------------------

    def remember(self, name: str, part: Stateful) -> None:
        """Save the state of what watches the run in its checkpoints, so that a resumed run goes on with it."""
        self.parts[name] = part

    def resume(self) -> int | None:
        """Continue from the folder's newest checkpoint that is whole; return its step, or None when there is none."""
        window = self._window()
        found = None
        with self.world.in_turn(before_others=self.world.first):
            if self.checkpoints is not None:
                found = self.checkpoints.load({**self.parts, "window": window}, self._need_weights)
        self._need_one_checkpoint(-1 if found is None else found[0].step)
        if found is None:
            return None
        (self.state, self.warnings), self.window = found, window
        if self.state.processes != self.world.size:
            self.warnings = [*self.warnings, _other_processes(self.state, self.world.size)]
            self.state.processes = self.world.size
        self.state.remarks += self.warnings
        self.kept_before = [self.state.kept]
        # Where only the tests of a trained model are missing, no epoch begins that would do this.
        self._unfreeze(self.epoch_of(self.state.step))
        return self.state.step

    def need_equal_weights(self) -> None:
        """Raise ``RunFailed`` where the weights, or the states of the objective, are not those of other processes."""
        state = {f"state of the objective: {name}": of for name, of in self.objective.state_dict().items()}
        need_equal(self.world, {**self.model.state_dict(), **state}, f"at step {self.state.step}")

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Generator[Event, None, None]:
        """Train from where the state stands to the end and yield what happens.

        ``should_stop`` is called after each step; where it returns True in one process, all stop. Raises ``RunFailed``
        when the loss is not finite, and ``RunInterrupted`` (after a checkpoint) when ``should_stop`` returns True.
        """
        state = self.state
        state.seconds["steps"] += self.spent
        clock = Stopwatch(state.seconds)
        yield self._started()
        yield from (Warned(state.step, message) for message in self.warnings)
        while state.step < self.total_steps and not state.stopped_early:
            epoch, place = divmod(state.step, self.steps_per_epoch)
            self._unfreeze(epoch)
            self.begin_epoch(epoch)
            # A run that resumes within an epoch has told this before.
            if place == 0:
                yield EpochStarted(epoch, state.step, self.trainable)
            clock.lap("writing")
            with closing(self._batches(epoch, place)) as steps:
                yield from self._steps(steps, clock, should_stop)
        # Without validation no evaluation is the best one.
        best_step = state.best_step or state.step
        yield Finished(state.step, best_step, best_step / self.steps_per_epoch, state.stopped_early)

    def restore_best(self) -> None:
        """Load the weights that are kept: those of the best evaluation, if there is a folder for them, or the last."""
        # The first process has written them by now.
        self.world.agree()
        if self.weights is not None:
            self.weights.load(self.model, self.state.best_step)
        elif not self.options.models_kept:
            self.evaluated.load()

    @property
    def kept_step(self) -> int:
        """Step of the model that is kept: that of the best evaluation so far, or the last."""
        return self.state.best_step if self.options.models_kept else self.state.step

    def epoch_of(self, step: int) -> int:
        """Return the epoch whose batches a step had."""
        return (step - 1) // self.steps_per_epoch

    # --- around the steps ------------------------------------------------------------------------------------------

    def _started(self) -> Started:
        return Started(
            self.state.step,
            self.total_steps,
            self.steps_per_epoch,
            sum(parameter.numel() for parameter in self.model.parameters()),
            str(self.hardware.device),
            self.hardware.precision,
        )

    def _batches(self, epoch: int, place: int) -> Generator[list[MicroBatch], None, None]:
        """Yield the batches of the steps that are left of an epoch, which a thread prepares one step ahead."""
        # No step beyond the last one is prepared: its texts would be augmented, and counted, for nothing.
        steps = islice(self.stream.epoch(epoch, place), self.total_steps - self.state.step)
        # Of several processes each locks its own rows.
        locked = page_locked(steps, self.hardware.device) if self.world.size == 1 else steps
        return one_ahead(locked, "kexp batches")

    def _steps(
        self, steps: Iterator[list[MicroBatch]], clock: Stopwatch, should_stop: Callable[[], bool]
    ) -> Iterator[Event]:
        """Do the steps of an epoch, up to the end of training."""
        state = self.state
        for batches in steps:
            clock.lap("data")
            told = self.step(batches, state, self.window)
            clock.lap("steps")
            yield from (Warned(state.step, message) for message in told)
            due = self._evaluation_due()
            stop, save = self.world.agree(should_stop(), self._checkpoint_due(evaluated=due))
            if due or state.step % self.options.log_every == 0:
                yield from self._close_window(clock)
            if due:
                yield from self._evaluate(clock)
            if stop or save:
                self._checkpoint()
                clock.lap("writing")
            if state.step == self.total_steps or state.stopped_early:
                return
            if stop:
                raise RunInterrupted(f"stopped after step {state.step} of {self.total_steps}")

    def _unfreeze(self, epoch: int) -> None:
        self.trainable = self.blocks.apply_freezing(self.freezing.frozen(self.blocks.names, epoch))

    def _window(self) -> Window:
        return Window(self.state.seconds["data"], self.state.training_seconds, self.hardware.device)

    def _close_window(self, clock: Stopwatch) -> Iterator[StepsDone]:
        """Turn the window into an event, unless all its steps were left out; the device is waited for here."""
        state, window = self.state, self.window
        self.step.need_finite(window)
        losses = window.values(window.losses)
        clock.lap("steps")
        state.examples += window.examples
        state.tokens += window.tokens
        state.losses += losses
        seconds = max(state.training_seconds - window.training, 1e-9)
        if losses:
            yield StepsDone(
                state.step,
                state.step / self.steps_per_epoch,
                sum(losses) / len(losses),
                self.step.learning_rate(),
                float(window.norms[-1]),
                window.examples / seconds,
                window.tokens / seconds,
                (state.seconds["data"] - window.data) / seconds,
                window.means(),
            )
        clock.lap("writing")
        self.window = self._window()

    # --- evaluations and checkpoints -------------------------------------------------------------------------------

    def _evaluation_due(self) -> bool:
        step = self.state.step
        every = self.options.evaluate_every or self.steps_per_epoch
        return step % every == 0 or step == self.total_steps

    def _evaluate(self, clock: Stopwatch) -> Iterator[Event]:
        state, started = self.state, time.perf_counter()
        self.need_equal_weights()
        self.evaluated.add()
        with self.evaluated.loaded():
            metrics, details, (unlabelled, warnings) = self.evaluate(), self.details(), self.watch()
            clock.lap("evaluation")
            loss = details.get("validation_loss")
            if metrics:
                self._keep(metrics[self.options.monitor], loss)
        # Summed exactly: where a run was interrupted must not change the last digit.
        train_loss = math.fsum(state.losses) / len(state.losses) if state.losses else math.nan
        state.losses = []
        train_seconds = state.training_seconds - state.evaluated_seconds
        state.evaluated_seconds = state.training_seconds
        best = bool(metrics) and self._is_best(metrics[self.options.monitor], loss)
        self._unfreeze(self.epoch_of(state.step))
        seconds = time.perf_counter() - started
        yield Evaluated(
            state.step,
            state.step / self.steps_per_epoch,
            train_loss,
            metrics,
            best,
            seconds,
            unlabelled,
            train_seconds=train_seconds,
            **details,
        )
        yield from (
            Warned(state.step, message) for message in (*metric_warnings(metrics, self.options.monitor), *warnings)
        )
        clock.lap("writing")
        if not self.options.checkpoint:
            self._remove_weights()

    def _is_best(self, value: float, loss: float | None) -> bool:
        """Return whether this evaluation is the best so far, and count those that do not improve the monitored metric.

        A tie with a lower loss is the best one, but no improvement: patience is about the metric alone.
        """
        state, patience = self.state, self.options.patience
        improved = best = True
        if state.best is not None:
            improved = self._merit(value) > self._merit(state.best)
            best = self._merit(value, loss) > self._merit(state.best, state.best_loss)
        if best:
            state.best, state.best_loss, state.best_step = value, loss, state.step
        state.evaluations_without_improvement = 0 if improved else state.evaluations_without_improvement + 1
        state.stopped_early = patience is not None and state.evaluations_without_improvement >= patience
        return best

    def _merit(self, value: float, loss: float | None = None) -> tuple[float, ...]:
        return merit(value, loss, greater_is_better=self.greater_is_better)

    def _keep(self, value: float, loss: float | None) -> None:
        """Keep the weights if this evaluation is among the best ones."""
        state, most = self.state, self.options.models_kept
        place = rank(state.kept, value, loss, greater_is_better=self.greater_is_better)
        if place < most:
            state.kept = [*state.kept[:place], (value, loss, state.step), *state.kept[place:]][:most]
            if self.weights is not None and self.world.first:
                self.weights.save(self.model, state.step)

    def _need_weights(self, state: TrainState) -> None:
        if self.weights is not None:
            self.weights.check(state.kept)

    def _need_one_checkpoint(self, step: int) -> None:
        """Raise ``KexpError`` where the newest checkpoints of several processes are not of the same step."""
        newest, oldest = self.world.agree(step, -step)
        if newest != -oldest and self.checkpoints is not None:
            raise KexpError(
                f"{self.checkpoints.folder}: one process finds a checkpoint of step {newest}, another none, or one of "
                f"step {max(-oldest, 0)}; all processes need the same runs folder (--runs-dir), on a shared disk"
            )

    def _checkpoint_due(self, *, evaluated: bool) -> bool:
        """Return whether a checkpoint is due. Clocks decide when one is written, never what a run computes."""
        options = self.options
        minutes = (time.monotonic() - self.checkpoint_time) / 60
        by_steps = options.checkpoint_every_steps and self.state.step % options.checkpoint_every_steps == 0
        by_time = options.checkpoint_every_minutes and minutes >= options.checkpoint_every_minutes
        return options.checkpoint and bool(evaluated or by_steps or by_time)

    def _checkpoint(self) -> None:
        """Write a checkpoint after the events of a step, so that a resumed run tells none of them again."""
        self.need_equal_weights()
        if self.checkpoints is None:
            return
        # What has not been looked at yet must not be what a resumed run begins with.
        self.step.need_finite(self.window)
        if self.world.first:
            self.checkpoints.save(self.state, {**self.parts, "window": self.window})
        self.checkpoint_time = time.monotonic()
        self.kept_before = [*self.kept_before, self.state.kept][-KEPT:]
        self._remove_weights()

    def _remove_weights(self) -> None:
        """Remove the weights that neither the run needs nor one of its checkpoints."""
        if self.weights is not None and self.world.first:
            self.weights.remove_others(step for kept in (*self.kept_before, self.state.kept) for *_, step in kept)


def _other_processes(state: TrainState, size: int) -> str:
    """Say that a run goes on in another number of processes."""
    count = "one process" if size == 1 else f"{size} processes"
    return (
        f"from step {state.step} on {count} train, until then {state.processes} did: sums are rounded in another order "
        "and dropout draws other numbers than without the change"
    )
