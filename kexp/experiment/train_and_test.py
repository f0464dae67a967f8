"""One run: assemble, train, evaluate, write. However it ends, ``result.json`` in its folder says how."""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kexp.atomic_files import remove_leftovers, replacing_folder
from kexp.contracts import RunIdentity
from kexp.data.encoding import token_counts
from kexp.devices import choose, out_of_memory
from kexp.errors import RunInterrupted, RunPruned, describe_os_error
from kexp.evaluate.predictions import Predictions
from kexp.experiment.assemble import AssembledRun, assemble
from kexp.experiment.calibrate import Calibration
from kexp.experiment.digests import origin
from kexp.experiment.inputs import PreparedInputs, clean
from kexp.experiment.interrupt import graceful_stop
from kexp.experiment.monitors import DataWarnings, PseudoLabelMonitor, UnlabelledUse, Validation
from kexp.experiment.pretraining import with_pretraining
from kexp.experiment.reuse_frozen import reuse_frozen
from kexp.experiment.trackers import RunListeners, log_file
from kexp.model_files import write_checksums
from kexp.plan.cross_checks import step_warnings
from kexp.plan.resolve import Variant
from kexp.plan.validate import dump
from kexp.redaction import without_passwords
from kexp.repeats import Repeat
from kexp.report import predictions as report
from kexp.report.run_folder import finite
from kexp.report.stored import write_result
from kexp.train.checkpoint import Stateful
from kexp.train.events import Evaluated, Event, Finished, Warned
from kexp.train.loop import Trainer

logger = logging.getLogger("kexp")

Stopping = Callable[[], AbstractContextManager[Callable[[], bool]]]
"""Returns what is entered for the steps of training or pre-training, and yields whether they should stop."""


class Display(Protocol):
    """What is shown while an experiment runs."""

    def phase(self, text: str) -> None:
        """Show what is being done before and between the runs."""

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Begin to show a run."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show an event of the run."""

    def run_ended(self, result: Mapping[str, Any], folder: Path) -> None:
        """Show how the run ended whose files are in ``folder``."""


@dataclass(frozen=True, slots=True)
class Run:
    """One repeat of a variant: the group of runs that it belongs to, its folder, and the display of its events."""

    variant: Variant
    repeat: Repeat
    group: str
    folder: Path
    prepared: PreparedInputs
    display: Display
    resume: bool = False


def train_and_test(run: Run) -> dict[str, Any]:
    """Do one run in its folder and return the object of ``result.json``; failures are recorded there, not raised."""
    remove_leftovers(run.folder)
    return record_outcome(run, lambda listeners: _train_and_test(run, listeners))


def remove_checkpoints(folder: Path, result: Mapping[str, Any]) -> None:
    """Remove the checkpoints of a run that is done: until its result is written, it can go on from them."""
    if result["status"] == "done":
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def record_outcome(run: Run, work: Callable[[RunListeners], Mapping[str, Any]]) -> dict[str, Any]:
    """Do the work of a run, write ``result.json`` however it ends, and close the listeners."""
    listeners = _listeners(run)
    identity = {"experiment": run.variant.spec.name, "variant": run.variant.name, **run.repeat.keys()}
    run.folder.mkdir(parents=True, exist_ok=True)
    with log_file(run.folder / "log.txt", listeners.warn):
        try:
            result = {"status": "done", "reason": None, **identity, **work(listeners)}
        except (RunInterrupted, KeyboardInterrupt) as error:
            result = {"status": "interrupted", "reason": str(error) or "stopped at once", **identity}
        except RunPruned as error:
            result = {"status": "pruned", "reason": str(error), **identity}
        # A run may fail in as many ways as torch, a model or a plugin; the experiment's other runs go on.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            logger.error("the run failed\n%s", traceback.format_exc())
            result = {"status": "failed", "reason": _reason(error), **identity}
        # As it is read again by a resumed experiment, which must compare it with others in the same way.
        recorded: dict[str, Any] = finite(result)
        try:
            write_result(run.folder / "result.json", recorded)
        finally:
            listeners.finish(recorded)
    run.display.run_ended(recorded, run.folder)
    return recorded


def _listeners(run: Run) -> RunListeners:
    spec, catalog = run.variant.spec, run.prepared.catalog
    table = dump(spec, catalog)
    identity = RunIdentity(
        spec.name,
        run.group,
        run.variant.name,
        run.repeat.seed,
        str(run.folder),
        table,
        draw=run.repeat.draw,
        fold=run.repeat.fold,
    )

    def warn(message: str) -> None:
        message = without_passwords(message)
        logger.warning(message)
        run.display.event({"event": "warning", "step": 0, "message": message})

    trackers = [(catalog.name_of(type(tracker)), tracker) for tracker in spec.trackers]
    return RunListeners(identity, trackers, warn, catalog.observers)


def _reason(error: BaseException) -> str:
    remedy = "lower training.batch_size and raise gradient_accumulation, or lower max_length"
    if isinstance(error, OSError):
        return without_passwords(describe_os_error(error))
    if isinstance(error, SystemExit):
        return f"it raised SystemExit({error.code!r}), which would have ended kexp"
    return out_of_memory(error, remedy) or without_passwords(str(error).strip()) or type(error).__name__


def _train_and_test(run: Run, listeners: RunListeners) -> dict[str, Any]:
    trained = train_run(run, listeners, graceful_stop, run.folder / "checkpoint")
    assembled = trained.assembled
    trained.trainer.restore_best()
    predictions = {
        split: (split == "validation" and trained.validation.kept) or assembled.predict(split)
        for split in ("validation", "test")
        if split in assembled.inputs.data.splits
    }
    calibration = Calibration.fitted(predictions["validation"]) if assembled.spec.evaluation.calibrate else None
    record: dict[str, Any] = {}
    if calibration is not None:
        record = {"calibration": calibration.record(assembled.spec.evaluation, predictions)}
        predictions = {split: calibration.applied(found) for split, found in predictions.items()}
        if calibration.fit.remark:
            listeners.warn(f"evaluation.calibrate: {calibration.fit.remark}")
    _save_predictions(run.folder / "predictions.parquet", assembled, predictions)
    _save_models(run.folder, assembled, trained.trainer, calibration)
    # A metric that fails on test costs no training: once it is repaired, the run can be resumed.
    return trained.result(predictions) | record


def train_run(run: Run, listeners: RunListeners, stopping: Stopping, checkpoint: Path | None) -> TrainedRun:
    """Train the model of a run and pass its events to the listeners; test is not touched.

    What ``stopping`` returns is entered for steps alone, and yields a function; raises ``RunInterrupted`` once that
    returns True. Without a folder for checkpoints no weights are written at all.
    """
    spec = run.variant.spec
    hardware = choose(spec.training.device, spec.training.precision)
    hardware.prepare_training()
    with closing(assemble(spec, run.repeat, run.prepared, hardware)) as assembled:
        return _train(run, assembled, listeners, stopping, checkpoint)


def _train(
    run: Run,
    assembled: AssembledRun,
    listeners: RunListeners,
    stopping: Stopping,
    checkpoint: Path | None,
) -> TrainedRun:
    spec = run.variant.spec
    with stopping() as should_stop:
        stored = run.prepared.folder / "pretrained"
        assembled = with_pretraining(assembled, stored, run.display.phase, should_stop)
    started = time.perf_counter()
    assembled = reuse_frozen(assembled)
    validation, unlabelled = Validation(assembled), PseudoLabelMonitor(assembled)
    trainer = Trainer(
        assembled.classifier,
        assembled.objective,
        spec.freezing,
        assembled.stream,
        validation.measure,
        spec.training,
        seed=run.repeat.seed,
        greater_is_better=assembled.greater_is_better,
        folder=checkpoint,
        watch=unlabelled.look,
        details=validation.details,
        spent=time.perf_counter() - started,
        made_from=None if checkpoint is None else _origin(run, assembled),
    )
    # Of steps that the spec states it was warned when it was checked.
    of_steps = () if spec.training.steps is not None else step_warnings(spec, trainer.total_steps)
    warnings = DataWarnings(assembled, trainer.steps_per_epoch, [str(problem) for problem in of_steps])
    use = UnlabelledUse()
    watching: dict[str, Stateful] = {
        "listeners": listeners,
        "pseudo-labels": unlabelled,
        "warnings": warnings,
        "unlabelled use": use,
    }
    for name, part in watching.items():
        trainer.remember(name, part)
    resumed_at = trainer.resume() if run.resume else None
    run.display.run_started(run.variant.name, run.repeat, trainer.total_steps, resumed_at or 0)
    listeners.start(resumed_at)
    with stopping() as should_stop:
        for event in warnings.added_to(_with_use(trainer, use, should_stop)):
            if isinstance(event, Evaluated) and (event.best or spec.training.keep == "last"):
                validation.keep()
            if isinstance(event, Warned):
                logger.warning(event.message)
            listeners.event(event.as_dict())
            run.display.event(event.as_dict())
    return TrainedRun(assembled, trainer, validation, use)


def _with_use(trainer: Trainer, use: UnlabelledUse, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Yield the events of training, and at its end a warning where the kept model owes nothing to unlabelled rows."""
    for event in trainer.events(should_stop):
        use.add(event)
        if isinstance(event, Finished) and (remark := use.remark(trainer.kept_step)):
            trainer.state.remarks.append(remark)
            yield Warned(event.step, remark)
        yield event


def _origin(run: Run, assembled: AssembledRun) -> dict[str, str]:
    """Return digests by name of what the weights of a run are made from."""
    pretrained = {} if assembled.pretraining is None else {"pre-trained weights": assembled.pretraining["weights"]}
    return origin(run.variant.spec, run.repeat.seed, assembled.inputs, run.prepared.catalog) | pretrained


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run after training, with the validation predictions of the model that is kept."""

    assembled: AssembledRun
    trainer: Trainer
    validation: Validation
    use: UnlabelledUse

    def result(self, predictions: Mapping[str, Predictions]) -> dict[str, Any]:
        """Return the keys of ``result.json`` about training, and about predictions by split."""
        assembled, trainer = self.assembled, self.trainer
        labels, state, hardware = assembled.inputs.data.labels, trainer.state, trainer.hardware
        seconds = max(state.training_seconds, 1e-9)
        monitor, several = assembled.spec.training.monitor, isinstance(assembled.spec.training.keep, int)
        kept = [
            {"folder": folder, "step": step, "epoch": step / trainer.steps_per_epoch, monitor: value}
            for folder, (value, step) in zip(_model_folders(len(state.kept)), state.kept, strict=True)
        ]
        return {
            "labels": labels,
            "rows": {split: len(rows) for split, rows in assembled.inputs.data.splits.items()},
            "metrics": {split: found.measure(assembled.metrics) for split, found in predictions.items()},
            **({} if state.best is None else self._chosen()),
            "kept_step": trainer.kept_step,
            "kept_epoch": trainer.kept_step / trainer.steps_per_epoch,
            **({"kept_models": kept} if several and trainer.weights is not None else {}),
            "evaluated_weights": trainer.evaluated.name,
            **({"unlabelled_share": share} if (share := self.use.shares.get(trainer.kept_step)) is not None else {}),
            "steps": state.step,
            "epochs": state.step / trainer.steps_per_epoch,
            "stopped_early": state.stopped_early,
            "examples_per_second": state.examples / seconds,
            "tokens_per_second": state.tokens / seconds,
            "train_seconds": state.training_seconds,
            "time_shares": state.time_shares(),
            "peak_memory_mib": hardware.peak_memory_mib(),
            "device": str(hardware.device),
            "precision": hardware.precision,
            **({} if assembled.pretraining is None else {"pretraining": dict(assembled.pretraining)}),
            "parameters": {"total": assembled.model.num_parameters(), "trainable": trainer.trainable},
            **self._unusual(),
            "per_class": {split: found.per_class(labels) for split, found in predictions.items()},
            "confusion_matrix": {split: found.confusion_matrix() for split, found in predictions.items()},
        }

    def _chosen(self) -> dict[str, Any]:
        """Return which evaluation of validation was the best one."""
        trainer, step = self.trainer, self.trainer.state.best_step
        monitor = self.assembled.spec.training.monitor
        return {"monitor": monitor, "best_step": step, "best_epoch": step / trainer.steps_per_epoch}

    def _unusual(self) -> dict[str, Any]:
        """Return what happened to few runs: smaller passes, steps left out, damaged checkpoints."""
        state, batch_size = self.trainer.state, self.assembled.spec.training.batch_size
        rows = -(-batch_size // state.passes)
        found = {"rows_per_pass": rows if state.passes > 1 else None, "skipped_steps": state.skipped}
        return {key: value for key, value in {**found, "remarks": state.remarks}.items() if value}


def _model_folders(count: int) -> list[str]:
    """Return the names of the folders of the kept models, the best first."""
    return ["model", *(f"model-{number}" for number in range(2, count + 1))][:count]


def _save_models(folder: Path, assembled: AssembledRun, trainer: Trainer, calibration: Calibration | None) -> None:
    """Save the model as it is, which is the best or the last one, and the next best ones beside it.

    With the calibration of the first one, each of the others gets its own.
    """
    _save_model(folder / "model", assembled, calibration)
    if trainer.weights is not None:
        others = trainer.state.kept[1:]
        for name, (_, step) in zip(_model_folders(1 + len(others))[1:], others, strict=True):
            trainer.weights.load(assembled.model, step)
            own = None if calibration is None else Calibration.fitted(assembled.predict("validation"))
            if own is not None and own.fit.remark:
                logger.warning("%s: evaluation.calibrate: %s", name, own.fit.remark)
            _save_model(folder / name, assembled, own)


def _save_model(folder: Path, assembled: AssembledRun, calibration: Calibration | None) -> None:
    """Save a Hugging Face folder whose tokenizer cuts texts as training did."""
    training, tokenizer = assembled.spec.training, assembled.inputs.tokenizer
    tokenizer.model_max_length = training.max_length
    tokenizer.truncation_side = training.truncation
    with replacing_folder(folder) as part:
        assembled.model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        # safetensors leaves files that nobody else can read.
        for path in part.glob("*.safetensors"):
            path.chmod((part / "config.json").stat().st_mode)
        if calibration is not None:
            calibration.save(part)
        write_checksums(part)


def _save_predictions(path: Path, assembled: AssembledRun, predictions: Mapping[str, Predictions]) -> None:
    data, spec = assembled.inputs.data, assembled.spec
    tables = []
    for split, found in predictions.items():
        rows = data.splits[split]
        texts = clean(spec, rows.texts)
        pairs = None if rows.pairs is None else clean(spec, rows.pairs)
        counts = token_counts(assembled.inputs.encoded[split], assembled.inputs.tokenizer)
        tokens = dict(zip(report.TOKENS, counts, strict=True))
        tables.append(
            report.table(split, data.labels, rows.numbers, texts, pairs, found.labels, found.probabilities, tokens)
        )
    report.write(path, tables)
