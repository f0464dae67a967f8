"""One optimiser step: passes over its batches, the gradient, and what to do where memory or numbers run out."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kexp.contracts import Batch, Objective, Progress, UnlabelledBatch
from kexp.devices import is_out_of_memory
from kexp.distributed import ALONE, World
from kexp.errors import RunFailed
from kexp.host_batches import MicroBatch
from kexp.model.forward import Classifier
from kexp.model.token_rows import TokenRows
from kexp.seeds import derive
from kexp.spec.training_section import Training
from kexp.train.checkpoint import TrainState
from kexp.train.evaluated_weights import EvaluatedWeights
from kexp.train.page_locked import locked
from kexp.train.schedule import multiplier
from kexp.train.window import Window, describe_rows, row_numbers

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Gradients = tuple["torch.Tensor", dict[str, list["torch.Tensor"]]]
"""The loss of a step, and what its passes log."""


@dataclass(frozen=True, slots=True)
class OptimizerStep:
    """Does the steps of a run, whose progress is in ``state``."""

    classifier: Classifier
    objective: Objective
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    evaluated: EvaluatedWeights
    options: Training
    seed: int
    total_steps: int
    steps_per_epoch: int

    def __call__(self, batches: Sequence[MicroBatch], state: TrainState, window: Window) -> list[str]:
        """Do one step and return what has to be told; each batch counts by its rows, so that a short one weighs less.

        Where memory is not enough, the step is begun anew with half of the rows per pass. Raises ``RunFailed`` when it
        is not enough for one row, and when more steps are not finite than may be left out.
        """
        import torch

        before = ObjectiveState(self.objective, self.options.batch_option)
        told = []
        while (found := self._gradients(batches, state)) is None:
            before.restore("out of memory")
            told.append(self._halve(batches, state))
        loss, logs = found
        self._set_learning_rate(state.step)
        self.scaler.unscale_(self.optimizer)
        parameters = self.classifier.module.parameters()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.options.gradient_clip or math.inf)
        window.count(batches)
        skipped = self.options.skip_bad_steps > 0 and not self._finite(loss, norm)
        if skipped:
            before.restore("the loss is not finite")
            told.append(self._skip(batches, state))
        else:
            self.scaler.step(self.optimizer)
            window.add(state.step + 1, batches, loss, norm, logs)
        self.scaler.update()
        self.optimizer.zero_grad()
        state.step += 1
        if not skipped:
            self.objective.stepped(self.classifier, Progress(state.step, self.total_steps))
            self.evaluated.stepped()
        state.remarks += told
        return told

    def learning_rate(self) -> float:
        """Return the highest learning rate of the last step."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def need_finite(self, window: Window) -> None:
        """Raise ``RunFailed`` for the first step of a window that is not finite; its rows and a remedy are named."""
        # In fp16 the scaler leaves out steps whose gradient is not finite, and scales less.
        bad = window.first_bad(gradients=not self.scaler.is_enabled())
        if bad is not None:
            step, rows, what = bad
            precision = self.classifier.hardware.precision
            found = f"the {what} is not finite at step {step} (learning rate {self.learning_rate():.3g}, {precision})"
            raise RunFailed(f"{found}{describe_rows(rows)}; {self._remedy(step)}")

    # --- the gradient ----------------------------------------------------------------------------------------------

    def _gradients(self, batches: Sequence[MicroBatch], state: TrainState) -> Gradients | None:
        """Add up the gradients of all passes; return None where memory was not enough."""
        import torch

        world = self.classifier.world
        try:
            return self._passes([part for batch in batches for part in batch.split(state.passes)], state.step)
        # Whatever raises it, a plugin or a library: it is known by what it says.
        except Exception as error:
            world.tell(error)
            if not is_out_of_memory(error):
                raise
        self.optimizer.zero_grad()
        # What the passes had allocated is free only after the error that refers to it.
        gc.collect()
        if self.classifier.hardware.device.type == "cuda":
            torch.cuda.empty_cache()
        world.agree()
        return None

    def _passes(self, batches: Sequence[MicroBatch], step: int) -> Gradients:
        import torch

        device, world = self.classifier.hardware.device, self.classifier.world
        torch.manual_seed(derive(self.seed, "dropout", step, *([] if world.first else [world.rank])))
        rows = sum(len(batch.labelled) for batch in batches)
        loss, logs = torch.zeros((), device=device), dict[str, list[torch.Tensor]]()
        for number, batch in enumerate(batches):
            share = len(batch.labelled) / rows
            found = self.objective.step(
                self.classifier, *to_device(batch, device, world), Progress(step, self.total_steps, number)
            )
            self.scaler.scale(found.loss * share).backward()  # type: ignore[no-untyped-call]
            loss += found.loss.detach() * share
            for name, value in found.logs.items():
                logs.setdefault(name, []).append(value.detach())
        return world.add_gradients([*self.classifier.module.parameters()], loss), logs

    def _set_learning_rate(self, step: int) -> None:
        factor = multiplier(step, self.total_steps, self.steps_per_epoch, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    # --- where memory or numbers run out ---------------------------------------------------------------------------

    def _halve(self, batches: Sequence[MicroBatch], state: TrainState) -> str:
        """Divide batches into twice as many passes."""
        largest = max(len(batch.labelled) for batch in batches)
        if state.passes >= largest:
            unlabelled = " with its unlabelled rows" if batches[0].unlabelled else ""
            remedy = "lower training.max_length, or choose a smaller model"
            if not self.options.gradient_checkpointing:
                remedy = f"set training.gradient_checkpointing = true, {remedy}"
            raise RunFailed(f"out of memory at step {state.step + 1} with one row per pass{unlabelled}; {remedy}")
        state.passes *= 2
        rows = -(-largest // state.passes)
        return (
            f"out of memory at step {state.step + 1}: from here on a batch takes {state.passes} passes, of at most "
            f"{rows} of its {largest} rows, whose gradients are added up; the batch is the same, and steps take longer"
        )

    def _finite(self, loss: torch.Tensor, norm: torch.Tensor) -> bool:
        if not math.isfinite(loss):
            return False
        return self.scaler.is_enabled() or math.isfinite(norm)

    def _skip(self, batches: Sequence[MicroBatch], state: TrainState) -> str:
        """Count a step that is left out."""
        step, limit = state.step + 1, self.options.skip_bad_steps
        rows = describe_rows(row_numbers(batches))
        if len(state.skipped) == limit:
            raise RunFailed(
                f"the loss or its gradient is not finite at step {step}{rows}, and {limit} steps before it were left "
                f"out (training.skip_bad_steps); {self._remedy(step)}"
            )
        state.skipped.append(step)
        counted = f"{len(state.skipped)} of at most {limit}"
        return f"step {step} is left out, since its loss or gradient is not finite{rows} ({counted})"

    def _remedy(self, step: int) -> str:
        """Say what may make the loss of a step finite; that of the first one owes nothing to the learning rate."""
        remedies = ["lower training.learning_rate"] if step > 1 else []
        if self.classifier.hardware.precision != "fp32":
            remedies.append("use precision fp32")
        if step > 1 and not self.options.skip_bad_steps:
            remedies.append("leave such steps out with training.skip_bad_steps")
        source = "the objective and its options, and the weights of the backbone"
        return ", or ".join(remedies) or f"nothing has been learnt by then: look at {source}"


class ObjectiveState:
    """The state of an objective before a step, so that the step can be done again."""

    def __init__(self, objective: Objective, batch_option: str) -> None:
        self.objective, self.state, self.batch_option = objective, dict(objective.state_dict()), batch_option
        self.versions = self._versions()

    def restore(self, reason: str) -> None:
        """Give the objective its state back; raises ``RunFailed`` where it was changed in place.

        Tensors are not copied, which would cost a teacher's memory twice: an objective that replaces them keeps ours
        as they were.
        """
        if self._versions() != self.versions:
            remedy = f"lower {self.batch_option} and raise gradient_accumulation, or lower training.learning_rate"
            objective = f"{type(self.objective).__module__}.{type(self.objective).__qualname__}"
            raise RunFailed(
                f"{reason}, and the step cannot be repeated: objective {objective} changes its state in place; {remedy}"
            )
        now = self.objective.state_dict()
        # A teacher, which no step changes, is not made anew.
        if now.keys() != self.state.keys() or not all(_equal(now[name], old) for name, old in self.state.items()):
            self.objective.load_state_dict(self.state)

    def _versions(self) -> list[int]:
        """Return how often each tensor was changed in place."""
        import torch

        tensors = (value for value in self.state.values() if isinstance(value, torch.Tensor))
        return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    import torch

    return first.device == second.device and first.dtype == second.dtype and torch.equal(first, second)


def to_device(batch: MicroBatch, device: torch.device, world: World = ALONE) -> tuple[Batch, UnlabelledBatch | None]:
    """Return the rows of a pass on a device: those of this process, where there are several."""
    import torch

    all_labelled = all_unlabelled = None
    if world.size > 1:
        all_labelled = len(batch.labelled)
        all_unlabelled = None if batch.unlabelled is None else len(batch.unlabelled.rows)
        batch = batch.every(world.size, world.rank)
        if device.type == "cuda":
            batch = locked(batch)

    def moved(array: NDArray[Any]) -> torch.Tensor:
        if device.type == "mps" and array.dtype == "float64":
            # Apple's GPUs have no float64, and logits are fp32.
            array = array.astype("float32")
        return torch.from_numpy(array).to(device, non_blocking=True)

    labelled, pairs = batch.labelled, batch.unlabelled
    unlabelled = None
    if pairs is not None:
        original, augmented = (TokenRows.of(rows, device) for rows in (pairs.original, pairs.augmented))
        unlabelled = UnlabelledBatch(original, augmented, moved(pairs.rows), all_unlabelled)
    return Batch(TokenRows.of(labelled.inputs, device), moved(labelled.labels), all_labelled), unlabelled
