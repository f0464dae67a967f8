"""The metric in kexp's suite for metrics, and against a plain loop."""

import numpy as np
import pytest
from kexp.contracts import MetricContext
from kexp.testing import MetricContract

from my_package.metric import MyMetric


class TestMyMetric(MetricContract):
    examples = (MyMetric(),)


def test_is_what_a_loop_computes() -> None:
    generator = np.random.default_rng(0)
    labels, probabilities = generator.integers(5, size=40), generator.dirichlet(np.ones(5), 40)
    places = [sorted(row, reverse=True).index(row[label]) for row, label in zip(probabilities, labels, strict=True)]
    expected = sum(1 / (place + 1) for place in places) / 40
    assert MyMetric().build(MetricContext(list("가나다라마")))(labels, probabilities) == pytest.approx(expected)
