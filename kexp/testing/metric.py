"""What every metric has to get right."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from kexp.contracts import Metric, MetricContext, MetricOptions
from kexp.contracts.task import CLASS
from kexp.options import Options
from kexp.seeds import generator
from kexp.testing.fixtures import no_global_randomness
from kexp.testing.options import OptionsContract, example_name
from kexp.testing.targets import TargetRows, rows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Rows = tuple["NDArray[Any]", "NDArray[np.float64]"]


class MetricContract(OptionsContract):
    """Promises of metrics: a finite number of the rows as a set, best where every prediction is right and sure.

    ``classes`` are the numbers of labels that the metric is tried with, the first of ``names``: one that speaks of the
    third needs three. It is tried with every kind of its ``targets``: see ``kexp.testing.targets``.
    """

    base: ClassVar[type[Options]] = MetricOptions
    classes: ClassVar[Sequence[int]] = (2, 3, 7)
    names: ClassVar[Sequence[str]] = ("부정", "긍정", "중립", "기쁨", "슬픔", "분노", "놀람")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test with each example, each kind of targets that it is for, and each number of labels."""
        of_metric = "kind" in metafunc.fixturenames
        if of_metric and self.examples:
            both = [(example, kind) for example in self.examples for kind in _kinds(type(example))]
            metafunc.parametrize(("options", "kind"), both, ids=[_name(*each) for each in both])
        else:
            super().pytest_generate_tests(metafunc)
            if of_metric:
                metafunc.parametrize("kind", _kinds(self.component))
        if "classes" in metafunc.fixturenames:
            metafunc.parametrize("classes", self.classes)

    @pytest.fixture
    def targets(self, kind: str) -> TargetRows:
        """Return the rows of a kind of targets."""
        return rows_of(kind)

    @pytest.fixture
    def metric(self, options: MetricOptions, targets: TargetRows, classes: int) -> Metric:
        """Build the metric."""
        return options.build(MetricContext(targets.names(self.names[:classes]), targets.decide))

    @pytest.mark.parametrize("rows", [1, 2, 50])
    def test_is_a_finite_number(self, metric: Metric, targets: TargetRows, rows: int, classes: int) -> None:
        """It is a float for any predictions, of few rows and with labels that no row has."""
        for seed in range(3):
            check_number(metric(*self.drawn(targets, rows, classes, seed)))

    def test_accepts_certain_predictions(self, metric: Metric, targets: TargetRows, classes: int) -> None:
        """Certain predictions, right and wrong ones, and labels of one class alone give finite numbers."""
        import numpy as np

        labels, predictions = self.drawn(targets, 40, classes, 1)
        names = predictions.shape[1]
        for said in (labels, targets.other(labels, names), np.zeros_like(labels)):
            check_number(metric(labels, targets.sure(said, names)))
            check_number(metric(np.zeros_like(labels), targets.sure(said, names)))
        check_number(metric(labels, targets.unsure(len(labels), names)))

    def test_is_independent_of_row_order(self, metric: Metric, targets: TargetRows, classes: int) -> None:
        """Shuffled rows give the same number."""
        labels, predictions = self.drawn(targets, 60, classes, 1)
        order = generator(2, "contract").permutation(len(labels))
        assert metric(labels[order], predictions[order]) == pytest.approx(metric(labels, predictions), abs=1e-9)

    def test_perfect_predictions_score_best(
        self, options: MetricOptions, metric: Metric, targets: TargetRows, classes: int
    ) -> None:
        """No predictions score better than certain and right ones, in the direction of ``greater_is_better``."""
        sign = 1 if type(options).greater_is_better else -1
        worse = []
        for seed in range(5):
            labels, predictions = self.drawn(targets, 60, classes, seed)
            names = predictions.shape[1]
            labels = targets.complete(labels, names)
            best = sign * metric(labels, targets.sure(labels, names))
            others = (predictions, targets.sure(targets.other(labels, names), names))
            worse += [best - sign * metric(labels, other) for other in others]
        assert min(worse) >= -1e-9, "others are better than right ones: is greater_is_better as it should be?"
        assert max(worse) > 1e-9, "all predictions are equally good"

    def test_changes_no_input_or_global_state(self, metric: Metric, targets: TargetRows, classes: int) -> None:
        """It changes neither labels nor predictions, and gives the same number again."""
        import numpy as np

        labels, predictions = self.drawn(targets, 30, classes, 1)
        before = labels.copy(), predictions.copy()
        with no_global_randomness():
            assert metric(labels, predictions) == metric(labels, predictions)
        assert np.array_equal(labels, before[0])
        assert np.array_equal(predictions, before[1])

    def drawn(self, targets: TargetRows, rows: int, classes: int, seed: int) -> Rows:
        """Return random labels and predictions."""
        random, names = generator(seed, "contract", rows, classes), len(targets.names(self.names[:classes]))
        return targets.draw(random, rows, names), targets.predict(random, rows, names)


def _kinds(metric: type[Options] | None) -> Sequence[str]:
    kinds: Collection[str] = getattr(metric, "targets", (CLASS,))
    return [*kinds]


def _name(example: Options, kind: str) -> str:
    return example_name(example) if kind == CLASS else f"{example_name(example)} of {kind}"


def check_number(value: object) -> None:
    """Fail unless a value is a finite number."""
    assert isinstance(value, float)
    assert math.isfinite(value)
