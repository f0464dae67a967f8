"""Rows with several labels are divided so that every part has its share of every label."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from kexp.data.iterative_stratification import stratified_parts, with_every_label

SHARES = ([0.8, 0.2], [0.95, 0.05], [0.2] * 5, [0.1] * 10, [0.7, 0.15, 0.15])
Counts = NDArray[np.int64]


def matrix(kind: str, rows: int, labels: int, seed: int = 0) -> Counts:
    """Return labels of rows, all as frequent, or each rarer than the one before; some rows have none."""
    frequencies = np.full(labels, 0.2) if kind == "random" else 0.5 * np.arange(1, labels + 1) ** -1.2
    return (np.random.default_rng(seed).random((rows, labels)) < frequencies).astype(np.int64)


def divided(counts: Counts, shares: list[float], seed: int = 1) -> NDArray[np.int64]:
    return stratified_parts(counts, np.ones(len(counts), np.int64), shares, seed)


def off(counts: Counts, parts: NDArray[np.int64], shares: list[float]) -> NDArray[np.float64]:
    """Return by how many rows each part differs from its share of each label."""
    return np.array(
        [[abs(counts[parts == part, label].sum() - share * counts[:, label].sum()) for label in range(counts.shape[1])]
         for part, share in enumerate(shares)]
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["random", "skewed"])
@pytest.mark.parametrize("shares", SHARES, ids=str)
@pytest.mark.parametrize(("rows", "labels"), [(500, 6), (2000, 44), (2000, 10)])
def test_sizes_are_exact_and_every_label_is_within_about_a_row_of_its_share(
    kind: str, shares: list[float], rows: int, labels: int
) -> None:
    counts = matrix(kind, rows, labels)
    parts = divided(counts, shares)
    assert np.bincount(parts).tolist() == [round(share * rows) for share in shares]
    error = off(counts, parts, shares)
    # Of nine labels a row, which random ones of 44 are, no part can have all shares at once.
    assert error.max() < (1.3 if counts.sum(1).mean() < 5 else 2.1)
    assert error.mean() < 0.5
    random = [off(counts, np.random.default_rng(seed).permutation(parts), shares).mean() for seed in range(20)]
    assert error.mean() < 0.6 * np.mean(random)


def test_the_distribution_of_labels_is_nearer_to_that_of_all_rows_than_in_random_parts() -> None:
    # The measure of Sechidis et al. 2011, section 4: the mean difference of the odds of a label in a part and in all.
    counts, shares = matrix("skewed", 3000, 30), [0.1] * 10

    def distance(parts: NDArray[np.int64]) -> float:
        def odds(some: Counts) -> NDArray[np.float64]:
            have = some.sum(0)
            return have / np.maximum(len(some) - have, 1)

        return float(np.mean([np.abs(odds(counts[parts == part]) - odds(counts)).mean() for part in range(10)]))

    parts = divided(counts, shares)
    random = [distance(np.random.default_rng(seed).permutation(parts)) for seed in range(20)]
    assert distance(parts) < min(random) / 4


def test_labels_rarer_than_parts_are_in_as_many_parts_as_rows() -> None:
    counts = np.zeros((100, 4), np.int64)
    counts[:3, 0] = counts[3:5, 1] = counts[5, 2] = counts[::2, 3] = 1
    parts = divided(counts, [0.1] * 10)
    for label, rows in ((0, 3), (1, 2), (2, 1)):
        assert len(set(parts[counts[:, label] == 1])) == rows
    assert np.bincount(parts).tolist() == [10] * 10
    few = divided(counts, [0.9, 0.1])
    assert few[5] == 0, "the only row of a label stays in the larger part"


def test_rows_without_labels_are_divided_by_number() -> None:
    counts = np.zeros((60, 3), np.int64)
    counts[:20, 0] = 1
    parts = divided(counts, [0.5, 0.25, 0.25])
    assert np.bincount(parts).tolist() == [30, 15, 15]
    assert np.bincount(parts[:20]).tolist() == [10, 5, 5]
    assert np.bincount(divided(np.zeros((7, 2), np.int64), [0.5, 0.5])).tolist() == [4, 3]
    assert divided(np.zeros((10, 0), np.int64), [0.5, 0.5]).tolist().count(0) == 5


def test_the_same_seed_gives_the_same_parts_and_others_give_other_ones() -> None:
    counts = matrix("skewed", 400, 8)
    found = [divided(counts, [0.2] * 5, seed).tolist() for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_groups_stay_whole_and_parts_are_alike() -> None:
    generator = np.random.default_rng(3)
    counts = matrix("skewed", 6000, 12)
    groups = generator.integers(0, 800, 6000)
    sizes = np.bincount(groups, minlength=800)
    sums = np.zeros((800, 12), np.int64)
    np.add.at(sums, groups, counts)
    shares = [0.2] * 5
    parts = stratified_parts(sums, sizes, shares, 1)
    assert np.abs(np.bincount(parts, sizes) - 1200).max() <= sizes.max()
    error = off(sums, parts, shares)
    random = off(sums, generator.permutation(parts), shares)
    assert error.mean() < random.mean() / 2


def test_many_rows_take_seconds() -> None:
    counts = matrix("skewed", 100_000, 44)
    started = time.process_time()
    parts = divided(counts, [0.1] * 10)
    assert time.process_time() - started < 20
    assert off(counts, parts, [0.1] * 10).max() < 1.01


def test_chosen_rows_are_exchanged_until_every_label_has_one() -> None:
    counts = matrix("skewed", 1000, 30)
    chosen = np.zeros(1000, bool)
    chosen[np.flatnonzero(counts[:, 29] == 0)[:40]] = True
    assert not (counts[chosen].sum(0) > 0).all()
    assert with_every_label(chosen, counts, 1)
    assert chosen.sum() == 40
    assert (counts[chosen].sum(0) > 0).all()
    one = np.eye(5, dtype=np.int64)
    too_few = np.array([True, True, False, False, False])
    assert not with_every_label(too_few, one, 1)
