"""What a search optimises: numbers of a trial's result, each with the direction in which it is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kexp.catalog import Catalog
from kexp.contracts import MetricOptions
from kexp.errors import Problem, did_you_mean
from kexp.nested import find
from kexp.plan.other_tools import metric_hint
from kexp.spec.search_section import Direction, Search
from kexp.spec.sections import Evaluation
from kexp.spec.training_section import Training

MEASURES: Mapping[str, Direction] = {
    "train_seconds": "minimize",
    "examples_per_second": "maximize",
    "parameters.total": "minimize",
    "parameters.trainable": "minimize",
}
"""Numbers of a result that can be optimised besides validation metrics."""


@dataclass(frozen=True, slots=True)
class SearchMetric:
    """A number of ``result.json`` by its dotted path, such as ``validation.macro_f1``."""

    name: str
    direction: Direction

    @property
    def validation_metric(self) -> str | None:
        """Name of the validation metric, which every evaluation reports; None for numbers known only at the end."""
        return self.name.removeprefix("validation.") if self.name.startswith("validation.") else None

    def of(self, result: Mapping[str, Any]) -> float:
        """Return the number in a result, NaN if it has none."""
        value = find(result["metrics"] if self.validation_metric else result, self.name)
        return math.nan if value is None else float(value)

    def better(self, value: float, other: float) -> bool:
        """Return whether ``value`` is better than ``other``."""
        return value > other if self.direction == "maximize" else value < other


def search_metrics(
    search: Search, training: Training, evaluation: Evaluation, catalog: Catalog
) -> tuple[SearchMetric, ...]:
    """Return the metrics of a search; raises ``ValueError`` for one that no trial reports."""
    metrics = {catalog.name_of(type(metric)): metric for metric in evaluation.metrics}
    names = search.metric or (f"validation.{training.monitor}",)
    directions: tuple[Direction | None, ...] = search.direction or (None,) * len(names)
    natural = [_direction(name, metrics) for name in names]
    return tuple(SearchMetric(name, given or own) for name, given, own in zip(names, directions, natural, strict=True))


def _direction(name: str, metrics: Mapping[str, MetricOptions]) -> Direction:
    known = {f"validation.{metric}" for metric in metrics} | set(MEASURES)
    if name.startswith("test."):
        raise ValueError(f'"{name}": the search does not read the test split; use "validation{name[4:]}"')
    if name not in known:
        raise ValueError(f'unknown metric "{name}"; {metric_hint(name) or did_you_mean(name, known)}')
    if name in MEASURES:
        return MEASURES[name]
    return "maximize" if metrics[name.removeprefix("validation.")].greater_is_better else "minimize"


def check_search(search: Search, training: Training, evaluation: Evaluation, catalog: Catalog) -> Iterator[Problem]:
    """Yield metrics that no trial reports, and a sampler or pruner that cannot work with these metrics."""
    sampler, pruner = catalog.name_of(type(search.sampler)), search.pruner
    yield from (Problem("search.sampler", message) for message in search.sampler.space_problems(search.space))
    if search.direction and len(search.direction) != len(search.metric or (training.monitor,)):
        return
    try:
        metrics = search_metrics(search, training, evaluation, catalog)
    except ValueError as error:
        yield Problem("search.metric", str(error))
        return
    if len(metrics) > 1 and not search.sampler.multi_objective:
        yield Problem("search.sampler", f'"{sampler}" searches one metric only', 'use "nsga2" or "tpe"')
    if pruner is None or catalog.name_of(type(pruner)) == "none":
        return
    if len(metrics) > 1:
        yield Problem("search.pruner", "trials with several metrics cannot be pruned", "leave it out")
    elif metrics[0].validation_metric is None:
        yield Problem("search.pruner", f"evaluations do not report {metrics[0].name}", 'use "none"')
    for message in pruner.seed_problems(search.runs_per_trial):
        yield Problem("search.pruner", message, "raise search.seeds_per_trial")
