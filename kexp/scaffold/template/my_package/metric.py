"""A metric: a number from labels and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import kexp
from kexp.contracts import Metric, MetricContext, MetricOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


KEXP_API = 3
"""Version of the interface to plugins for which this was written."""


class MyMetric(MetricOptions):
    """Mean reciprocal rank of the true label among the labels by probability, in (0, 1]."""

    def build(self, context: MetricContext) -> Metric:
        """Return the metric for the labels of ``context``; set ``greater_is_better = False`` where it is to be small."""
        return reciprocal_rank


@kexp.hookimpl
def kexp_metrics() -> Mapping[str, type[MetricOptions]]:
    """Name the metrics of this package."""
    return {"my_name": MyMetric}


def reciprocal_rank(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Score label ids of shape (rows,) against probabilities of shape (rows, labels); ties count against it."""
    own = probabilities[range(len(labels)), labels]
    ranks = (probabilities >= own[:, None]).sum(1)
    return float((1 / ranks).mean())
