"""Metrics of label sets against plain loops and scikit-learn, with labels and rows that have one value only."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from kexp.builtin.metrics import (
    F1,
    LRAP,
    METRICS,
    HammingLoss,
    MacroAUC,
    MacroF1,
    MicroAUC,
    MicroF1,
    Precision,
    Recall,
    SamplesF1,
    SubsetAccuracy,
    WeightedF1,
)
from kexp.contracts import MetricContext, MetricOptions
from kexp.evaluate.statistics import RANGES

Sets = NDArray[np.int64]
Table = NDArray[np.float64]
Decide = Callable[[Table], Any]


def at_half(probabilities: Table) -> Sets:
    return (probabilities >= 0.5).astype(np.int64)


def drawn(rows: int = 120, names: int = 4, seed: int = 0) -> tuple[Sets, Table]:
    generator = np.random.default_rng(seed)
    sets = (generator.random((rows, names)) < 0.3).astype(np.int64)
    return sets, 1 / (1 + np.exp(-(generator.normal(-0.8, 1, sets.shape) + 1.6 * sets)))


def score(options: MetricOptions, sets: Any, probabilities: Any, decide: Decide = at_half) -> float:
    probabilities = np.asarray(probabilities, float)
    names = [f"라벨{number}" for number in range(probabilities.shape[1])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = options.build(MetricContext(names, decide))(np.asarray(sets), probabilities)
    assert type(value) is float
    return value


def counts(sets: Sets, decided: Sets) -> list[tuple[int, int, int]]:
    """Return hits, predicted and true rows of each label."""
    return [
        (sum(int(t and d) for t, d in zip(true, said, strict=True)), int(said.sum()), int(true.sum()))
        for true, said in zip(sets.T, decided.T, strict=True)
    ]


def f1(hits: int, said: int, there: int) -> float:
    return 2 * hits / (said + there) if hits else 0.0


@pytest.mark.parametrize("names", [1, 2, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_metric_of_decisions_is_that_of_a_plain_loop(names: int, seed: int) -> None:
    sets, probabilities = drawn(names=names, seed=seed)
    decided = at_half(probabilities)
    by_label = counts(sets, decided)
    scores, there = [f1(*each) for each in by_label], [each[2] for each in by_label]
    assert score(MacroF1(), sets, probabilities) == pytest.approx(sum(scores) / names)
    weighted = sum(one * rows for one, rows in zip(scores, there, strict=True)) / sum(there)
    assert score(WeightedF1(), sets, probabilities) == pytest.approx(weighted)
    assert score(MicroF1(), sets, probabilities) == pytest.approx(f1(*np.sum(by_label, axis=0)))
    by_row, exact, wrong = [], 0, 0
    for true, said in zip(sets.tolist(), decided.tolist(), strict=True):
        hits = sum(a and b for a, b in zip(true, said, strict=True))
        by_row.append(2 * hits / (sum(true) + sum(said)) if sum(true) + sum(said) else 1.0)
        exact += true == said
        wrong += sum(a != b for a, b in zip(true, said, strict=True))
    assert score(SamplesF1(), sets, probabilities) == pytest.approx(np.mean(by_row))
    assert score(SubsetAccuracy(), sets, probabilities) == pytest.approx(exact / len(sets))
    assert score(HammingLoss(), sets, probabilities) == pytest.approx(wrong / sets.size)
    for number, (hits, said, true) in enumerate(by_label):
        label = f"라벨{number}"
        assert score(F1(label=label), sets, probabilities) == pytest.approx(scores[number])
        assert score(Precision(label=label), sets, probabilities) == pytest.approx(hits / said)
        assert score(Recall(label=label), sets, probabilities) == pytest.approx(hits / true)


@pytest.mark.parametrize("names", [2, 5])
def test_every_metric_is_that_of_scikit_learn(names: int) -> None:
    sets, probabilities = drawn(names=names)
    decided = at_half(probabilities)
    for options, average in ((MacroF1(), "macro"), (WeightedF1(), "weighted"), (MicroF1(), "micro")):
        expected = sklearn_metrics.f1_score(sets, decided, average=average, zero_division=0)
        assert score(options, sets, probabilities) == pytest.approx(expected)
    samples = sklearn_metrics.f1_score(sets, decided, average="samples", zero_division=1.0)
    assert score(SamplesF1(), sets, probabilities) == pytest.approx(samples)
    for options, average in ((MacroAUC(), "macro"), (MicroAUC(), "micro")):
        expected = sklearn_metrics.roc_auc_score(sets, probabilities, average=average)
        assert score(options, sets, probabilities) == pytest.approx(expected)


def test_areas_and_rankings_are_shares_of_pairs() -> None:
    sets, probabilities = drawn(40)
    probabilities = probabilities.round(1)
    areas = []
    for true, scores in zip(sets.T, probabilities.T, strict=True):
        pairs = [(a > b) + (a == b) / 2 for a in scores[true == 1] for b in scores[true == 0]]
        areas.append(np.mean(pairs))
    assert score(MacroAUC(), sets, probabilities) == pytest.approx(np.mean(areas))
    flat, scores = sets.ravel(), probabilities.ravel()
    pairs = [(a > b) + (a == b) / 2 for a in scores[flat == 1] for b in scores[flat == 0]]
    assert score(MicroAUC(), sets, probabilities) == pytest.approx(np.mean(pairs))
    by_row = []
    for true, row in zip(sets, probabilities, strict=True):
        if 0 < true.sum() < len(true):
            own = np.flatnonzero(true)
            by_row.append(np.mean([(row[own] >= row[k]).sum() / (row >= row[k]).sum() for k in own]))
    assert score(LRAP(), sets, probabilities) == pytest.approx(np.mean(by_row))


def test_rows_and_labels_of_one_value_are_left_out_of_rankings() -> None:
    sets, probabilities = drawn()
    others = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
    longer = np.concatenate([sets, others])
    table = np.concatenate([probabilities, np.full((2, 4), 0.5)])
    assert score(LRAP(), longer, table) == pytest.approx(score(LRAP(), sets, probabilities))
    wider = np.concatenate([sets, np.ones((len(sets), 1), np.int64), np.zeros((len(sets), 1), np.int64)], 1)
    table = np.concatenate([probabilities, probabilities[:, :2]], 1)
    assert score(MacroAUC(), wider, table) == pytest.approx(score(MacroAUC(), sets, probabilities))


@pytest.mark.parametrize("sets", [[[0, 0], [0, 0]], [[1, 1], [1, 1]]])
def test_where_nothing_is_defined_there_is_a_number_and_no_warning(sets: list[list[int]]) -> None:
    random = [[0.2, 0.7], [0.9, 0.4]]
    assert score(LRAP(), sets, random) == 1.0
    assert score(MacroAUC(), sets, random) == score(MicroAUC(), sets, random) == 0.5
    right = score(MicroF1(), sets, sets)
    assert right == score(MacroF1(), sets, sets) == score(WeightedF1(), sets, sets) == float(sets[0][0])
    assert score(SamplesF1(), sets, sets) == score(SubsetAccuracy(), sets, sets) == 1.0
    assert score(HammingLoss(), sets, sets) == 0.0


def test_decisions_are_those_of_the_task() -> None:
    sets, probabilities = drawn()

    def decide(given: Table) -> Sets:
        return (given >= np.array([0.1, 0.3, 0.6, 0.9])).astype(np.int64)

    expected = sklearn_metrics.f1_score(sets, decide(probabilities), average="macro", zero_division=0)
    assert score(MacroF1(), sets, probabilities, decide) == pytest.approx(expected)
    assert score(MacroF1(), sets, probabilities, decide) != score(MacroF1(), sets, probabilities)
    assert score(MacroAUC(), sets, probabilities, decide) == score(MacroAUC(), sets, probabilities)


def test_all_of_them_have_a_range() -> None:
    names = [name for name, options in METRICS.items() if options.targets == ("label-set",)]
    assert len(names) == 7
    assert {RANGES[name] for name in names} == {(0.0, 1.0)}
