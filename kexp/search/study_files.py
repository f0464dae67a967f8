"""The files of a study's folder for people, which every process of the study writes when it ends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from kexp.atomic_files import write_text
from kexp.plan.validate import dump
from kexp.report.run_folder import write_json
from kexp.search.final_run import is_tested, stored_final
from kexp.search.search_job import SearchJob
from kexp.search.study import Study
from kexp.search.study_page import missing_figures, write_page
from kexp.search.summary import best_trials, summary, write_trials
from kexp.search.trial import outcome
from kexp.spec import toml

ATTEMPTS = 3
"""Times that a process writes the files while others go on, which write them when they end."""


def write_study_files(study: Study, status: str, reason: str) -> dict[str, Any]:
    """Write ``best.toml``, ``study.json``, ``trials.csv`` and ``study.html``; return what this process found.

    ``status`` and ``reason`` are those of this process. Processes of a study may write the same files at once. Each
    looks afterwards whether the study has changed since it read it, and then writes again: whichever writes last, the
    files tell of all that was done until then. Where this process was stopped and others end the search meanwhile,
    the files say that it is done.
    """
    best = best_trials(study)
    was_tested = bool(best) and is_tested(study, best[0])
    first: dict[str, Any] = {}
    for attempt in itertools.count(1):
        before, best = _state(study), best_trials(study)
        found: dict[str, Any] = {"status": status, "reason": reason, **summary(study, best)}
        if best:
            found["best_spec"] = str(_write_best(study.job, best, no_gain=found["no_gain"]))
            ended_by_others = is_tested(study, best[0]) and not was_tested
            said, final = found["remarks"], stored_final(study, best[0])
            found |= final if status == "done" or ended_by_others else {}
            found["remarks"] = list(dict.fromkeys([*said, *found["remarks"]]))
        found["remarks"] += missing_figures()
        write_json(study.job.folder / "study.json", found)
        write_trials(study.job.folder / "trials.csv", study)
        write_page(study.job.folder, study, found)
        first = first or found
        if _state(study) == before or (attempt >= ATTEMPTS and study.heartbeats.others_alive()):
            return first
    raise AssertionError


def _state(study: Study) -> list[Any]:
    """Return what the files are made from."""
    trials = [(attempt.number, outcome(attempt), attempt.values) for attempt in study.attempts()]
    return [*trials, study.optuna.user_attrs.get("final"), study.exhausted]


def _write_best(job: SearchJob, best: Sequence[FrozenTrial], *, no_gain: bool) -> Path:
    """Write ``best.toml``, and of a Pareto front every other trial's spec beside it.

    Where no trial is better than the spec as it stands, that is the best one.
    """
    for trial in best[1:]:
        write_text(job.folder / f"front-{trial.number:04d}.toml", _trial_toml(job, trial))
    path = job.folder / "best.toml"
    said = "# No gain: this is the spec as it stands.\n" if no_gain else ""
    write_text(path, said + _trial_toml(job, best[0]))
    return path


def _trial_toml(job: SearchJob, trial: FrozenTrial) -> str:
    pairs = zip(job.metrics, trial.values, strict=True)
    values = ", ".join(f"{metric.name} = {value:.6g}" for metric, value in pairs)
    return f"# Trial {trial.number} of study {job.name}: {values}\n" + toml.dumps(dump(job.spec_of(trial), job.catalog))
