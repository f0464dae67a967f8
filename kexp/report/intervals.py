"""Intervals of the means in ``summary.json`` that are over too few units for Student's t."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kexp.contracts.task import CLASS
from kexp.evaluate.answers import Answers
from kexp.evaluate.bootstrap import intervals, intervals_of
from kexp.evaluate.measures import measures_of
from kexp.evaluate.statistics import FEWEST
from kexp.report.methods import Method
from kexp.report.repeated import has_resplit, in_order, units_of

BOOTSTRAP, STUDENT = "bootstrap", "t"
"""What an interval of a mean is from."""


def add_intervals(variants: Mapping[str, Mapping[str, Any]], methods: Mapping[str, Method]) -> None:
    """Give means over fewer than five units the interval of a bootstrap over rows and units.

    ``methods`` have the predictions of the runs by variant, all of one split; without them, and of a single unit,
    there is none.
    """
    for name, method in methods.items():
        tested = [method.tested[repeat] for repeat in in_order(method.tested)]
        means = variants[name]["metrics"].get(tested[0].split, {}) if tested else {}
        few = [
            metric for metric, mean in means.items() if 1 < mean["n"] < FEWEST and len(mean["values"]) == len(tested)
        ]
        if not few:
            continue
        shared = len({found.numbers for found in tested}) == 1
        _, units = units_of(in_order(method.tested), resplit=has_resplit(method.spec))
        answers = [
            [method.tested[repeat].ordered("number", method.tested[repeat].names) for repeat in unit] for unit in units
        ]
        for metric, (low, high) in _intervals(few, answers, tested[0].task.measured_as, shared=shared).items():
            means[metric] |= {"low": low, "high": high, "interval": BOOTSTRAP}


def _intervals(
    metrics: Sequence[str], units: Sequence[Sequence[Answers]], kinds: Collection[str], *, shared: bool
) -> dict[str, tuple[float, float]]:
    """Return the intervals of those of the metrics that are known for these kinds of targets."""
    measures = {name: measure for name, measure in measures_of(kinds).items() if name in metrics}
    found = intervals_of(measures, units, shared_rows=shared)
    if CLASS in kinds:
        others = [name for name in metrics if name not in measures]
        predictions = [[(run.targets, run.predictions) for run in unit] for unit in units]
        found |= intervals(others, predictions, shared_rows=shared)
    return found
