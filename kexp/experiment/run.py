"""The whole flow of an experiment on one screen: variants and their repeats, from a plan to a run folder."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kexp.atomic_files import remove_leftovers, write_text
from kexp.catalog import Catalog
from kexp.contracts import TaskOptions
from kexp.distributed import ALONE, World
from kexp.errors import KexpError, ProcessLost, RunFailed, RunInterrupted, describe_os_error
from kexp.experiment.digests import RowKeys, digests, refuse_changes, spec_digest, write_row_keys
from kexp.experiment.divisions import baselines, data_record
from kexp.experiment.hardware import hardware_of
from kexp.experiment.inputs import PreparedInputs
from kexp.experiment.out_of_fold import out_of_fold
from kexp.experiment.run_results import finished
from kexp.experiment.runs_at_once import Workers, started_workers
from kexp.experiment.several_processes import SHARED, need_equal_inputs, need_several_processes
from kexp.experiment.train_and_test import Display, Run, remove_checkpoints, train_and_test
from kexp.plan.cross_checks import components
from kexp.plan.resolve import Plan, repeats_of
from kexp.plan.validate import dump
from kexp.repeats import Repeat
from kexp.report import predictions
from kexp.report.environment import environment
from kexp.report.findings import findings
from kexp.report.html import write_report
from kexp.report.run_folder import RunFolder, write_json
from kexp.report.run_lock import await_free, locked
from kexp.report.stored import read_environment, read_spec
from kexp.report.summary import build_summary, no_test_remark
from kexp.settings import cache_folder
from kexp.shared_folder import need_shared
from kexp.spec import toml
from kexp.spec.sections import Spec

ShadeWords = Callable[[Path, float], None]
"""Asks the models of a run folder about the words of their mistakes, for so many seconds."""

WORDS_SHARE, WORDS_SECONDS = 0.05, 30.0
"""Share of the time of training that this may take, and its limit: short experiments do without."""


def run(
    plan: Plan,
    catalog: Catalog,
    *,
    runs_dir: Path,
    display: Display,
    resume: RunFolder | None = None,
    shade_words: ShadeWords | None = None,
    world: World = ALONE,
) -> dict[str, Any]:
    """Run every variant with all its repeats and return the summary, with its ``folder``.

    In several processes each trains on some of the rows; the first one writes, and all return the same.

    Raises ``KexpError`` before anything is created when the data, the device or the runs folder cannot be used.
    ``resume`` continues those runs of an existing folder that are not done. ``shade_words`` adds to the report what the
    words of mistakes mean to the models (``kexp.inference.shade_words``), if training took long enough for that.
    """
    need_several_processes(world, plan, catalog)
    if world.size > 1:
        display.phase(f"{world.size} processes train each run together")
    with ExitStack() as stack:
        if resume is not None:
            if world.first:
                stack.enter_context(locked(resume.path, display.phase))
                _need_same_spec(resume.path)
            need_shared(world, resume.path, SHARED)
        # Their processes import what they need while the data are prepared here.
        workers = stack.enter_context(started_workers(plan, resume, display.phase, world))
        prepared = _prepare(plan, catalog, display, world)
        read, rows = digests(plan.runs(), prepared)
        need_equal_inputs(world, read)
        now = environment(components([variant.spec for variant in plan.variants], catalog), world.size)

        def write(path: Path) -> None:
            _write_origin(path, plan, {**now, "inputs": read}, rows)
            need_shared(world, path, SHARED)

        if world.first and resume is not None:
            _need_same_inputs(resume, read, rows)
            remove_leftovers(resume.path)
            folder = resume
        elif world.first:
            folder = RunFolder.create(runs_dir, plan.base.name, plan.digest, write)
        else:
            if resume is None:
                need_shared(world, None, SHARED)
            folder = RunFolder(Path())
        path = world.from_first(folder.path.absolute)
        folder = folder if world.first else RunFolder(path)
        stack.enter_context(_resumable(folder.path, world))
        if world.first and resume is None:
            stack.enter_context(locked(folder.path, display.phase))
        elif world.first:
            _add_environment(folder.path, now)
        found = _run(plan, folder, prepared, display, shade_words, workers, read, resumes=resume is not None)
        return {"folder": str(folder.path), **found}


def _run(
    plan: Plan,
    folder: RunFolder,
    prepared: PreparedInputs,
    display: Display,
    shade_words: ShadeWords | None,
    workers: Workers | None,
    read: Mapping[str, Any],
    *,
    resumes: bool,
) -> dict[str, Any]:
    world = prepared.world
    planned = [*plan.runs()]
    paths = [folder.run(variant.name, repeat) for variant, repeat in planned]
    runs = [
        Run(variant, repeat, folder.path.name, path, prepared, display, resume=resumes)
        for (variant, repeat), path in zip(planned, paths, strict=True)
    ]
    done = {place: result for place, path in enumerate(paths) if (result := finished(path)) is not None}
    display.runs_planned(planned, done)
    results = _one_after_the_other(runs) if workers is None else workers.results(runs, done, read)
    return world.from_first(lambda: _concluded(plan, folder, prepared, display, shade_words, results))


def _concluded(
    plan: Plan,
    folder: RunFolder,
    prepared: PreparedInputs,
    display: Display,
    shade_words: ShadeWords | None,
    results: list[dict[str, Any]],
) -> dict[str, Any]:
    """Summarise the results, write the report, and return the summary."""
    display.phase("comparing with the baselines")
    summary = _summarise(plan, folder, prepared, results)
    summary["findings"] = findings(folder.path, summary)
    write_json(folder.path / "summary.json", summary)
    trained = sum(result.get("train_seconds") or 0.0 for result in results)
    seconds = min(WORDS_SHARE * trained, WORDS_SECONDS)
    if shade_words is not None and summary["status"] == "done" and seconds >= 1:
        display.phase(f"asking the models about the words of mistakes, for {seconds:.0f} s at most")
        shade_words(folder.path, round(seconds))
    write_report(folder.path)
    return summary


def _one_after_the_other(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Do the runs that are not done, and return the results of all up to one that is interrupted."""
    results: list[dict[str, Any]] = []
    for run in runs:
        world = run.prepared.world
        if world.first:
            # Left behind by an experiment that was killed while it had several runs at once.
            await_free(run.folder, run.display.phase)
        known: dict[str, Any] | None = world.from_first(partial(finished, run.folder))
        results.append(known or train_and_test(run))
        if world.first:
            remove_checkpoints(run.folder, results[-1])
        if results[-1]["status"] == "interrupted":
            break
    return results


@contextmanager
def _resumable(folder: Path, world: World = ALONE) -> Iterator[None]:
    """Say how to go on after what ends an experiment whose folder exists; the processes learn of it together."""
    how = f"continue with: kexp run --resume {folder}"
    try:
        with world.together():
            yield
    except ProcessLost as error:
        raise ProcessLost(f"{error}; {how} (in any number of processes)") from error
    except KeyboardInterrupt:
        raise RunInterrupted(f"interrupted; {how}") from None
    except OSError as error:
        raise RunFailed(f"{describe_os_error(error)}; then {how}") from error
    except (RunFailed, RunInterrupted):
        raise
    except KexpError as error:
        raise RunFailed(f"{error}; {how}") from error


def dry_run_summary(plan: Plan, catalog: Catalog, display: Display) -> dict[str, Any]:
    """Do everything that comes before training, create nothing, and return what would run on which data."""
    prepared = _prepare(plan, catalog, display, ALONE)
    return {
        "experiment": plan.base.name,
        "seeds": plan.base.seeds,
        "runs": len([*plan.runs()]),
        "variants": {
            v.name: {"data": data_record(v.spec, prepared), **_stages(v.spec, prepared)} for v in plan.variants
        },
    }


def _stages(spec: Spec, prepared: PreparedInputs) -> dict[str, Any]:
    """Return the texts and steps of pre-training, if there is one, as they are in the first run."""
    stage = prepared.inputs(spec, next(repeats_of(spec))).pretraining
    return {} if stage is None else {"pretraining": stage.counts}


def _prepare(plan: Plan, catalog: Catalog, display: Display, world: World) -> PreparedInputs:
    """Make sure of device, data, tokenizer and metrics of every run."""
    prepared = PreparedInputs(catalog, cache_folder(), display.phase, world)
    display.phase(f"preparing the data of {plan.base.name}")
    with world.first_on_machine():
        _prepare_runs(plan, prepared)
    return prepared


def _prepare_runs(plan: Plan, prepared: PreparedInputs) -> None:
    for variant, repeat in plan.runs():
        with _collecting_rarely():
            hardware_of(variant.spec.training, prepared.world).prepare_training()
            prepared.metrics(variant.spec, prepared.inputs(variant.spec, repeat).data.labels)


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Look for circular garbage less often: a seventh of the time to import torch and transformers goes into it.

    What they make while they are imported stays, yet every collection goes through it again.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _need_same_spec(folder: Path) -> None:
    """Refuse to resume with another spec than the experiment began with, before its data are prepared."""
    environment, spec = read_environment(folder / "environment.json"), folder / "spec.toml"
    if environment.get("spec") not in (None, spec_digest(read_spec(spec))):
        remedy = f"restore it, or start a new experiment with it: kexp run {spec}"
        raise KexpError(f"{spec} is not the one with which the experiment began; {remedy}")


def _need_same_inputs(folder: RunFolder, read: Mapping[str, Any], rows: RowKeys) -> None:
    """Refuse to resume on other rows, with another tokenizer or other weights than the experiment began with."""
    before = read_environment(folder.path / "environment.json").get("inputs", {})
    remedy = f"restore it, or start a new experiment: kexp run {folder.path / 'spec.toml'}"
    refuse_changes(str(folder.path), before, read, rows, folder.path, remedy)


def _write_origin(folder: Path, plan: Plan, started: Mapping[str, Any], rows: RowKeys) -> None:
    """Write the resolved spec, the environment with digests of what is read, and a number for every row."""
    write_text(folder / "spec.toml", toml.dumps(plan.table))
    write_row_keys(folder, rows)
    write_json(folder / "environment.json", {**started, "spec": spec_digest(read_spec(folder / "spec.toml"))})


def _add_environment(folder: Path, now: Mapping[str, Any]) -> None:
    """Add the environment in which an experiment goes on to the one in which it began."""
    path = folder / "environment.json"
    first = read_environment(path)
    write_json(path, {**first, "resumed": [*first.get("resumed", []), now]})


def _summarise(
    plan: Plan, folder: RunFolder, prepared: PreparedInputs, results: list[dict[str, Any]]
) -> dict[str, Any]:
    stopped = len(results) < len([*plan.runs()]) or any(result["status"] == "interrupted" for result in results)
    metrics = [metric for variant in plan.variants for metric in variant.spec.evaluation.metrics]
    data = {v.name: data_record(v.spec, prepared) for v in plan.variants}
    tasks = {v.name: v.spec.task for v in plan.variants}
    untested = no_test_remark(data)
    remarks: dict[str, None] = {}
    measured = {} if stopped else {v.name: baselines(v.spec, prepared, remarks) for v in plan.variants}
    for remark in remarks:
        prepared.progress(remark)
    summary = build_summary(
        results,
        baselines=measured,
        data=data,
        predictions=lambda result: (
            _tested(folder.run(result["variant"], Repeat.of(result)), result, tasks[result["variant"]])
            if "test" in data[result["variant"]]["splits"]
            else None
        ),
        specs={variant.name: dump(variant.spec, prepared.catalog) for variant in plan.variants},
        lower_is_better={prepared.catalog.name_of(type(m)) for m in metrics if not m.greater_is_better},
        remarks=[*filter(None, [untested]), *remarks],
    )
    if stopped and summary["status"] == "done":
        # Of several runs at once, those that went on have ended, and others had not begun.
        summary["status"] = "interrupted"
    for variant in (variant for variant in plan.variants if variant.spec.split.folds is not None):
        own = [result for result in results if result["variant"] == variant.name]
        if found := out_of_fold(folder, variant, own, prepared, summary["remarks"]):
            summary["variants"][variant.name]["out_of_fold"] = found
    return summary


def _tested(path: Path, result: Mapping[str, Any], task: TaskOptions) -> predictions.Tested:
    """Return the predictions of a run for the test rows."""
    file, decisions = path / "predictions.parquet", result.get("decisions", {})
    try:
        return predictions.tested(file, "test", result["labels"], task, decisions)
    except KexpError as error:
        raise KexpError(f"{error}; delete {path / 'result.json'} to do this run again") from None
