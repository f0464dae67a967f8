"""Samplers: which rows an epoch visits, how often, and in which order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kexp.builtin.samplers import BalancedSampler, RandomSampler, SequentialSampler
from kexp.contracts import SamplerOptions

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LABELS = np.repeat([0, 1, 2], [60, 30, 10])
ALL = [RandomSampler(), SequentialSampler(), BalancedSampler()]


def order(options: SamplerOptions, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> list[int]:
    return options.order(labels, np.random.default_rng(seed)).tolist()


@PATIENT
@given(st.integers(1, 60), st.integers(0, 9))
def test_random_order_is_a_permutation(rows: int, seed: int) -> None:
    assert sorted(order(RandomSampler(), np.zeros(rows, np.int64), seed)) == list(range(rows))


def test_random_order_mixes_the_rows() -> None:
    visited = order(RandomSampler())
    assert visited != sorted(visited)
    assert set(LABELS[visited[:20]]) == {0, 1, 2}


def test_sequential_order_is_that_of_the_data_for_every_generator() -> None:
    assert order(SequentialSampler(), seed=0) == order(SequentialSampler(), seed=1) == list(range(100))


def test_only_the_sequential_sampler_keeps_its_order() -> None:
    assert [options.keeps_order for options in ALL] == [False, True, False]


@pytest.mark.parametrize("options", ALL, ids=lambda options: type(options).__name__)
def test_equal_generators_give_equal_orders(options: SamplerOptions) -> None:
    assert order(options, seed=3) == order(options, seed=3)


@pytest.mark.parametrize("options", [RandomSampler(), BalancedSampler()], ids=lambda options: type(options).__name__)
def test_other_generators_give_other_orders(options: SamplerOptions) -> None:
    assert order(options, seed=3) != order(options, seed=4)


@PATIENT
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 9))
def test_a_balanced_order_has_the_classes_in_numbers_that_differ_by_one_at_most(counts: list[int], seed: int) -> None:
    # Label ids need not be consecutive: a class may have lost all its rows.
    labels = np.random.default_rng(seed).permutation(np.repeat(2 * np.arange(len(counts)), counts))
    visited = order(BalancedSampler(), labels, seed)
    assert len(visited) == len(labels)
    found = Counter(labels[visited].tolist())
    assert max(found.values()) - min(found.get(2 * number, 0) for number in range(len(counts))) <= 1


@PATIENT
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 9))
def test_a_balanced_order_repeats_no_row_before_all_of_its_class_were_visited(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    visits = Counter(order(BalancedSampler(), labels, seed))
    for label in range(len(counts)):
        times = [visits[row] for row in np.flatnonzero(labels == label)]
        assert max(times) - min(times) <= 1


def test_a_balanced_order_of_equal_classes_visits_every_row_once() -> None:
    assert sorted(order(BalancedSampler(), np.arange(60) % 3)) == list(range(60))


def test_a_balanced_order_mixes_the_classes() -> None:
    visited = LABELS[order(BalancedSampler())]
    assert set(visited[:20]) == {0, 1, 2}


def test_the_class_with_one_row_more_is_drawn_too() -> None:
    counts = {
        tuple(Counter(LABELS[order(BalancedSampler(), seed=seed)].tolist())[k] for k in range(3)) for seed in range(20)
    }
    assert counts == {(34, 33, 33), (33, 34, 33), (33, 33, 34)}
