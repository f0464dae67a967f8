"""Which evaluation is the best one, by a metric that may not be a number, and by the loss where it is equal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping


def merit(value: float, loss: float | None, *, greater_is_better: bool) -> tuple[float, ...]:
    """Return what is larger, the better an evaluation is: by the monitored metric, then by a lower validation loss.

    What is not a number is worse than any number. A loss that is not known (None) loses no tie, so that of equal
    evaluations the earlier one stays the best.
    """
    return *_ascending(value if greater_is_better else -value), *_ascending(math.inf if loss is None else -loss)


def _ascending(value: float) -> tuple[bool, float]:
    return (False, 0.0) if math.isnan(value) else (True, value)


def metric_warnings(metrics: Mapping[str, float], monitor: str) -> Iterator[str]:
    """Yield a warning for each metric of validation that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            monitored = name == monitor and math.isnan(value)
            consequence = "; it is the monitored metric, and counts as worse than any number" if monitored else ""
            yield f'metric "{name}" is {value} on validation{consequence}'
