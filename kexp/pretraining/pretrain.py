"""Pre-training as a stage: made once for equal inputs, stored by content, resumed where it was stopped."""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kexp
from kexp import tensor_files
from kexp.builtin.freezing import NoFreezing
from kexp.contracts import MaskedLanguageModel
from kexp.data.batching import PREDICTION_TOKENS, TokensPerBatch, by_length
from kexp.devices import Hardware
from kexp.distributed import ALONE, World
from kexp.errors import KexpError, RunFailed, RunInterrupted, describe_os_error
from kexp.model.encoder_config import encoder_config
from kexp.model.flat import reason_not_flat
from kexp.model.forward import Classifier
from kexp.pretraining.masked_lm import MaskedTokens, mean_loss
from kexp.pretraining.masking import MaskedStream
from kexp.pretraining.texts import total_steps
from kexp.seeds import generator
from kexp.shared_folder import all_see
from kexp.spec.pretraining_section import Pretraining
from kexp.spec.training_section import Training
from kexp.tensor_files import DamagedFile, OtherOrigin
from kexp.train.events import Event, StepsDone, Warned
from kexp.train.loop import Trainer
from kexp.work_lock import Turn, making

if TYPE_CHECKING:
    import torch

MEASURED_ROWS = 512
"""Texts whose loss is measured before and after."""

NOT_SHARED = "every run does its own pre-training; set KEXP_CACHE_DIR to a folder that can be written"
"""What follows where the store cannot be written."""

OPTIMIZER = ("optimizer", "betas", "epsilon", "gradient_clip")
"""Options of training that pre-training takes its steps with."""

TOLD_EVERY = 10.0
"""Seconds between two lines of progress, at least."""

logger = logging.getLogger("kexp")

Weights = Mapping[str, "torch.Tensor"]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """The weights by name, and the record: what was done, with the loss before and after."""

    weights: Weights
    record: Mapping[str, Any]
    stored: bool
    """Whether they were made before."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a pre-training depends on. ``folder`` keeps what was made, by a digest of all of it."""

    options: Pretraining
    training: Training
    start: MaskedLanguageModel
    stream: MaskedStream
    hardware: Hardware
    folder: Path
    world: World = ALONE

    def key(self) -> str:
        """Return the digest: of weights, rows, options, precision, kind of device, and versions of the libraries."""
        import torch
        import transformers

        stream = self.stream
        rows = stream.encoded
        arrays = {**rows.arrays(), "units": stream.masking.units}
        content = {
            "options": self.options.model_dump(mode="json", exclude={"texts", "text_column", "max_length"}),
            "steps": total_steps(self.options, len(rows)),
            "loop": {name: getattr(self.training, name) for name in OPTIMIZER},
            "bad steps": self.training.skip_bad_steps,
            "mask": [stream.masking.mask_id, list(stream.masking.special), stream.masking.vocabulary],
            "padding": [stream.collator.pad_id, stream.collator.token_types],
            "forward": reason_not_flat(self.start.model),
            "hardware": [self.hardware.device.type, self.hardware.precision, self.hardware.tf32]
            + ([] if self.hardware.deterministic else ["not deterministic"]),
            "versions": [kexp.__version__, torch.__version__, transformers.__version__],
            "config": encoder_config(self.start.model),
        }
        state = {name: weights.detach().cpu().contiguous() for name, weights in self.start.model.state_dict().items()}
        tensors = state | {f"rows {name}": torch.from_numpy(array) for name, array in arrays.items()}
        return tensor_files.tensor_digest(json.dumps(content, sort_keys=True, default=str), tensors)[:40]


def pretrain(
    stage: Stage, chosen: Callable[[], Weights], tell: Tell, should_stop: Callable[[], bool]
) -> PretrainedWeights:
    """Return the weights that ``chosen`` takes out of the model after pre-training: stored ones, or made now.

    Raises ``RunInterrupted`` when ``should_stop`` returns True; the same call then goes on from a checkpoint. A folder
    that cannot be written, or no more, is told and stops nothing. Of several processes the first one reads and writes.
    """
    key, world = stage.key(), stage.world
    path = stage.folder / f"{key}.safetensors"
    made_from = {"pre-training": key}

    def stored() -> PretrainedWeights | None:
        return world.from_first(lambda: _stored(path, made_from, tell))

    if (found := stored()) is not None:
        return found
    with _turn(world, path.with_suffix(".lock"), tell, should_stop) as turn:
        # Another process may have made them while this one waited.
        if (found := stored()) is not None:
            return found
        if turn.refused is not None:
            tell(f"the pre-trained weights cannot be stored: {describe_os_error(turn.refused)}; {NOT_SHARED}")
        (refused,) = world.agree(turn.refused is not None)
        checkpoints = None if refused else path.with_suffix("")
        if checkpoints is not None and not all_see(world, stage.folder):
            tell(f"no checkpoint of the pre-training is written: not every process sees {stage.folder}")
            checkpoints = None
        record = {"digest": key, **_train(stage, checkpoints, made_from, tell, should_stop)}
        weights = chosen()
        if world.first and not refused:
            _store(path, {"weights": weights, "record": record}, made_from, tell)
    return PretrainedWeights(weights, record, stored=False)


def _turn(world: World, lock: Path, tell: Tell, should_stop: Callable[[], bool]) -> AbstractContextManager[Turn]:
    """Hold the lock of what is made, for all processes of a run."""
    if not world.first:
        return nullcontext(Turn(waited=False, refused=None))
    return making("pre-trained weights", lock, tell, should_stop)


def _stored(path: Path, made_from: Mapping[str, str], tell: Tell) -> PretrainedWeights | None:
    if not path.exists():
        return None
    try:
        value = tensor_files.load(path, made_from)
    except (DamagedFile, OtherOrigin) as error:
        tell(f"{error}; it is made anew")
        return None
    # Left by a process that was killed after it had stored them.
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    tell(f"the weights of an equal pre-training are used, {path}")
    return PretrainedWeights(value["weights"], value["record"], stored=True)


def _store(path: Path, value: Any, made_from: Mapping[str, str], tell: Tell) -> None:
    try:
        tensor_files.save(path, value, made_from)
    except OSError as error:
        tell(f"the pre-trained weights are not stored: {describe_os_error(error)}; {NOT_SHARED}")
        return
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _train(
    stage: Stage, folder: Path | None, made_from: Mapping[str, str], tell: Tell, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Train the model of the stage and return the record."""
    stream, module = stage.stream, stage.start.model.to(stage.hardware.device)  # type: ignore[arg-type]
    model = Classifier(module, stage.hardware, stream.collator.pad_id, world=stage.world)
    objective = MaskedTokens()
    measured = generator(0, "measured texts").permutation(len(stream.encoded))[:MEASURED_ROWS]
    lengths = stream.encoded.tokens.lengths[measured]
    cut = [measured[rows] for rows in by_length(lengths, TokensPerBatch(PREDICTION_TOKENS))]

    def measure() -> dict[str, float]:
        return {"loss": mean_loss(objective, model, stream.masked(cut, generator(0, "measured masks")))}

    objective.check(model, next(iter(stream.masked([cut[0][: stream.batch_size]], generator(0, "measured masks")))))
    before = stage.world.from_first(measure)["loss"]
    steps = total_steps(stage.options, len(stream.encoded))
    trainer = Trainer(
        model,
        objective,
        NoFreezing(),
        stream,
        lambda: stage.world.from_first(measure),
        _options(stage, steps),
        seed=stage.options.seed,
        greater_is_better=False,
        folder=folder,
        made_from=made_from,
    )
    resumed_at = 0 if folder is None else _resumed(trainer, folder, tell)
    trainer.need_equal_weights()
    since = f", on from step {resumed_at}" if resumed_at else ""
    tell(f"pre-training on {len(stream.encoded):,} texts: {steps:,} steps{since}")
    progress = Progress(steps, resumed_at, tell)
    try:
        for event in _events(trainer, should_stop, tell):
            progress.show(event)
    except RunInterrupted as error:
        raise RunInterrupted(f"pre-training was {error}") from None
    except RunFailed as error:
        raise RunFailed(f"pre-training: {_own_options(str(error))}") from error
    state = trainer.state
    found = {
        "texts": len(stream.encoded),
        "steps": steps,
        "epochs": steps / stream.steps_per_epoch(),
        "train_loss_before": before,
        "train_loss_after": state.best,
        "seconds": state.training_seconds,
        "tokens_per_second": state.tokens / max(state.training_seconds, 1e-9),
        "forward": model.way,
        "head": "fresh" if stage.start.fresh else "of the checkpoint",
    }
    unusual = {"skipped_steps": state.skipped, "remarks": state.remarks}
    return found | {name: value for name, value in unusual.items() if value}


def _resumed(trainer: Trainer, folder: Path, tell: Tell) -> int:
    """Go on from a checkpoint and return its step; 0 where there is none that can be used."""
    try:
        return trainer.resume() or 0
    except KexpError:
        if folder is None:
            raise
        tell(f"the checkpoints in {folder} cannot be used; pre-training begins anew")
        if trainer.world.first:
            shutil.rmtree(folder, ignore_errors=True)
        trainer.world.agree()
        return 0


def _events(trainer: Trainer, should_stop: Callable[[], bool], tell: Tell) -> Iterator[Event]:
    """Train, from the step on at which a checkpoint cannot be written without any."""
    try:
        yield from trainer.events(should_stop)
    except OSError as error:
        if trainer.checkpoints is None:
            raise
        trainer.checkpoints = None
        tell(f"no checkpoint of the pre-training can be written: {describe_os_error(error)}; it goes on without")
        yield from trainer.events(should_stop)


def _options(stage: Stage, steps: int) -> Training:
    """Return the options of the loop: those of pre-training, and of training what says where and how safely it runs."""
    own, training = stage.options, stage.training
    shared = (
        *OPTIMIZER, "checkpoint", "checkpoint_every_steps", "checkpoint_every_minutes",
        "skip_bad_steps", "log_every", "device", "precision", "gradient_checkpointing",
    )  # fmt: skip
    return Training(
        steps=steps,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        warmup_ratio=own.warmup_ratio,
        weight_decay=own.weight_decay,
        evaluate_every=steps,
        monitor="loss",
        keep="last",
        **{name: getattr(training, name) for name in shared},
    )


def _own_options(message: str) -> str:
    """Let a message of the loop name the options of ``[pretraining]`` where it has options of that name."""
    names = "|".join(Pretraining.model_fields)
    return re.sub(rf"\btraining\.(?=(?:{names})\b)", "pretraining.", message)


@dataclass(slots=True)
class Progress:
    """Tells every few seconds how far a pre-training is."""

    steps: int
    first: int
    tell: Tell
    started: float = 0.0
    told: float = 0.0

    def show(self, event: Event) -> None:
        """Tell of an event if it is time, and of warnings at once."""
        now = time.monotonic()
        self.started = self.started or now
        if isinstance(event, Warned):
            logger.warning("pre-training: %s", event.message)
            self.tell(f"pre-training: {event.message}")
        if isinstance(event, StepsDone) and now - self.told >= TOLD_EVERY:
            left = (now - self.started) / max(event.step - self.first, 1) * (self.steps - event.step)
            speed = f"{event.tokens_per_second:,.0f} tokens/s, {left:,.0f} s left"
            self.tell(f"pre-training step {event.step:,} of {self.steps:,}, loss {event.loss:.3f}, {speed}")
            self.told = now
