"""Which evaluation is the best one, by a metric that may not be a number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping


def is_better(value: float, best: float | None, *, greater_is_better: bool) -> bool:
    """Return whether a value is the best so far; one that is not a number is worse than any number."""
    if best is None or math.isnan(best):
        return best is None or not math.isnan(value)
    return value > best if greater_is_better else value < best


def metric_warnings(metrics: Mapping[str, float], monitor: str) -> Iterator[str]:
    """Yield a warning for each metric of validation that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            monitored = name == monitor and math.isnan(value)
            consequence = "; it is the monitored metric, and counts as worse than any number" if monitored else ""
            yield f'metric "{name}" is {value} on validation{consequence}'
