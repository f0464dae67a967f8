"""What is said of a variant's data: counts and baselines, means over the divisions of its rows where it has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from kexp.contracts import Metric
from kexp.data.prepare import divided_by
from kexp.errors import KexpError
from kexp.evaluate.baselines import MOST_ROWS
from kexp.evaluate.predictions import Predictions
from kexp.experiment.inputs import PreparedInputs
from kexp.plan.resolve import repeats_of
from kexp.repeats import Repeat, in_words
from kexp.spec.sections import Spec


def divisions(spec: Spec) -> dict[str, Repeat]:
    """Return a run of every division of the rows by its name: draws, folds, and seeds with ``split.resplit``."""
    found: dict[str, Repeat] = {}
    for repeat in repeats_of(spec):
        found.setdefault(in_words(divided_by(spec, repeat)), repeat)
    return found


def data_record(spec: Spec, prepared: PreparedInputs) -> dict[str, Any]:
    """Return the record of a variant's data; of several divisions their number and the means of their counts."""
    positions = spec.backbone.max_positions()
    most = {} if positions is None else {"max_positions": positions}
    records = {name: {**prepared.inputs(spec, repeat).record(), **most} for name, repeat in divisions(spec).items()}
    if len(records) == 1:
        return next(iter(records.values()))
    warnings: dict[str, list[str]] = {}
    for name, record in records.items():
        for warning in record.get("warnings", ()):
            warnings.setdefault(warning, []).append(name)
    found: dict[str, Any] = {"divisions": len(records), **_mean([*records.values()])}
    if warnings:
        found["warnings"] = [
            warning if len(names) == len(records) else f"{'; '.join(names)}: {warning}"
            for warning, names in warnings.items()
        ]
    return found


def _mean(values: Sequence[Any]) -> Any:
    """Return the means of the numbers in records of one shape; a count that one lacks is 0, whatever else is shared."""
    known = [value for value in values if value is not None]
    if isinstance(known[0], Mapping):
        names = dict.fromkeys(name for value in known for name in value)
        return {name: _mean([value.get(name) for value in known]) for name in names}
    if isinstance(known[0], int | float) and any(value != known[0] for value in values):
        mean = fmean(value or 0 for value in values)
        return round(mean, 1 if all(isinstance(value, int) for value in known) else 4)
    return known[0]


def baselines(spec: Spec, prepared: PreparedInputs, remarks: dict[str, None]) -> dict[str, dict[str, dict[str, float]]]:
    """Measure simple models on the rows of a variant, the mean over its divisions; equal data are fitted once.

    Metrics that fail are remarked on, and left out of the mean.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for repeat in divisions(spec).values():
        for name, splits in _baselines(spec, repeat, prepared, remarks).items():
            for split, scores in splits.items():
                of = found.setdefault(name, {}).setdefault(split, {})
                for metric, value in scores.items():
                    of.setdefault(metric, []).append(value)
    return {
        name: {split: {metric: fmean(of) for metric, of in scores.items()} for split, scores in splits.items()}
        for name, splits in found.items()
    }


def _baselines(
    spec: Spec, repeat: Repeat, prepared: PreparedInputs, remarks: dict[str, None]
) -> dict[str, dict[str, dict[str, float]]]:
    data = prepared.data(spec, repeat)
    names = spec.task.baselines if spec.evaluation.baselines is None else spec.evaluation.baselines
    metrics = prepared.metrics(spec, data.labels)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in names:
        if (most := MOST_ROWS.get(name)) and len(data.train) > most:
            sample = f"a stratified sample of {most:,} of the {len(data.train):,} train rows"
            remarks[f"baseline {name} is fitted to {sample}"] = None
        for split, predicted in prepared.baseline(spec, repeat, name).items():
            scores, failures = measured(predicted, metrics)
            found.setdefault(name, {})[split] = scores
            remarks |= {f"baseline {name} on {split} has no {failure}": None for failure in failures}
    return found


def measured(found: Predictions, metrics: Mapping[str, Metric]) -> tuple[dict[str, float], list[str]]:
    """Return what can be measured, and which metric failed and why."""
    scores: dict[str, float] = {}
    failures = []
    for name, metric in metrics.items():
        try:
            scores |= found.measure({name: metric})
        # A metric may be undefined for predictions as plain as a baseline's; the experiment's results are there.
        except KexpError as error:
            failures.append(f"{name}: {error}")
    return scores, failures
