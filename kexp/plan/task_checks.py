"""Whether the sections of a spec fit its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kexp.catalog import Catalog, UnknownComponent
from kexp.contracts import DatasetOptions, ObjectiveOptions, SupervisedObjectiveOptions, TaskOptions
from kexp.errors import Problem, did_you_mean
from kexp.options import Options
from kexp.plan.task_defaults import shown_by
from kexp.spec.parts import sections_in


def check_task(valid: Mapping[str, Any], catalog: Catalog) -> Iterator[Problem]:
    """Yield the components and options that are not defined for the task."""
    task: TaskOptions | None = valid.get("task")
    if task is None:
        return
    name = catalog.name_of(type(task))
    yield from _check_columns(valid.get("dataset"), task, name, catalog)
    yield from _check_objective(valid.get("objective"), task, name, catalog)
    if evaluation := valid.get("evaluation"):
        for number, metric in enumerate(evaluation.metrics):
            if not {*metric.targets} & {*task.measured_as}:
                known = _fitting("metric", {*task.measured_as}, catalog)
                yield Problem(f"evaluation.metrics[{number}]", _undefined(metric, name, catalog), f"use {known}")
        for number, baseline in enumerate(evaluation.baselines or ()):
            if baseline not in task.baselines:
                message = f'unknown baseline "{baseline}" of task "{name}"'
                yield Problem(f"evaluation.baselines[{number}]", message, did_you_mean(baseline, task.baselines))
        if evaluation.calibrate and not task.calibrates:
            message = f'predictions of task "{name}" are not calibrated by a temperature'
            yield Problem("evaluation.calibrate", message, "leave it out")
    if not task.classes:
        yield from _check_without_classes(valid, name, catalog)


def _check_columns(dataset: DatasetOptions | None, task: TaskOptions, name: str, catalog: Catalog) -> Iterator[Problem]:
    """Yield a task of one name per row where the columns of the data show one of several."""
    if dataset is None or task.several or (shown := shown_by(dataset)) is None:
        return
    other, why = shown
    try:
        options = catalog.find("task", other).options
    except UnknownComponent:
        return
    if issubclass(options, TaskOptions) and options.several:
        message = f'task "{name}" has one label per row, but {why}'
        yield Problem("task", message, f'use "{other}", or name a column with one label per row')


def _check_objective(objective: Any, task: TaskOptions, name: str, catalog: Catalog) -> Iterator[Problem]:
    for place, part in sections_in("objective", objective):
        if isinstance(part, ObjectiveOptions) and task.trained_as not in part.targets:
            targets = " or ".join(f'"{kind}"' for kind in part.targets)
            reason = f'it is a loss of targets {targets}, not of "{task.trained_as}"'
            known = _fitting("objective", {task.trained_as}, catalog, _like(part, nested=place != "objective"))
            yield Problem(place, f"{_undefined(part, name, catalog)}: {reason}", f"use {known}")


def _like(part: ObjectiveOptions, *, nested: bool) -> Callable[[type[Options]], bool]:
    """Return which objectives can stand where a part does: in another one only a loss per labelled row.

    Elsewhere those are meant that use unlabelled rows as it does.
    """

    def fits(options: type[Options]) -> bool:
        if nested:
            return issubclass(options, SupervisedObjectiveOptions)
        return issubclass(options, ObjectiveOptions) and options.uses_unlabelled == part.uses_unlabelled

    return fits


def _check_without_classes(valid: Mapping[str, Any], name: str, catalog: Catalog) -> Iterator[Problem]:
    """Yield options that count or draw the rows of a class, where rows have none."""
    message = f'with task "{name}" a row has no class'
    sampler, cleaning, labelled = map(valid.get, ("sampler", "cleaning", "labelled"))
    if sampler is not None and sampler.needs_classes:
        yield Problem("sampler", f'"{catalog.name_of(type(sampler))}" draws by class; {message}', 'use "random"')
    for option in ("max_per_class", "balance"):
        if cleaning is not None and getattr(cleaning, option):
            yield Problem(f"cleaning.{option}", message, "leave it out")
    if labelled is not None and labelled.per_class is not None:
        yield Problem("labelled.per_class", message, "use labelled.n")
    if labelled is not None and labelled.words:
        yield Problem("labelled.seed_words", message, "leave them out")


def _undefined(part: Options, name: str, catalog: Catalog) -> str:
    return f'{part.kind} "{catalog.name_of(type(part))}" is not defined for task "{name}"'


def _fitting(
    kind: str, targets: set[str], catalog: Catalog, like: Callable[[type[Options]], bool] = lambda options: True
) -> str:
    """Return the names of the components of a kind that are defined for targets, as a list in words.

    They are the ones that are ``like`` what is meant, where there are any.
    """
    found = [entry for entry in catalog.entries(kind) if targets & {*entry.options.targets}]  # type: ignore[attr-defined]
    names = [f'"{entry.name}"' for entry in [one for one in found if like(one.options)] or found]
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "one that a plugin registers for it"
