"""One run: assemble, train, evaluate, write. However it ends, ``result.json`` in its folder says how."""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from kexp.atomic_files import remove_leftovers
from kexp.contracts import RunIdentity
from kexp.devices import Hardware, free_memory, not_deterministic, out_of_memory
from kexp.errors import ProcessLost, RunFailed, RunInterrupted, RunPruned, describe_os_error
from kexp.experiment.assemble import AssembledRun, assemble, training_seed, with_adapter
from kexp.experiment.calibrate import Calibration
from kexp.experiment.digests import origin
from kexp.experiment.gpu_energy import energy_counter, metered
from kexp.experiment.hardware import hardware_of
from kexp.experiment.inputs import PreparedInputs
from kexp.experiment.interrupt import graceful_stop, ignore_sigterm
from kexp.experiment.monitors import DataWarnings, PseudoLabelMonitor, UnlabelledUse, Validation
from kexp.experiment.pretraining import with_pretraining
from kexp.experiment.reuse_frozen import reuse_frozen
from kexp.experiment.saved_files import save_models, save_predictions
from kexp.experiment.trackers import RunListeners, SilentListeners, log_file
from kexp.experiment.trained_run import TrainedRun
from kexp.model.compiled import compile_parts
from kexp.plan.cross_checks import step_warnings
from kexp.plan.resolve import Variant
from kexp.plan.validate import dump
from kexp.redaction import without_passwords
from kexp.repeats import Repeat
from kexp.report.run_folder import finite
from kexp.report.stored import write_result
from kexp.spec.sections import Spec
from kexp.train.checkpoint import Stateful
from kexp.train.events import Evaluated, Event, Finished, Warned
from kexp.train.loop import Trainer
from kexp.trained_weights import fixed_digest, fixed_weights

logger = logging.getLogger("kexp")

Stopping = Callable[[], AbstractContextManager[Callable[[], bool]]]
"""Returns what is entered for the steps of training or pre-training, and yields whether they should stop."""


class Display(Protocol):
    """What is shown while an experiment runs."""

    def phase(self, text: str) -> None:
        """Show what is being done before and between the runs."""

    def runs_planned(self, runs: Sequence[tuple[Variant, Repeat]], done: Collection[int] = ()) -> None:
        """Learn the runs of an experiment in their order, with the places of those that are done already."""

    def beside(self, variant: str, repeat: Repeat) -> Display:
        """Begin to show a run that goes on beside others, and return its own display."""

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
    if run.prepared.world.first:
        remove_leftovers(run.folder)
    return record_outcome(run, lambda listeners: trained_and_tested(run, listeners, graceful_stop))


def remove_checkpoints(folder: Path, result: Mapping[str, Any]) -> None:
    """Remove the checkpoints of a run that is done: until its result is written, it can go on from them."""
    if result["status"] == "done":
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def record_outcome(run: Run, work: Callable[[RunListeners], Mapping[str, Any]]) -> dict[str, Any]:
    """Do the work of a run, write ``result.json`` however it ends, and close the listeners.

    Of several processes the first one writes.
    """
    if not run.prepared.world.first:
        return _outcome(run, work, SilentListeners())
    listeners = _listeners(run)
    run.folder.mkdir(parents=True, exist_ok=True)
    with log_file(run.folder / "log.txt", listeners.warn):
        # As it is read again by a resumed experiment, which must compare it with others in the same way.
        recorded: dict[str, Any] = finite(_outcome(run, work, listeners))
        try:
            write_result(run.folder / "result.json", recorded)
        finally:
            listeners.finish(recorded)
    run.display.run_ended(recorded, run.folder)
    free_memory()
    return recorded


def _outcome(run: Run, work: Callable[[RunListeners], Mapping[str, Any]], listeners: RunListeners) -> dict[str, Any]:
    """Do the work of a run, together with other processes, and return the object of ``result.json``."""
    world = run.prepared.world
    identity = {"experiment": run.variant.spec.name, "variant": run.variant.name, **run.repeat.keys()}
    try:
        with world.together():
            return {"status": "done", "reason": None, **identity, **work(listeners)}
    except (RunInterrupted, KeyboardInterrupt) as error:
        result = {"status": "interrupted", "reason": str(error) or "stopped at once", **identity}
    except RunPruned as error:
        result = {"status": "pruned", "reason": str(error), **identity}
    # A run may fail in as many ways as torch, a model or a plugin; the experiment's other runs go on.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        if isinstance(error, ProcessLost):
            ignore_sigterm()
        logger.error("the run failed\n%s", traceback.format_exc())
        result = {"status": "failed", "reason": _reason(error, run.variant.spec), **identity}
    # That another process is lost is written down here, and noticed again by what comes next.
    with suppress(ProcessLost):
        world.agree()
    return result


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


def _reason(error: BaseException, spec: Spec) -> str:
    remedy = f"lower {spec.training.batch_option} and raise gradient_accumulation, or lower max_length"
    # It says itself what is to be done.
    if isinstance(error, RunFailed):
        return without_passwords(str(error))
    if isinstance(error, OSError):
        return without_passwords(describe_os_error(error))
    if isinstance(error, SystemExit):
        return f"it raised SystemExit({error.code!r}), which would have ended kexp"
    known = out_of_memory(error, remedy) or not_deterministic(error)
    return known or without_passwords(str(error).strip()) or type(error).__name__


def trained_and_tested(run: Run, listeners: RunListeners, stopping: Stopping) -> dict[str, Any]:
    """Train and test the model of a run, and return what its result says of that."""
    hardware = hardware_of(run.variant.spec.training, run.prepared.world)
    with hardware.matrix_products():
        return _tested(run, listeners, train_run(run, hardware, listeners, stopping, run.folder / "checkpoint"))


def _tested(run: Run, listeners: RunListeners, trained: TrainedRun) -> dict[str, Any]:
    assembled = trained.assembled
    trainer = trained.trainer
    trainer.restore_best()
    assembled.begin_epoch(trainer.epoch_of(trainer.kept_step))
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
    chosen = assembled.choose(predictions.get("validation"))
    for remark in chosen.get("remarks", ()):
        listeners.warn(f"task: {remark}")
    first = run.prepared.world.first
    if first:
        save_predictions(run.folder / "predictions.parquet", assembled, predictions, chosen)
    save_models(run.folder, assembled, trained.trainer, calibration, chosen, run.prepared.catalog)
    # A metric that fails on test costs no training: once it is repaired, the run can be resumed.
    return trained.result(predictions, assembled.metrics_of(chosen), chosen) | record if first else {}


def train_run(
    run: Run, hardware: Hardware, listeners: RunListeners, stopping: Stopping, checkpoint: Path | None
) -> TrainedRun:
    """Train the model of a run and pass its events to the listeners; test is not touched.

    What ``stopping`` returns is entered for steps alone, and yields a function; raises ``RunInterrupted`` once that
    returns True. Without a folder for checkpoints no weights are written at all.
    """
    hardware.prepare_training()
    with closing(assemble(run.variant.spec, run.repeat, run.prepared, hardware)) as assembled:
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
    # The weights of pre-training have the names of a model without one.
    assembled = with_adapter(assembled, partial(_tell, run))
    if spec.training.compile:
        compile_parts(assembled.classifier)
    started = time.perf_counter()
    with stopping() as should_stop:
        assembled = reuse_frozen(assembled, run.prepared.hidden_states, should_stop)
    validation, unlabelled = Validation(assembled), PseudoLabelMonitor(assembled)
    trainer = Trainer(
        assembled.classifier,
        assembled.objective,
        spec.freezing,
        assembled.stream,
        validation.measure,
        spec.training,
        seed=training_seed(run.repeat),
        greater_is_better=assembled.greater_is_better,
        folder=checkpoint,
        watch=unlabelled.look,
        details=validation.details,
        begin_epoch=assembled.begin_epoch,
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
    trainer.need_equal_weights()
    run.display.run_started(run.variant.name, run.repeat, trainer.total_steps, resumed_at or 0)
    listeners.start(resumed_at)
    with stopping() as should_stop, closing(warnings.added_to(_with_use(trainer, use, should_stop))) as events:
        # That of one GPU of several would be taken for the energy of the run.
        counter = energy_counter(trainer.hardware.device) if run.prepared.world.size == 1 else None
        for event in metered(events, trainer.state, counter):
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
    fixed = {"fixed weights": fixed_digest(assembled.model)} if fixed_weights(assembled.model) else {}
    spec, prepared = run.variant.spec, run.prepared
    keys = prepared.row_keys(spec, run.repeat)
    found = origin(spec, training_seed(run.repeat), assembled.inputs, keys, prepared.catalog)
    return found | pretrained | fixed


def _tell(run: Run, line: str) -> None:
    logger.info(line)
    run.display.phase(line)
