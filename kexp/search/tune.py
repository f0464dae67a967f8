"""The whole flow of a search on one screen: prepare, search, keep the best spec, test it once, tell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import FrozenTrial

from kexp.catalog import Catalog
from kexp.contracts import ExecutorContext
from kexp.devices import choose
from kexp.errors import KexpError, RunFailed, RunInterrupted
from kexp.experiment.one_run import Display
from kexp.experiment.prepare import PreparedInputs
from kexp.plan.resolve import Plan, Variant, check, components, dump, resolved, space_of
from kexp.plan.search_metrics import goals
from kexp.redaction import without_passwords
from kexp.report.environment import environment
from kexp.report.folder import RunFolder, write_json, write_text
from kexp.search import findings
from kexp.search.final import gains, promise, run_best, sentence
from kexp.search.loop import Searcher, Watcher
from kexp.search.page import write_page
from kexp.search.question import Question, digest
from kexp.search.storage import open_storage
from kexp.search.study import Study, open_study
from kexp.search.trial import run_trial
from kexp.settings import cache_folder
from kexp.spec import toml
from kexp.spec.search import Search, seconds_of
from kexp.spec.sections import Spec

ELSEWHERE = ("trials", "timeout", "storage", "jobs", "executor", "max_failures")
"""Options of a search that say how long and where, but not what is searched."""


class Screen(Display, Watcher, Protocol):
    """What a person sees of the search and of the runs after it."""


@dataclass(frozen=True, slots=True)
class Undertaking:
    """A search before it is begun: the experiment without ``[search]``, the search, and where all of it goes."""

    name: str
    folder: Path
    spec: Spec
    search: Search
    question: Question
    catalog: Catalog
    display: Screen


def tune(plan: Plan, catalog: Catalog, *, runs_dir: Path, name: str | None, display: Screen) -> dict[str, Any]:
    """Search, or go on searching, and return what was found: the object of ``study.json``.

    Raises ``KexpError`` before anything is created when the spec has no search, or data, device, storage or executor
    cannot be used.
    """
    doing = _undertaking(plan, catalog, runs_dir, name, display)
    study, status, reason = _search(doing)
    best = findings.front(study)
    found = {"status": status, "reason": reason, **_found(doing, study, best)}
    if best:
        found["best_spec"] = str(_write_best(doing, best))
    if status == "done":
        found |= _final(doing, study, best[0]) if best else {"status": "failed", "reason": "no trial was completed"}
    write_json(doing.folder / "study.json", found)
    findings.write_table(doing.folder / "trials.csv", study)
    write_page(doing.folder, study, found)
    return found


def _undertaking(plan: Plan, catalog: Catalog, runs_dir: Path, name: str | None, display: Screen) -> Undertaking:
    if len(plan.variants) > 1:
        names = ", ".join(variant.name for variant in plan.variants)
        raise KexpError(f"{plan.source}: a search is about one variant; choose with --variant NAME ({names})")
    variant = plan.variants[0]
    spec, search = variant.spec, variant.spec.search
    if search is None:
        raise KexpError(f"{plan.source}: there is no [search] with a space; kexp tune needs one")
    identity = _identity(spec, catalog)
    wanted = goals(search, spec.training, spec.evaluation, catalog)
    question = Question(
        space_of(spec, search, catalog), wanted, search, spec.seeds[0], identity, lambda table: resolved(table, catalog)
    )
    name = name or "-".join([spec.name, *_own_name(plan, variant), identity[:8]])
    spec = spec.model_copy(update={"search": None})
    return Undertaking(name, runs_dir / spec.name / name, spec, search, question, catalog, display)


def _identity(spec: Spec, catalog: Catalog) -> str:
    """Name what makes the trials of a study comparable: not how many there are, nor where they run."""
    table = dump(spec, catalog)
    asked = {key: value for key, value in table.pop("search").items() if key not in ELSEWHERE}
    return digest({**table, "description": "", "search": asked})


def _own_name(plan: Plan, variant: Variant) -> list[str]:
    return [variant.name] if plan.table.get("variants") else []


# --- the search ----------------------------------------------------------------------------------------------------


def _search(doing: Undertaking) -> tuple[Study, str, str]:
    """Search to the end, an interruption or too many failures; return the study, the status and its reason."""
    spec, search = doing.spec, doing.search
    # Its processes import what they need while the data are prepared here.
    executor = search.executor.build(ExecutorContext(run_trial, search.jobs, spec.training.device))
    try:
        doing.display.phase(f"preparing the data of {spec.name}")
        _prepare(doing)
        study = _open(doing)
        seeds = spec.seeds[: search.seeds_per_trial]
        searcher = Searcher(study, executor, doing.display, doing.folder, seeds, search.jobs, spec.plugins)
        with study.workers.beating():
            searcher.search(search.trials, seconds_of(search.timeout) if search.timeout else None)
    except RunInterrupted as error:
        return study, "interrupted", str(error)
    except RunFailed as error:
        return study, "failed", str(error)
    finally:
        executor.close()
    return study, "done", ""


def _prepare(doing: Undertaking) -> None:
    """Make sure of device and data, and leave the tokenised texts where all workers find them."""
    prepared = PreparedInputs(doing.catalog, cache_folder(), doing.display.phase)
    choose(doing.spec.training.device, doing.spec.training.precision)
    for seed in doing.spec.seeds[: doing.search.seeds_per_trial]:
        prepared.inputs(doing.spec, seed)


def _open(doing: Undertaking) -> Study:
    """Open the study and write, beside it, what it is about."""
    try:
        doing.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KexpError(
            f"{doing.folder} cannot be made: {error.strerror}; choose another place with --runs-dir"
        ) from None
    study = open_study(doing.name, open_storage(doing.search.storage, doing.folder), doing.question)
    hidden = doing.search.model_copy(update={"storage": without_passwords(doing.search.storage)})
    stated = doing.spec.model_copy(update={"search": hidden})
    write_text(doing.folder / "study.toml", toml.dumps(dump(stated, doing.catalog)))
    write_json(doing.folder / "environment.json", environment(components([stated], doing.catalog)))
    done = findings.finished(study)
    doing.display.phase(f"study {doing.name}: " + (f"{done} trials are finished, going on" if done else "new"))
    return study


# --- after the search ----------------------------------------------------------------------------------------------


def _found(doing: Undertaking, study: Study, best: list[FrozenTrial]) -> dict[str, Any]:
    first = best[0] if best else None
    return {
        "study": doing.name,
        "folder": str(doing.folder),
        "storage": without_passwords(doing.search.storage),
        "goals": {goal.name: goal.direction for goal in doing.question.goals},
        "trials": findings.counts(study),
        "exhausted": study.exhausted,
        "best_trial": first.number if first else None,
        "best_value": (first.values[0] if len(first.values) == 1 else first.values) if first else None,
        "best_params": first.params if first else None,
        "best_spec": None,
        "front": [{"trial": trial.number, "values": trial.values} for trial in best],
        "final": None,
        "gains": [],
        "remarks": [],
    }


def _write_best(doing: Undertaking, best: list[FrozenTrial]) -> Path:
    """Write ``best.toml``, and of a Pareto front every other trial's spec beside it."""
    for trial in best[1:]:
        write_text(doing.folder / f"front-{trial.number:04d}.toml", _stated(doing, trial))
    path = doing.folder / "best.toml"
    write_text(path, _stated(doing, best[0]))
    return path


def _stated(doing: Undertaking, trial: FrozenTrial) -> str:
    values = zip(doing.question.goals, trial.values, strict=True)
    told = ", ".join(f"{goal.name} = {value:.6g}" for goal, value in values)
    head = f"# Trial {trial.number} of study {doing.name}: {told}\n"
    return head + toml.dumps(dump(_spec_of(doing, trial), doing.catalog))


def _spec_of(doing: Undertaking, trial: FrozenTrial) -> Spec:
    space = doing.question.space
    values = {path: space.parameters[path].named(value) for path, value in trial.params.items()}
    spec, problems = check(space.apply(values), doing.catalog)
    if spec is None:
        raise KexpError(f"trial {trial.number} of the study makes no spec any more: {problems[0]}")
    return spec


def _final(doing: Undertaking, study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """Test the best spec, unless that was done; where another process of the study does it, wait for it."""
    with study.workers.beating():
        waiting = False
        while study.final_of(trial.number).get("status") != "done" and not study.take_final():
            if not waiting:
                doing.display.phase("another process of the study tests the best spec; waiting for it")
            waiting = True
            time.sleep(1)
        known = study.final_of(trial.number)
        if known.get("status") != "done":
            known = _test(doing, study, trial, known.get("final"))
            study.keep_final(trial.number, known)
    return {key: value for key, value in known.items() if key != "trial"}


def _test(doing: Undertaking, study: Study, trial: FrozenTrial, begun: str | None) -> dict[str, Any]:
    resume = RunFolder.open(Path(begun)) if begun and Path(begun).is_dir() else None
    best, runs_dir = _spec_of(doing, trial), doing.folder.parent.parent
    doing.display.phase("testing the best spec")
    summary = run_best(doing.spec, best, doing.catalog, runs_dir, doing.display, resume)
    found: dict[str, Any] = {"status": summary["status"], "final": summary["folder"]}
    if summary["status"] != "done":
        return {**found, "reason": f"the best spec could not be tested to the end: see {summary['folder']}"}
    goal = study.question.goals[0]
    measured = gains(summary, goal.metric or doing.spec.training.monitor)
    remarks = [sentence(gain) for gain in measured] or ["no trial is better than the spec without a search"]
    remarks.append(promise(trial.user_attrs["seeds"], study.question.goals, summary))
    return {**found, "gains": measured, "remarks": remarks}
