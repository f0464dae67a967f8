"""Intervals of the means in ``summary.json`` that are over too few units for Student's t."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kexp.evaluate.bootstrap import intervals
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
        predictions = [
            [method.tested[repeat].ordered("number", method.tested[repeat].names) for repeat in unit] for unit in units
        ]
        for metric, (low, high) in intervals(few, predictions, shared_rows=shared).items():
            means[metric] |= {"low": low, "high": high, "interval": BOOTSTRAP}
