"""Comparing finished runs of any experiments: means, statements on pairs, differences of their specs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kexp.contracts import TaskOptions
from kexp.errors import KexpError, did_you_mean
from kexp.evaluate.measures import row_scores_of
from kexp.nested import find
from kexp.repeats import Part, Repeat, all_repeats, in_words, place_of
from kexp.report.intervals import add_intervals
from kexp.report.methods import Method
from kexp.report.predictions import Tested, tested
from kexp.report.results import results_table
from kexp.report.run_folder import RunFolder
from kexp.report.statements import statements, tested_metrics, untested_remark
from kexp.report.stored import read_summary
from kexp.report.summary import LOWER_IS_BETTER, build_summary
from kexp.results.runs import UNREADABLE, differences, read_spec, results, spec_of
from kexp.results.tasks import task_of

Json = dict[str, Any]

SPLITS = ("test", "validation")
MEASURES: Mapping[str, bool] = {
    "train_seconds": False,
    "examples_per_second": True,
    "tokens_per_second": True,
    "peak_memory_mib": False,
    "parameters.total": False,
    "parameters.trainable": False,
}
"""Numbers of a result besides its metrics that can be compared, and whether more is better."""


@dataclass(frozen=True, slots=True)
class Model:
    """A variant of a run folder with its finished runs, or those of one draw, fold or seed, which ``part`` holds."""

    name: str
    folder: Path
    variant: str
    part: Part
    runs: Mapping[Repeat, Json]

    def path(self, repeat: Repeat) -> Path:
        """Return the predictions of a run."""
        return RunFolder(self.folder).run(self.variant, repeat) / "predictions.parquet"


def compare(folders: Sequence[Path], *, split: str = "test", metric: str | None = None) -> Json:
    """Return the means, baselines, differences of specs and tests of models, as plain data.

    A folder is a run folder, which stands for all its variants, or in one ``<variant>`` or a folder of its runs, such
    as ``<variant>/seed-<n>`` or ``<variant>/draw-<n>``.
    Folders without a finished run are left out, and listed under ``left_out`` and in ``remarks``. Raises ``KexpError``
    for other folders, where no folder has a finished run, and when the rows of the split differ.
    """
    if split not in SPLITS:
        raise KexpError(f'unknown split "{split}"; {did_you_mean(split, SPLITS)}')
    remarks: list[str] = []
    left_out: list[str] = []
    models = _distinguished(list(_models(folders, remarks, left_out)))
    remarks += [f"left out: {reason}" for reason in left_out]
    summary = _summary(models, split, metric)
    # How long training took does not depend on the rows on which it was measured.
    methods = [] if metric in MEASURES else [_method(model, split) for model in models]
    add_intervals(summary["variants"], {method.name: method for method in methods})
    tests = _statements(methods, split, metric, summary["lower_is_better"], remarks) if methods else []
    if metric is not None and metric not in (known := _testable(models)):
        only = f", only of {', '.join(known)}" if known else ""
        remarks.append(f"there is no test of {metric}{only}")
    if flattered := [model.name for model in models if split == "validation" and _chosen_by_validation(_spec(model))]:
        results = "their results on it are flattered, the more the more steps were evaluated"
        remarks.append(f"{', '.join(flattered)}: validation chose the step of these models, so {results}")
    base = _spec(models[0])
    return {
        "split": split,
        **results_table(summary, split),
        "models": [
            {"name": model.name, "folder": str(model.folder), "variant": model.variant, **_runs(model)}
            for model in models
        ],
        "differences": {model.name: differences(base, _spec(model)) for model in models[1:]},
        "tests": tests,
        "left_out": left_out,
        "remarks": remarks,
    }


def compare_runs(runs: Sequence[Path]) -> Json:
    """Return means, baselines and tests of single runs; those of one variant and run folder are its repeats.

    As ``compare`` for the test split, with the runs themselves under ``models``. What cannot be compared, such as runs
    with other test rows, is said in ``remarks``. Raises ``KexpError`` for folders that are no finished runs.
    """
    remarks: list[str] = []
    grouped: dict[tuple[Path, str], Model] = {}
    for model in _models(runs, remarks, []):
        held = grouped.setdefault((model.folder, model.variant), replace(model, part=(), runs={}))
        grouped[model.folder, model.variant] = replace(held, runs={**held.runs, **model.runs})
    models = _distinguished([*grouped.values()])
    table, tests, lower = None, list[Json](), LOWER_IS_BETTER
    try:
        methods = [_method(model, "test") for model in models]
        summary = _summary(models, "test", None)
        add_intervals(summary["variants"], {method.name: method for method in methods})
        table, lower = results_table(summary, "test"), summary["lower_is_better"]
        tests = _statements(methods, "test", None, lower, remarks)
    except KexpError as error:
        remarks += str(error).splitlines()
    named = [{"name": model.name, "runs": [model.path(repeat).parent for repeat in model.runs]} for model in models]
    return {"models": named, "table": table, "tests": tests, "remarks": remarks}


# --- which models --------------------------------------------------------------------------------------------------


def _models(folders: Sequence[Path], remarks: list[str], left_out: list[str]) -> Iterator[Model]:
    """Yield every model once, even if it is named twice; a variant without a finished run is remarked on.

    Folders without any are added to ``left_out``; raises ``KexpError`` where no folder has one.
    """
    places, found = list(dict.fromkeys(_place(folder) for folder in folders)), False
    for folder, variant, part in places:
        wider = {(folder, None, ()), *((folder, variant, part[:length]) for length in range(len(part)))}
        if wider & {*places} - {(folder, variant, part)}:
            continue
        held: dict[str, dict[Repeat, Json]] = {name: {} for name in read_spec(folder).get("variants", {})}
        for result in results(folder):
            runs = held.setdefault(result["variant"], {})
            if result["status"] == UNREADABLE and variant in (None, result["variant"]):
                remarks.append(f"left out: {result['reason']}")
            if result["status"] == "done" and all(result.get(name) == number for name, number in part):
                runs[Repeat.of(result)] = result
        selected = [name for name in held if variant in (None, name)]
        finished = [name for name in selected if held[name]]
        if not finished:
            place = folder / Path(variant or "", *(f"{name}-{number}" for name, number in part))
            left_out.append(f"{place}: it has no finished run to compare")
            continue
        found = True
        remarks += [f"{name} of {folder} has no finished run" for name in selected if name not in finished]
        models = [Model(name, folder, name, part, held[name]) for name in finished]
        remarks += filter(None, map(_unfinished, models))
        yield from models
    if left_out and not found:
        raise KexpError("\n".join(left_out))


def _unfinished(model: Model) -> str:
    """Say how many of the runs that the spec asks for are done; "" where all of them are, or only a part is meant."""
    spec = _spec(model)
    draws, folds = spec.get("labelled", {}).get("draws", 1), spec.get("split", {}).get("folds")
    asked = [*all_repeats(spec.get("seeds", ()), draws, folds)]
    missing = [repeat.name for repeat in asked if repeat not in model.runs]
    if model.part or not missing:
        return ""
    few = "; ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
    done = f"{len(asked) - len(missing)} of {len(asked)} runs are done"
    return f"{model.name} of {model.folder}: {done}, without {few}"


def _place(path: Path) -> tuple[Path, str | None, Part]:
    """Return the run folder that a path lies in, the variant (None for all of them) and which of its runs."""
    # Unlike Path.resolve, it leaves links that lead to themselves as they are.
    path = Path(os.path.realpath(path))
    if path.is_dir() and not (path / "spec.toml").is_file() and (place := place_of(path)):
        return place
    read_spec(path)
    return path, None, ()


def _runs(model: Model) -> Json:
    """Return the seeds of a model's runs, and draws and folds too where they have some."""
    keys = [repeat.keys() for repeat in model.runs]
    several = {"runs": keys} if any(len(of) > 1 for of in keys) else {}
    return {"seeds": list(dict.fromkeys(of["seed"] for of in keys)), **several}


def _distinguished(models: Sequence[Model]) -> list[Model]:
    """Name models by their variants, with the shortest prefix or suffix that distinguishes equal names."""
    named = []
    for model in models:
        alike = [other for other in models if other.variant == model.variant]
        folders = list(dict.fromkeys(other.folder for other in alike))
        name = model.variant
        if len(folders) > 1:
            name = f"{next(of(model.folder) for of in PARTS if _differ(of, folders))}/{name}"
        if sum(other.folder == model.folder for other in alike) > 1:
            name += f", {in_words(dict(model.part))}"
        named.append(replace(model, name=name))
    return named


def _differ(part: Callable[[Path], str], folders: Sequence[Path]) -> bool:
    found = {part(folder) for folder in folders}
    return len(found) == len(folders) and all(found)


PARTS: Sequence[Callable[[Path], str]] = (
    lambda folder: folder.parent.name,
    lambda folder: folder.name.partition("-")[2],
    lambda folder: folder.name.partition("-")[0],
    lambda folder: folder.name,
    lambda folder: f"{folder.parent.name}/{folder.name}",
    str,
)
"""Names that may distinguish run folders: experiment, hash, time, both, all three, and the whole path."""


def _spec(model: Model) -> Json:
    return spec_of(read_spec(model.folder), model.variant)


def _chosen_by_validation(spec: Mapping[str, Any]) -> bool:
    """Return whether the kept step, or the last one, depends on validation."""
    training = spec.get("training", {})
    return training.get("keep", "best") != "last" or training.get("patience") is not None


# --- means and baselines -------------------------------------------------------------------------------------------


def _summary(models: Sequence[Model], split: str, metric: str | None) -> Json:
    """Return the summary over all models as if they were variants, with the metrics that they share."""
    kept = {model.folder: _kept_summary(model.folder) for model in models}
    lower = {name for summary in kept.values() for name in summary.get("lower_is_better", LOWER_IS_BETTER)}
    lower |= {name for name, more_is_better in MEASURES.items() if not more_is_better}
    runs = [{**run, "variant": model.name} for model in models for run in model.runs.values()]
    if metric is not None and metric in MEASURES:
        runs = [{**run, "metrics": {split: {metric: find(run, metric)}}} for run in runs]
    known = {model.name: kept[model.folder].get("variants", {}).get(model.variant, {}) for model in models}
    baselines, data = ({name: of.get(part, {}) for name, of in known.items()} for part in ("baselines", "data"))
    specs = {model.name: _spec(model) for model in models}
    summary = build_summary(
        runs, baselines=baselines, data=data, predictions=lambda _: None, specs=specs, lower_is_better=lower
    )
    measured = [variant["metrics"].get(split, {}) for variant in summary["variants"].values()]
    common = [name for name in measured[0] if all(name in scores for scores in measured)]
    if metric in MEASURES and not common:
        raise KexpError(f"not every run has recorded {metric}")
    if metric not in MEASURES and (
        untested := [model.name for model in models if split == "test" and _has_no_test(model)]
    ):
        raise KexpError(f"{', '.join(untested)}: no test split (split.test = 0); compare with --split validation")
    if not common:
        raise KexpError(f"the runs have no {split} metric in common; see evaluation.metrics of their specs")
    if metric is not None and metric not in common:
        raise KexpError(f'no {split} metric "{metric}" in all runs; {did_you_mean(metric, (*common, *MEASURES))}')
    selected = common if metric is None else [metric]
    for variant, scores in zip(summary["variants"].values(), measured, strict=True):
        variant["metrics"] = {split: {name: scores[name] for name in selected}}
        found = {name: splits.get(split, {}) for name, splits in variant["baselines"].items()}
        variant["baselines"] = {
            name: {split: {metric: scores[metric] for metric in selected if metric in scores}}
            for name, scores in found.items()
        }
    return summary


def _has_no_test(model: Model) -> bool:
    return all("test" not in run["metrics"] for run in model.runs.values())


def _kept_summary(folder: Path) -> Json:
    """Return the object of ``summary.json``, which an unfinished experiment does not have."""
    return read_summary(folder / "summary.json") if (folder / "summary.json").is_file() else {}


# --- statements -----------------------------------------------------------------------------------------------------


def _statements(
    methods: Sequence[Method], split: str, metric: str | None, lower_is_better: Sequence[str], remarks: list[str]
) -> list[Json]:
    """Return what is stated about every two models; raises ``KexpError`` when their rows differ."""
    metrics = [name for name in tested_metrics(methods, split) if metric in (None, name)]
    remarks += [] if metric else untested_remark(methods, metrics)
    tests, problems = statements(methods, metrics, lower_is_better, remarks)
    if problems:
        raise problems[0]
    return tests


def _method(model: Model, split: str) -> Method:
    """Return a model as what statements are made about."""
    tested = {repeat: _tested(model, repeat, split) for repeat in model.runs}
    return Method(model.name, _spec(model), dict(model.runs), tested)


def _tested(model: Model, repeat: Repeat, split: str) -> Tested:
    path = model.path(repeat)
    if not path.is_file():
        raise KexpError(f"{path} is missing, so the {split} rows cannot be compared")
    result = model.runs[repeat]
    return tested(path, split, result["labels"], _task(model), result.get("decisions", {}))


def _task(model: Model) -> TaskOptions:
    return task_of(model.folder / "spec.toml", _spec(model))


def _testable(models: Sequence[Model]) -> list[str]:
    """Return the metrics that can be tested of models with these tasks."""
    kinds = [_task(model).measured_as for model in models]
    return [*row_scores_of([kind for kind in kinds[0] if all(kind in of for of in kinds)])]
