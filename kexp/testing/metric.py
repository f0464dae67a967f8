"""What every metric has to get right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import pytest

from kexp.contracts import Metric, MetricContext, MetricOptions
from kexp.options import Options
from kexp.seeds import generator
from kexp.testing.fixtures import no_global_randomness
from kexp.testing.options import OptionsContract

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rows = tuple["NDArray[np.int64]", "NDArray[np.float64]"]


class MetricContract(OptionsContract):
    """Promises of metrics: a finite number of the rows as a set, best where every prediction is right and sure.

    ``classes`` are the numbers of labels that the metric is tried with, the first of ``names``: one that speaks of the
    third needs three.
    """

    base: ClassVar[type[Options]] = MetricOptions
    classes: ClassVar[Sequence[int]] = (2, 3, 7)
    names: ClassVar[Sequence[str]] = ("부정", "긍정", "중립", "기쁨", "슬픔", "분노", "놀람")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test with each example, and with each number of labels."""
        super().pytest_generate_tests(metafunc)
        if "classes" in metafunc.fixturenames:
            metafunc.parametrize("classes", self.classes)

    @pytest.fixture
    def metric(self, options: MetricOptions, classes: int) -> Metric:
        """Build the metric."""
        return options.build(MetricContext(self.names[:classes]))

    @pytest.mark.parametrize("rows", [1, 2, 50])
    def test_is_a_finite_number(self, metric: Metric, rows: int, classes: int) -> None:
        """It is a float for any probabilities, of few rows and with classes that no row has."""
        for seed in range(3):
            check_number(metric(*drawn(rows, classes, seed)))

    def test_accepts_certain_predictions(self, metric: Metric, classes: int) -> None:
        """Probabilities of 0 and 1, right and wrong ones, and labels of one class alone give finite numbers."""
        import numpy as np

        labels, _ = drawn(40, classes, 1)
        for said in (labels, (labels + 1) % classes, np.zeros_like(labels)):
            check_number(metric(labels, np.eye(classes)[said]))
            check_number(metric(np.zeros_like(labels), np.eye(classes)[said]))
        check_number(metric(labels, np.full((40, classes), 1 / classes)))

    def test_is_independent_of_row_order(self, metric: Metric, classes: int) -> None:
        """Shuffled rows give the same number."""
        labels, probabilities = drawn(60, classes, 1)
        order = generator(2, "contract").permutation(len(labels))
        assert metric(labels[order], probabilities[order]) == pytest.approx(metric(labels, probabilities), abs=1e-9)

    def test_perfect_predictions_score_best(self, options: MetricOptions, metric: Metric, classes: int) -> None:
        """No predictions score better than certain and right ones, in the direction of ``greater_is_better``."""
        import numpy as np

        sign = 1 if type(options).greater_is_better else -1
        worse = []
        for seed in range(5):
            labels, probabilities = drawn(60, classes, seed)
            labels[:classes] = np.arange(classes)
            best = sign * metric(labels, np.eye(classes)[labels])
            others = (probabilities, np.eye(classes)[(labels + 1) % classes])
            worse += [best - sign * metric(labels, other) for other in others]
        assert min(worse) >= -1e-9, "others are better than right ones: is greater_is_better as it should be?"
        assert max(worse) > 1e-9, "all predictions are equally good"

    def test_changes_no_input_or_global_state(self, metric: Metric, classes: int) -> None:
        """It changes neither labels nor probabilities, and gives the same number again."""
        import numpy as np

        labels, probabilities = drawn(30, classes, 1)
        before = labels.copy(), probabilities.copy()
        with no_global_randomness():
            assert metric(labels, probabilities) == metric(labels, probabilities)
        assert np.array_equal(labels, before[0])
        assert np.array_equal(probabilities, before[1])


def drawn(rows: int, classes: int, seed: int) -> Rows:
    """Return random labels and probabilities."""
    import numpy as np

    random = generator(seed, "contract", rows, classes)
    return random.integers(classes, size=rows), random.dirichlet(np.ones(classes), rows)


def check_number(value: object) -> None:
    """Fail unless a value is a finite number."""
    assert isinstance(value, float)
    assert math.isfinite(value)
