"""The whole flow of ``kexp tune``: prepare the data, search, write the best spec, test it once, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from kexp.atomic_files import write_text
from kexp.catalog import Catalog
from kexp.contracts import ExecutorContext, choice_label
from kexp.errors import KexpError, RunFailed, RunInterrupted, describe_os_error
from kexp.experiment.digests import Json, RowKeys, digests, refuse_changes, write_row_keys
from kexp.experiment.hardware import hardware_of
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.cross_checks import components
from kexp.plan.resolve import Plan, Variant
from kexp.plan.validate import dump
from kexp.report.environment import environment
from kexp.report.formatting import plain
from kexp.report.run_folder import write_json
from kexp.search.display import SearchDisplay
from kexp.search.final_run import await_best, final_run
from kexp.search.loop import TrialLoop
from kexp.search.open_study import open_study
from kexp.search.search_job import SearchJob, search_job
from kexp.search.silence_optuna import quiet_optuna
from kexp.search.storage import JOURNAL, open_storage
from kexp.search.study import Study
from kexp.search.study_files import write_study_files
from kexp.search.summary import finished
from kexp.search.trial_training import run_trial
from kexp.settings import cache_folder
from kexp.spec import toml
from kexp.spec.search_section import seconds_of


def tune(plan: Plan, catalog: Catalog, *, runs_dir: Path, name: str | None, display: SearchDisplay) -> dict[str, Any]:
    """Search, or continue a search, and return what was found: the object of ``study.json``.

    Raises ``KexpError`` before anything is created when the spec has no search, or data, device, storage or executor
    cannot be used.
    """
    with quiet_optuna(), ExitStack() as working:
        job = search_job(plan, catalog, runs_dir, name, display)
        with _continuable(job.folder):
            study, status, reason = _search(job, working)
            if status == "done":
                if best := await_best(study):
                    final_run(study, best[0])
                else:
                    status, reason = "failed", "no trial was completed"
            return write_study_files(study, status, reason)


@contextmanager
def _continuable(folder: Path) -> Iterator[None]:
    """Say how to go on after what the system refuses in a study that has begun."""
    try:
        yield
    except OSError as error:
        # Errors of a server have no number.
        if error.errno is None or not folder.exists():
            raise
        raise RunFailed(f"{describe_os_error(error)}; then the same command continues the study in {folder}") from error


def _search(job: SearchJob, working: ExitStack) -> tuple[Study, str, str]:
    """Search to the end, an interruption or too many failures; return the study, the status and its reason.

    Until ``working`` is closed, the study's other processes see that this one works on it.
    """
    options = job.options
    # Its processes import what they need while the data are prepared here.
    executor = options.executor.build(ExecutorContext(run_trial, options.jobs, job.spec.training.device))
    try:
        read, rows = _prepare(job)
        study = _open(job, read, rows)
        working.enter_context(study.heartbeats.beating())
        try:
            TrialLoop(study, executor).run(options.trials, seconds_of(options.timeout) if options.timeout else None)
        except RunInterrupted as error:
            return study, "interrupted", str(error)
        except RunFailed as error:
            return study, "failed", str(error)
    finally:
        executor.close()
    return study, "done", ""


def _prepare(job: SearchJob) -> tuple[Json, RowKeys]:
    """Check device and data, and leave the tokenised texts in the cache that all workers read.

    Returns digests of what the trials read.
    """
    job.display.phase(f"preparing the data of {job.spec.name}")
    prepared = PreparedInputs(job.catalog, cache_folder(), job.display.phase)
    hardware_of(job.spec.training)
    return digests([(Variant(job.spec.name, job.spec), repeat) for repeat in job.trial_repeats], prepared)


def _open(job: SearchJob, read: Json, rows: RowKeys) -> Study:
    """Open the study and write its spec and environment beside it; refuse one whose trials read something else."""
    with _folder(job.folder):
        study = open_study(open_storage(job.options.storage.get_secret_value(), job.folder, job.display.phase), job)
    if known := study.optuna.user_attrs.get("inputs"):
        remedy = "restore it, or begin another study with --study NAME"
        refuse_changes(f'study "{job.name}"', known, read, rows, job.folder, remedy)
    else:
        study.optuna.set_user_attr("inputs", read)
        write_row_keys(job.folder, rows)
    spec = job.spec.model_copy(update={"search": job.options})
    write_text(job.folder / "study.toml", toml.dumps(dump(spec, job.catalog)))
    write_json(job.folder / "environment.json", environment(components([spec], job.catalog)))
    if outside := job.space.outside():
        stated = ", ".join(
            f"{path} is {'not set' if value is None else plain(choice_label(value))}" for path, value in outside.items()
        )
        job.display.phase(f"the first trial is the spec as it stands, which lies outside the space: {stated}")
    done = finished(study)
    job.display.phase(f"study {job.name}: " + (f"{done} trials are finished, continuing" if done else "new"))
    return study


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make a folder and those above it for what follows; whatever that raises, none is left behind that is empty."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            remedy = "choose another place with --runs-dir"
            raise KexpError(f"{folder} cannot be made: {error.strerror}; {remedy}") from None
        yield
    except BaseException:
        with suppress(OSError):
            if made and not (journal := folder / JOURNAL).stat().st_size:
                journal.unlink()
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise
