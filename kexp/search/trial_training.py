"""One trial in its worker: training like any run's, without test split, weights or model folder."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kexp.contracts import Link, Task
from kexp.errors import RunInterrupted, RunPruned, SpecError, describe_os_error
from kexp.experiment.hardware import hardware_of
from kexp.experiment.inputs import PreparedInputs
from kexp.experiment.trackers import RunListeners
from kexp.experiment.train_and_test import Run, record_outcome, train_run
from kexp.experiment.worker_inputs import worker_inputs
from kexp.plan.resolve import Variant
from kexp.plan.validate import validate
from kexp.repeats import Repeat
from kexp.spec.sections import Spec


@dataclass(frozen=True, slots=True)
class TrialRun:
    """What a worker needs to know of a trial; plain data, so that it can be sent to other processes.

    ``reports`` names the validation metric that evaluations report, or None; with ``by_run`` a run reports once, at its
    end. ``repeats`` are the draw, fold and seed of each run.
    """

    name: str
    group: str
    table: Mapping[str, Any]
    repeats: tuple[Mapping[str, int], ...]
    folder: str
    reports: str | None
    by_run: bool
    block: tuple[str, ...] = ()
    local: tuple[Path, ...] = ()
    """Python files that are plugins too, allowed with --allow-local-code when the search began."""


def run_trial(task: Task, link: Link) -> dict[str, Any]:
    """Train a trial's runs one after the other and return its status, reason, validation rows and results.

    The results are the objects of ``result.json``, which every run leaves in the trial's folder.
    """
    try:
        return _trained(TrialRun(**task.payload), link)
    # A plugin that ends the process would take the trials of a machine with it that come after this one.
    except SystemExit as error:
        return _failed(f"SystemExit: {error.code}; a component ended the process instead of raising an error")
    # A result that cannot be written, on a full disk for instance: the process itself is sound.
    except OSError as error:
        return _failed(describe_os_error(error))


def _failed(reason: str) -> dict[str, Any]:
    return {"status": "failed", "reason": reason, "rows": "", "results": []}


def _trained(trial: TrialRun, link: Link) -> dict[str, Any]:
    prepared = worker_inputs(trial.block, trial.local).prepared
    spec, problems = validate(trial.table, prepared.catalog)
    if spec is None:
        return _failed(str(SpecError(trial.name, problems)))
    results: list[dict[str, Any]] = []
    repeats = [Repeat.of(keys) for keys in trial.repeats]
    for number, repeat in enumerate(repeats):
        reporter = EvaluationReporter(link, trial.reports if number == 0 and not trial.by_run else None)
        folder = Path(trial.folder) / repeat.folder
        run = Run(Variant(trial.name, spec), repeat, trial.group, folder, prepared, reporter)
        results.append(record_outcome(run, lambda listeners, run=run: _train(run, listeners, link)))  # type: ignore[misc]
        last = results[-1]
        if last["status"] == "done" and trial.by_run and trial.reports is not None:
            value = last["metrics"]["validation"][trial.reports]
            if (answer := link.report(number, value)) != "go on":
                last = {"status": "pruned" if answer == "prune" else "interrupted", "reason": f"after {repeat.name}"}
        if last["status"] != "done":
            return {"status": last["status"], "reason": last["reason"], "rows": "", "results": results}
    return {"status": "done", "reason": None, "rows": _rows(prepared, spec, repeats), "results": results}


def _train(run: Run, listeners: RunListeners, link: Link) -> dict[str, Any]:
    hardware = hardware_of(run.variant.spec.training)
    with hardware.matrix_products():
        trained = train_run(run, hardware, listeners, lambda: nullcontext(link.should_stop), None)
    kept = trained.validation.kept
    # Training ends with an evaluation, and the first one is the best so far.
    assert kept is not None
    assembled = trained.assembled
    chosen = assembled.choose(kept)
    return trained.result({"validation": kept}, assembled.metrics_of(chosen), chosen)


def _rows(prepared: PreparedInputs, spec: Spec, repeats: Sequence[Repeat]) -> str:
    """Return a digest of the validation rows: only trials with the same rows can be compared."""
    digests = (prepared.data(spec, repeat).splits["validation"].digest() for repeat in repeats)
    return " ".join(dict.fromkeys(digests))


@dataclass(slots=True)
class EvaluationReporter:
    """The display of a run in a worker: reports evaluations to the search, and ends the run when it answers so."""

    link: Link
    metric: str | None
    evaluations: int = 0

    def phase(self, text: str) -> None:
        """Show nothing."""

    def runs_planned(self, runs: Sequence[tuple[Variant, Repeat]], done: Collection[int] = ()) -> None:
        """Show nothing."""

    def beside(self, variant: str, repeat: Repeat) -> EvaluationReporter:
        """Return itself: a trial's runs come one after the other."""
        return self

    def run_started(self, variant: str, repeat: Repeat, total_steps: int, done_steps: int) -> None:
        """Show nothing."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Report an evaluation."""
        if event["event"] != "evaluation" or self.metric is None:
            return
        self.evaluations += 1
        value = event["metrics"][self.metric]
        answer = self.link.report(self.evaluations, math.nan if value is None else float(value))
        if answer == "prune":
            raise RunPruned(f"after evaluation {self.evaluations}: other trials were better by then")
        if answer == "stop":
            raise RunInterrupted(f"stopped after evaluation {self.evaluations}")

    def run_ended(self, result: Mapping[str, Any], folder: Path) -> None:
        """Show nothing."""
