"""One trial where it runs: training like any run's, without test split, weights or model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kexp.catalog import load_catalog
from kexp.contracts import Link, Task
from kexp.errors import RunInterrupted, RunPruned, SpecError
from kexp.experiment.listeners import RunListeners
from kexp.experiment.one_run import Run, record_outcome, train_run
from kexp.experiment.prepare import PreparedInputs
from kexp.plan.resolve import Variant, check
from kexp.settings import cache_folder
from kexp.spec.sections import Spec


@dataclass(frozen=True, slots=True)
class Trial:
    """What a worker has to know; plain data, so that it travels.

    ``reports`` names the validation metric that evaluations report, or None; with ``by_seed`` a seed reports once, when
    it is done.
    """

    name: str
    group: str
    table: Mapping[str, Any]
    seeds: tuple[int, ...]
    folder: str
    reports: str | None
    by_seed: bool
    block: tuple[str, ...] = ()
    local: tuple[Path, ...] = ()
    """Python files that are plugins too; whoever began the search has allowed them."""


def run_trial(task: Task, link: Link) -> dict[str, Any]:
    """Train a trial's seeds one after the other and return its status, reason, validation rows and results.

    The results are the objects of ``result.json``, which every seed leaves in the trial's folder.
    """
    trial = Trial(**task.payload)
    prepared = _workshop(trial.block, trial.local)
    spec, problems = check(trial.table, prepared.catalog)
    if spec is None:
        return {"status": "failed", "reason": str(SpecError(trial.name, problems)), "rows": "", "results": []}
    results: list[dict[str, Any]] = []
    for number, seed in enumerate(trial.seeds):
        reporter = Reporter(link, trial.reports if number == 0 and not trial.by_seed else None)
        run = Run(Variant(trial.name, spec), seed, trial.group, _folder(trial, seed), prepared, reporter)
        results.append(record_outcome(run, lambda listeners, run=run: _train(run, listeners, link)))  # type: ignore[misc]
        last = results[-1]
        if last["status"] == "done" and trial.by_seed and trial.reports is not None:
            value = last["metrics"]["validation"][trial.reports]
            if (answer := link.report(number, value)) != "go on":
                last = {"status": "pruned" if answer == "prune" else "interrupted", "reason": f"after seed {seed}"}
        if last["status"] != "done":
            return {"status": last["status"], "reason": last["reason"], "rows": "", "results": results}
    return {"status": "done", "reason": None, "rows": _rows(prepared, spec, trial.seeds), "results": results}


@cache
def _workshop(block: tuple[str, ...], local: tuple[Path, ...]) -> PreparedInputs:
    """Return the workshop of this process: what one trial read and encoded, the next one finds there."""
    return PreparedInputs(load_catalog(block=block, local=local), cache_folder())


def _folder(trial: Trial, seed: int) -> Path:
    return Path(trial.folder) / f"seed-{seed}"


def _train(run: Run, listeners: RunListeners, link: Link) -> dict[str, Any]:
    trained = train_run(run, listeners, link.should_stop, None)
    kept = trained.validation.kept
    # Training ends with an evaluation, and the first one is the best so far.
    assert kept is not None
    return trained.result({"validation": kept})


def _rows(prepared: PreparedInputs, spec: Spec, seeds: tuple[int, ...]) -> str:
    """Name the validation rows, on which alone trials can be compared."""
    digests = (prepared.data(spec, seed).splits["validation"].digest() for seed in seeds)
    return " ".join(dict.fromkeys(digests))


@dataclass(slots=True)
class Reporter:
    """Watches a run for the search: reports every evaluation and ends the run when the answer says so."""

    link: Link
    metric: str | None
    evaluations: int = 0

    def phase(self, text: str) -> None:
        """Nobody watches a worker."""

    def run_started(self, variant: str, seed: int, total_steps: int, done_steps: int) -> None:
        """Nobody watches a worker."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Report an evaluation."""
        if event["event"] != "evaluation" or self.metric is None:
            return
        self.evaluations += 1
        answer = self.link.report(self.evaluations, event["metrics"][self.metric])
        if answer == "prune":
            raise RunPruned(f"after evaluation {self.evaluations}: others were better by then")
        if answer == "stop":
            raise RunInterrupted(f"stopped after evaluation {self.evaluations}")

    def run_ended(self, result: Mapping[str, Any]) -> None:
        """Nobody watches a worker."""
