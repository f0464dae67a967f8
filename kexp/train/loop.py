"""The training loop: a generator of events. Who consumes them decides what is shown, tracked and written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kexp.contracts import Batch, FreezingOptions, Inputs, Objective, Progress, UnlabelledBatch
from kexp.errors import RunFailed, RunInterrupted
from kexp.host_batches import MicroBatch
from kexp.model.blocks import find_blocks
from kexp.model.forward import Classifier
from kexp.seeds import derive
from kexp.spec.sections import Training
from kexp.train.best_model import is_better, metric_warnings
from kexp.train.checkpoint import TrainState, load_checkpoint, save_checkpoint
from kexp.train.events import EpochStarted, Evaluated, Event, Finished, Started, StepsDone, Warned
from kexp.train.kept_weights import WeightFiles, rank
from kexp.train.schedule import multiplier
from kexp.train.stopwatch import Stopwatch

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Stream(Protocol):
    """The labelled rows as the loop sees them."""

    def steps_per_epoch(self) -> int:
        """Return the number of optimiser steps of an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[list[MicroBatch]]:
        """Yield the batches of each optimiser step of an epoch, from step ``start`` on."""


def total_steps(options: Training, stream: Stream) -> int:
    """Return the number of optimiser steps of a whole training."""
    return options.steps or options.epochs * stream.steps_per_epoch()


@dataclass(slots=True)
class Window:
    """Sums since the last ``StepsDone``; tensors stay on the device until the window is closed.

    ``data`` and ``training`` are the seconds of the run, on data and on steps with data, when the window began.
    """

    data: float
    training: float
    losses: list[torch.Tensor] = field(default_factory=list)
    logs: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    examples: int = 0
    tokens: int = 0


class Trainer:
    """One run's model, optimiser and state; ``events`` trains.

    ``evaluate`` measures the model on validation, ``watch`` on unlabelled rows: numbers, and warnings about them. The
    folder gets the best weights and, at evaluations and when stopped, a checkpoint; without one nothing is kept.
    ``details`` are further fields of an evaluation's event, taken right after ``evaluate``.
    ``spent`` are seconds of training that were spent before, on hidden states of frozen blocks.
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
        spent: float = 0.0,
    ) -> None:
        self.classifier, self.objective, self.freezing, self.stream = classifier, objective, freezing, stream
        self.evaluate, self.options, self.seed, self.spent = evaluate, options, seed, spent
        self.greater_is_better, self.folder, self.watch, self.details = greater_is_better, folder, watch, details
        self.weights = None if folder is None or not options.models_kept else WeightFiles(folder)
        self.model, self.hardware = classifier.module, classifier.hardware
        self.state = TrainState()
        self.steps_per_epoch = stream.steps_per_epoch()
        self.total_steps = total_steps(options, stream)
        self.blocks = find_blocks(self.model)
        self.optimizer = self._make_optimizer()
        self.scaler = self.hardware.gradient_scaler()

    # --- what others call ------------------------------------------------------------------------------------------

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train from where the state stands to the end and yield what happens.

        ``should_stop`` is called after each step. Raises ``RunFailed`` when the loss is not finite, and
        ``RunInterrupted`` (after a checkpoint) when ``should_stop`` returns True.
        """
        state = self.state
        state.seconds["steps"] += self.spent
        clock = Stopwatch(state.seconds)
        window = self._window()
        yield self._started()
        while state.step < self.total_steps and not state.stopped_early:
            epoch, place = divmod(state.step, self.steps_per_epoch)
            yield self._start_epoch(epoch)
            clock.lap("writing")
            for batches in self.stream.epoch(epoch, place):
                clock.lap("data")
                self._step(batches, window)
                clock.lap("steps")
                due, stop = self._evaluation_due(), should_stop()
                if due or stop or state.step % self.options.log_every == 0:
                    yield self._close(window, clock)
                    clock.lap("writing")
                    if due:
                        yield from self._evaluate(clock)
                    window = self._window()
                if state.step == self.total_steps or state.stopped_early:
                    break
                if stop:
                    self._checkpoint()
                    raise RunInterrupted(f"stopped after step {state.step} of {self.total_steps}")
        yield Finished(state.step, state.best_step, state.best_step / self.steps_per_epoch, state.stopped_early)

    def resume(self) -> int | None:
        """Continue from the folder's checkpoint; return its step, or None when there is none."""
        state = None if self.folder is None else load_checkpoint(self.folder, self._stateful())
        if state is None:
            return None
        self.state = state
        # Where only the tests of a trained model are missing, no epoch begins that would do this.
        self._unfreeze((state.step - 1) // self.steps_per_epoch)
        return state.step

    def restore_best(self) -> None:
        """Load the best weights, when the spec keeps the best model and there is a folder for it."""
        if self.weights is not None:
            self.weights.load(self.model, self.state.best_step)

    @property
    def kept_step(self) -> int:
        """Step of the model that is kept: that of the best evaluation so far, or the last."""
        return self.state.best_step if self.options.models_kept else self.state.step

    # --- one step --------------------------------------------------------------------------------------------------

    def _step(self, batches: Sequence[MicroBatch], window: Window) -> None:
        """Do one optimiser step; each batch counts by its rows, so that a short last batch weighs no more."""
        import torch

        state = self.state
        torch.manual_seed(derive(self.seed, "dropout", state.step))
        rows = sum(len(batch.labelled) for batch in batches)
        loss = torch.zeros((), device=self.hardware.device)
        for number, batch in enumerate(batches):
            progress = Progress(state.step, self.total_steps, number)
            share = len(batch.labelled) / rows
            found = self.objective.step(self.classifier, *self._to_device(batch), progress)
            self.scaler.scale(found.loss * share).backward()  # type: ignore[no-untyped-call]
            loss += found.loss.detach() * share
            for name, value in found.logs.items():
                window.logs.setdefault(name, []).append(value.detach())
        self._set_learning_rate()
        self.scaler.unscale_(self.optimizer)
        self.gradient_norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.options.gradient_clip or math.inf
        )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        window.losses.append(loss)
        window.examples += rows + sum(len(batch.unlabelled.rows) for batch in batches if batch.unlabelled)
        window.tokens += sum(part.tokens for batch in batches for part in (batch.labelled, batch.unlabelled) if part)
        state.step += 1
        self.objective.stepped(self.classifier, Progress(state.step, self.total_steps))

    def _to_device(self, batch: MicroBatch) -> tuple[Batch, UnlabelledBatch | None]:
        import torch

        def moved(array: NDArray[np.int64]) -> torch.Tensor:
            return torch.from_numpy(array).to(self.hardware.device, non_blocking=True)

        def all_moved(arrays: Mapping[str, NDArray[np.int64]]) -> Inputs:
            return {name: moved(array) for name, array in arrays.items()}

        labelled, pairs = batch.labelled, batch.unlabelled
        unlabelled = None
        if pairs is not None:
            unlabelled = UnlabelledBatch(all_moved(pairs.original), all_moved(pairs.augmented), moved(pairs.rows))
        return Batch(labelled.inputs_on(self.hardware.device), moved(labelled.labels)), unlabelled

    def _set_learning_rate(self) -> None:
        factor = multiplier(self.state.step, self.total_steps, self.steps_per_epoch, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def _make_optimizer(self) -> torch.optim.Optimizer:
        import torch

        options = self.options
        groups = self.blocks.parameter_groups(options.learning_rate, options.weight_decay, options.layer_decay)
        return torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas, eps=options.epsilon, fused=True)

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

    def _start_epoch(self, epoch: int) -> EpochStarted:
        self._unfreeze(epoch)
        return EpochStarted(epoch, self.state.step, self.trainable)

    def _unfreeze(self, epoch: int) -> None:
        self.trainable = self.blocks.apply_freezing(self.freezing.frozen(self.blocks.names, epoch))

    def _window(self) -> Window:
        return Window(self.state.seconds["data"], self.state.training_seconds)

    def _close(self, window: Window, clock: Stopwatch) -> StepsDone:
        """Turn a window into an event: here the device is waited for, once in ``log_every`` steps."""
        import torch

        state = self.state
        losses = torch.stack(window.losses).tolist()
        clock.lap("steps")
        if not all(map(math.isfinite, losses)):
            step = state.step - len(losses) + 1 + next(i for i, loss in enumerate(losses) if not math.isfinite(loss))
            raise RunFailed(
                f"the loss is not finite at step {step} (learning rate {self._learning_rate():.3g}, "
                f"{self.hardware.precision}); {self._remedy(step)}"
            )
        state.examples += window.examples
        state.tokens += window.tokens
        state.losses += losses
        seconds = max(state.training_seconds - window.training, 1e-9)
        return StepsDone(
            state.step,
            state.step / self.steps_per_epoch,
            sum(losses) / len(losses),
            self._learning_rate(),
            float(self.gradient_norm),
            window.examples / seconds,
            window.tokens / seconds,
            (state.seconds["data"] - window.data) / seconds,
            {name: float(torch.stack(values).float().mean()) for name, values in window.logs.items()},
        )

    def _remedy(self, step: int) -> str:
        """Say what may make the loss of a step finite; that of the first one owes nothing to the learning rate."""
        remedies = ["lower training.learning_rate"] if step > 1 else []
        if self.hardware.precision != "fp32":
            remedies.append("use precision fp32")
        source = "the objective and its options, and the weights of the backbone"
        return ", or ".join(remedies) or f"nothing has been learnt by then: look at {source}"

    def _learning_rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def _evaluation_due(self) -> bool:
        step = self.state.step
        every = self.options.evaluate_every or self.steps_per_epoch
        return step % every == 0 or step == self.total_steps

    def _evaluate(self, clock: Stopwatch) -> Iterator[Event]:
        state, started = self.state, time.perf_counter()
        metrics, details, (unlabelled, warnings) = self.evaluate(), self.details(), self.watch()
        clock.lap("evaluation")
        value = metrics[self.options.monitor]
        best = is_better(value, state.best, greater_is_better=self.greater_is_better)
        # Summed exactly: where a run was interrupted must not change the last digit.
        train_loss = math.fsum(state.losses) / len(state.losses)
        state.losses = []
        train_seconds = state.training_seconds - state.evaluated_seconds
        state.evaluated_seconds = state.training_seconds
        self._keep(value)
        if best:
            state.best, state.best_step, state.evaluations_without_improvement = value, state.step, 0
        else:
            state.evaluations_without_improvement += 1
            patience = self.options.patience
            state.stopped_early = patience is not None and state.evaluations_without_improvement >= patience
        if self.options.checkpoint:
            self._checkpoint()
        # The checkpoint before may need them until here.
        if self.weights is not None:
            self.weights.remove_others(state.kept)
        self._unfreeze((state.step - 1) // self.steps_per_epoch)
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

    def _keep(self, value: float) -> None:
        """Keep the weights if this evaluation is among the best ones."""
        state = self.state
        place = rank(state.kept, value, greater_is_better=self.greater_is_better)
        if place < self.options.models_kept:
            state.kept = [*state.kept[:place], (value, state.step), *state.kept[place:]][: self.options.models_kept]
            if self.weights is not None:
                self.weights.save(self.model, state.step)

    def _checkpoint(self) -> None:
        if self.folder is not None:
            save_checkpoint(self.folder, self.state, self._stateful())

    def _stateful(self) -> dict[str, Any]:
        """Return everything that has a state besides the numbers of ``TrainState``."""
        return {"model": self.model, "optimizer": self.optimizer, "objective": self.objective, "scaler": self.scaler}
