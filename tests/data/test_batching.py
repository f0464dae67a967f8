"""Batches: every row once, little padding, and arrays that a plain loop would make too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kexp.data.batching import BUCKET_BATCHES, RowsPerBatch, TokensPerBatch, batches, by_length, gather, token_batches
from kexp.data.encoding import Encoded
from kexp.data.ragged import Ragged, offsets_of

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def padding_share(encoded: Encoded, groups: list[NDArray[np.int64]]) -> float:
    """Return the share of padding among all positions that these batches would compute."""
    lengths = encoded.tokens.lengths
    positions = sum(int(lengths[rows].max()) * len(rows) for rows in groups)
    return 1 - sum(int(lengths[rows].sum()) for rows in groups) / positions


Ids = NDArray[np.int64]


def encoded(rows: Sequence[Sequence[int]], boundaries: Sequence[int] | None = None) -> Encoded:
    flat = np.asarray([value for row in rows for value in row], np.int32)
    tokens = Ragged(flat, offsets_of(np.asarray([len(row) for row in rows], np.int64)))
    return Encoded(tokens, None if boundaries is None else np.asarray(boundaries, np.int64), 0)


def drawn_lengths(rows: int, seed: int = 0) -> Ids:
    """Lengths as reviews have them: most short, some long."""
    return np.clip(np.random.default_rng(seed).lognormal(3, 0.8, rows), 3, 128).astype(np.int64)


def of_lengths(lengths: Ids) -> Encoded:
    return Encoded(Ragged(np.ones(int(lengths.sum()), np.int32), offsets_of(lengths)), None, 0)


def generator(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


# --- plans that hold one array for all batches -----------------------------------------------------------------------


def plain_batches(order: Ids, lengths: Ids, size: int, draw: np.random.Generator | None) -> list[Ids]:
    """Cut an order with bucketing into a list of arrays."""
    cut = []
    for start in range(0, len(order), size * BUCKET_BATCHES):
        rows = order[start : start + size * BUCKET_BATCHES]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        cut += [rows[first : first + size] for first in range(0, len(rows), size)]
    return cut if draw is None else [cut[number] for number in draw.permutation(len(cut))]


@PATIENT
@given(st.integers(0, 2000), st.integers(1, 9), st.none() | st.integers(0, 9), st.integers(0, 9))
def test_a_plan_has_the_batches_of_a_plain_list(rows: int, size: int, shuffled: int | None, seed: int) -> None:
    draw = np.random.default_rng(seed)
    order, lengths = draw.permutation(rows), draw.integers(1, 50, rows)
    plan = batches(order, lengths, size, bucketing=True, generator=generator(shuffled))
    expected = plain_batches(order, lengths, size, generator(shuffled))
    assert [batch.tolist() for batch in plan] == [batch.tolist() for batch in expected]
    assert [batch.tolist() for batch in plan[3:9]] == [batch.tolist() for batch in expected[3:9]]
    assert len(plan) == len(expected)
    assert all(batch.dtype == np.int64 for batch in plan[:2])
    assert plan.order.dtype == np.int32
    if expected:
        assert plan[-1].tolist() == expected[-1].tolist()
    with pytest.raises(IndexError):
        plan[len(expected)]


@PATIENT
@given(st.integers(1, 400), st.integers(1, 40), st.booleans(), st.integers(0, 9))
def test_a_plan_of_tokens_has_the_batches_of_a_plain_list(rows: int, count: int, bucketing: bool, seed: int) -> None:
    draw, count = np.random.default_rng(seed), min(count, rows)
    order, lengths = draw.permutation(rows), draw.integers(1, 50, rows)
    plan = token_batches(order, lengths, count, bucketing=bucketing, generator=generator(seed))
    tokens = lengths[order]
    if bucketing:
        ends = np.cumsum(tokens)
        stretches = (ends - tokens) * count // (int(ends[-1]) * BUCKET_BATCHES)
        order = order[np.lexsort((np.where(stretches % 2, -tokens, tokens), stretches))]
    ends, places = np.cumsum(lengths[order]), np.arange(1, count)
    bounds = np.searchsorted(2 * ends - lengths[order], 2 * ends[-1] * places / count)
    bounds = np.maximum.accumulate(np.maximum(bounds - places, 0)) + places
    cut = np.split(order, np.minimum(bounds, rows - count + places))
    numbers = np.random.default_rng(seed).permutation(count) if bucketing else range(count)
    assert [batch.tolist() for batch in plan] == [cut[number].tolist() for number in numbers]


# --- batches ---------------------------------------------------------------------------------------------------------


@PATIENT
@given(st.integers(0, 450), st.integers(1, 9), st.booleans(), st.none() | st.integers(0, 9), st.integers(0, 9))
def test_every_row_of_the_order_is_in_exactly_one_batch(
    rows: int, batch_size: int, bucketing: bool, shuffled: int | None, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    # A balanced sampler repeats some rows and leaves out others.
    order = draw.integers(0, rows + 1, rows)
    lengths = draw.integers(1, 50, rows + 1)
    cut = batches(order, lengths, batch_size, bucketing=bucketing, generator=generator(shuffled))
    assert sorted(np.concatenate([*cut, order[:0]])) == sorted(order)
    assert len(cut) == -(-rows // batch_size)
    sizes = sorted(map(len, cut), reverse=True)
    assert all(size == batch_size for size in sizes[:-1])
    assert all(0 < size <= batch_size for size in sizes)


def test_without_bucketing_the_order_is_cut_as_it_stands() -> None:
    order = np.random.default_rng(0).permutation(10)
    cut = batches(order, drawn_lengths(10), 4, bucketing=False, generator=generator(1))
    assert [batch.tolist() for batch in cut] == [order[:4].tolist(), order[4:8].tolist(), order[8:].tolist()]


def test_bucketing_wastes_far_less_padding() -> None:
    lengths = drawn_lengths(2000)
    order = np.random.default_rng(1).permutation(2000)
    rows = of_lengths(lengths)
    plain, bucketed = (
        padding_share(rows, batches(order, lengths, 16, bucketing=bucketing, generator=generator(0)))
        for bucketing in (False, True)
    )
    assert bucketed < plain / 5


def test_rows_are_sorted_within_stretches_only_so_that_epochs_differ() -> None:
    stretch = 2 * BUCKET_BATCHES
    order = np.random.default_rng(0).permutation(2 * stretch)
    cut = batches(order, drawn_lengths(2 * stretch), 2, bucketing=True, generator=None)
    first = np.concatenate(cut[:BUCKET_BATCHES])
    assert sorted(first) == sorted(order[:stretch])
    lengths = drawn_lengths(2 * stretch)[first]
    assert (np.diff(lengths) >= 0).all()


def test_rows_of_equal_length_keep_their_order() -> None:
    order = np.random.default_rng(0).permutation(12)
    cut = batches(order, np.full(12, 7), 5, bucketing=True, generator=None)
    assert np.concatenate(cut).tolist() == order.tolist()


def test_equal_generators_give_equal_batches_and_others_do_not() -> None:
    order, lengths = np.random.default_rng(0).permutation(300), drawn_lengths(300)

    def made(seed: int | None) -> list[list[int]]:
        return [batch.tolist() for batch in batches(order, lengths, 8, bucketing=True, generator=generator(seed))]

    assert made(1) == made(1)
    assert made(1) != made(2)
    assert sorted(made(1)) == sorted(made(2)) == sorted(made(None))


def test_the_order_that_is_given_stays_as_it_was() -> None:
    order = np.random.default_rng(0).permutation(50)
    before = order.copy()
    batches(order, drawn_lengths(50), 4, bucketing=True, generator=generator(1))
    assert order.tolist() == before.tolist()


def test_by_length_visits_every_row_once_longest_first() -> None:
    lengths = drawn_lengths(101)
    cut = list(by_length(lengths, RowsPerBatch(8)))
    visited = np.concatenate(cut)
    assert sorted(visited) == list(range(101))
    assert (np.diff(lengths[visited]) <= 0).all()
    assert [len(batch) for batch in cut] == [8] * 12 + [5]


@PATIENT
@given(st.lists(st.integers(0, 60), max_size=80), st.integers(1, 200))
def test_passes_of_tokens_are_those_of_a_plain_loop(lengths: list[int], tokens: int) -> None:
    expected: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        # A row joins a pass while all of its rows, as long as its first one, fit.
        if expected and (len(expected[-1]) + 1) * max(1, lengths[expected[-1][0]]) <= tokens:
            expected[-1].append(row)
        else:
            expected.append([row])
    cut = list(by_length(np.asarray(lengths, np.int64), TokensPerBatch(tokens)))
    assert [batch.tolist() for batch in cut] == expected


# --- batches of tokens -----------------------------------------------------------------------------------------------


def plain_bounds(tokens: list[int], count: int) -> list[int]:
    """Return where batches begin, row by row: a row belongs to the batch that its middle lies in."""
    bounds = [0]
    for number in range(1, count):
        before, rows = 0, 0
        for length in tokens:
            rows += before + length / 2 < sum(tokens) * number / count
            before += length
        bounds.append(max(rows, bounds[-1] + 1))
    return [min(bound, len(tokens) - count + number) for number, bound in enumerate(bounds)] + [len(tokens)]


@PATIENT
@given(st.data())
def test_batches_of_tokens_are_those_of_a_plain_loop(data: st.DataObject) -> None:
    longest = data.draw(st.integers(1, 40))
    lengths = np.asarray(data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=60)), np.int64)
    # A balanced sampler repeats some rows and leaves out others.
    order = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, len(lengths), len(lengths))
    size = TokensPerBatch(longest + data.draw(st.integers(0, 100)))
    count = size.count(lengths[order])
    assert count == math.ceil(lengths[order].sum() / size.tokens)
    cut = size.cut(order, lengths, count, bucketing=False, generator=generator(1))
    bounds = plain_bounds(lengths[order].tolist(), count)
    assert [batch.tolist() for batch in cut] == [order[first:last].tolist() for first, last in pairwise(bounds)]


@PATIENT
@given(st.data())
def test_batches_of_tokens_hold_every_row_once_and_are_alike(data: st.DataObject) -> None:
    longest = data.draw(st.integers(1, 40))
    lengths = np.asarray(data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=300)), np.int64)
    order = np.random.default_rng(data.draw(st.integers(0, 9))).permutation(len(lengths))
    size = TokensPerBatch(longest + data.draw(st.integers(0, 100)))
    count, shuffled = size.count(lengths), generator(data.draw(st.none() | st.integers(0, 9)))
    cut = size.cut(order, lengths, count, bucketing=data.draw(st.booleans()), generator=shuffled)
    assert len(cut) == count
    assert sorted(np.concatenate(cut)) == list(range(len(lengths)))
    for batch in cut:
        assert len(batch) == 1 or lengths[batch].sum() < lengths.sum() / count + lengths[batch].max()


def test_batches_of_tokens_have_as_many_as_was_wanted() -> None:
    lengths = drawn_lengths(20_000)
    size = TokensPerBatch(2048)
    cut = size.cut(np.arange(20_000), lengths, size.count(lengths), bucketing=True, generator=generator(0))
    tokens = np.asarray([lengths[batch].sum() for batch in cut])
    assert tokens.min() > 1900
    assert tokens.max() < 2048 + 128
    assert abs(tokens.mean() - 2048) < 10
    # Short rows, of which there are many to a batch, are not beside long ones.
    assert padding_share(of_lengths(lengths), cut) < 0.03
    assert max(map(len, cut)) > 10 * min(map(len, cut))


def test_batches_of_tokens_are_sorted_within_stretches_only_so_that_epochs_differ() -> None:
    lengths = np.full(800, 10)
    lengths[::2] = 6
    order = np.random.default_rng(0).permutation(800)
    # 400 batches of 16 tokens are four stretches.
    cut = token_batches(order, lengths, 4 * BUCKET_BATCHES, bucketing=True, generator=None)
    visited = np.concatenate(cut)
    ends = np.cumsum(lengths[order])
    for number in range(4):
        stretch = (ends - lengths[order]) // (16 * BUCKET_BATCHES) == number
        found = visited[stretch]
        assert sorted(found) == sorted(order[stretch])
        # Up and down in turn: stretches meet where rows are of equal length.
        steps = np.diff(lengths[found])
        assert (steps >= 0).all() if number % 2 == 0 else (steps <= 0).all()
        # Rows of equal length keep their order.
        for length in (6, 10):
            alike = lengths[order[stretch]] == length
            assert found[lengths[found] == length].tolist() == order[stretch][alike].tolist()


def test_one_batch_holds_all_rows() -> None:
    order = np.asarray([2, 0, 1])
    for size in (RowsPerBatch(5), TokensPerBatch(500)):
        lengths = np.asarray([3, 5, 4])
        assert size.count(lengths) == 1
        (batch,) = size.cut(order, lengths, 1, bucketing=False, generator=None)
        assert batch.tolist() == [2, 0, 1]


# --- the rows of a batch ---------------------------------------------------------------------------------------------


@PATIENT
@given(st.data())
def test_rows_are_those_that_a_plain_loop_takes(data) -> None:
    rows = data.draw(st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=9), min_size=1, max_size=8))
    boundaries = [data.draw(st.integers(1, len(row))) for row in rows] if data.draw(st.booleans()) else None
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))
    made = gather(encoded(rows, boundaries), np.array(chosen), token_types=True)
    assert made.ids.tolist() == [token for number in chosen for token in rows[number]]
    assert made.lengths.tolist() == [len(rows[number]) for number in chosen]
    assert made.types is not None
    assert made.types.tolist() == [
        int(boundaries is not None and place >= boundaries[number])
        for number in chosen
        for place in range(len(rows[number]))
    ]
    assert {array.dtype for array in (made.ids, made.lengths, made.types)} == {np.dtype(np.int64)}
    assert gather(encoded(rows, boundaries), np.array(chosen), token_types=False).types is None
