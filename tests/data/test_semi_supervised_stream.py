from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from kexp.builtin.samplers import RandomSampler, SequentialSampler
from kexp.contracts import Rejected, SamplerOptions
from kexp.data.augment_jobs import at_once
from kexp.data.batching import RowsPerBatch, TokensPerBatch
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Collator, LabelledStream
from kexp.data.ragged import Ragged, offsets_of
from kexp.data.rows import Rows
from kexp.data.semi_supervised_stream import (
    SemiSupervisedStream,
    SemiSupervisedTokenStream,
    cycle,
    new_views,
    stored_views,
)
from kexp.host_batches import HostRows, HostUnlabelledBatch, MicroBatch
from kexp.seeds import generator


def encoded(texts: Sequence[str]) -> Encoded:
    """One token per character, its code point."""
    values = np.array([ord(character) for text in texts for character in text], np.int32)
    return Encoded(Ragged(values, offsets_of(np.array([len(text) for text in texts]))), None, 0)


def rows(texts: list[str]) -> Rows:
    return Rows(texts, None, np.arange(len(texts)) % 2, np.arange(len(texts)))


LABELLED = ["a" * (1 + number % 7) for number in range(10)]
POOL = [chr(0xAC00 + number) * (1 + number % 9) for number in range(100)]


def shout(texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
    return [text + "!" * generator.randrange(1, 4) for text, generator in zip(texts, generators, strict=True)]


def stream(
    *, unlabelled_epochs: bool = False, accumulation: int = 1, bucketing: bool = True, augment=None, seed: int = 1,
    sampler: SamplerOptions | None = None, tokens: int | None = None,
):  # fmt: skip
    labelled = LabelledStream(
        rows(LABELLED), encoded(LABELLED), sampler or RandomSampler(), Collator(0, token_types=False), seed,
        batch_size=RowsPerBatch(2) if tokens is None else TokensPerBatch(tokens),
        accumulation=accumulation, bucketing=bucketing,
    )  # fmt: skip
    pool = rows(POOL)
    augment = augment or new_views(pool, at_once(shout), lambda texts, pairs: encoded(texts), seed)
    kind = SemiSupervisedStream if tokens is None else SemiSupervisedTokenStream
    return kind(labelled, pool, encoded(POOL), augment, ratio=3, unlabelled_epochs=unlabelled_epochs)


def flat(steps: list[list[MicroBatch]]) -> list[MicroBatch]:
    return [micro for step in steps for micro in step]


def texts_of(rows: HostRows) -> list[str]:
    return ["".join(map(chr, ids)) for ids in np.split(rows.ids, np.cumsum(rows.lengths)[:-1])]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_epoch_is_a_pass_over_the_labelled_rows(accumulation: int) -> None:
    found = stream(accumulation=accumulation)
    steps = list(found.epoch(0))
    assert len(steps) == found.steps_per_epoch() == -(-10 // (2 * accumulation))
    labels = Counter(text for micro in flat(steps) for text in texts_of(micro.labelled.inputs))
    assert labels >= Counter(LABELLED)


def test_an_epoch_can_be_a_pass_over_the_pool() -> None:
    found = stream(unlabelled_epochs=True)
    steps = list(found.epoch(0))
    assert len(steps) == found.steps_per_epoch() == -(-100 // 6)
    visited = np.concatenate([micro.unlabelled.rows for micro in flat(steps)])
    assert set(visited) == set(range(100))


def test_the_pool_is_gone_through_in_whole_passes_whatever_the_epochs() -> None:
    found = stream()
    visited = np.concatenate([micro.unlabelled.rows for epoch in range(10) for micro in flat(list(found.epoch(epoch)))])
    counts = np.bincount(visited, minlength=100)
    assert len(visited) == 10 * 5 * 6
    assert counts.min() == counts.max() == 3


def test_every_batch_is_full() -> None:
    for micro in flat(list(stream(unlabelled_epochs=True).epoch(3))):
        assert len(micro.labelled) == 2
        assert len(micro.unlabelled.rows) == 6


def test_original_and_augmented_form_belong_to_one_row() -> None:
    for micro in flat(list(stream().epoch(2))):
        pairs = micro.unlabelled
        for row, original, augmented in zip(
            pairs.rows, texts_of(pairs.original), texts_of(pairs.augmented), strict=True
        ):
            assert original == POOL[row]
            assert augmented.rstrip("!") == original
            assert augmented != original
        assert pairs.tokens == sum(map(len, texts_of(pairs.original))) + sum(map(len, texts_of(pairs.augmented)))


def test_augmented_forms_depend_on_seed_epoch_and_row_alone() -> None:
    def forms(found: SemiSupervisedStream, epoch: int) -> dict[int, str]:
        made: dict[int, str] = {}
        for micro in flat(list(found.epoch(epoch))):
            made |= dict(zip(micro.unlabelled.rows.tolist(), texts_of(micro.unlabelled.augmented), strict=True))
        return made

    whole = forms(stream(unlabelled_epochs=True), 0)
    assert forms(stream(unlabelled_epochs=True, bucketing=False, accumulation=2), 0) == whole
    assert forms(stream(unlabelled_epochs=True), 1) != whole
    assert forms(stream(unlabelled_epochs=True, seed=2), 0) != whole


def test_any_step_can_be_returned_to() -> None:
    def bits(steps: list[list[MicroBatch]]) -> list[list[tuple[bytes, ...]]]:
        def of(pairs: HostUnlabelledBatch) -> tuple[bytes, ...]:
            views = (array for rows in (pairs.original, pairs.augmented) for array in (rows.ids, rows.lengths))
            return tuple(array.tobytes() for array in (*views, pairs.rows))

        return [[(micro.labelled.labels.tobytes(), *of(micro.unlabelled)) for micro in step] for step in steps]

    found = stream(unlabelled_epochs=True, accumulation=2)
    assert bits(list(found.epoch(4)))[3:] == bits(list(found.epoch(4, start=3)))


def test_batches_of_similar_length_meet() -> None:
    def padding(bucketing: bool) -> int:
        total = 0
        for epoch in range(5):
            for micro in flat(list(stream(unlabelled_epochs=True, bucketing=bucketing).epoch(epoch))):
                parts = (micro.labelled.inputs, micro.unlabelled.original, micro.unlabelled.augmented)
                width = max(part.lengths.max() for part in parts)
                total += sum(width * len(part) - part.lengths.sum() for part in parts)
        return total

    assert padding(bucketing=True) < 0.6 * padding(bucketing=False)


@pytest.mark.parametrize("unlabelled_epochs", [True, False])
def test_a_sampler_that_keeps_its_order_gets_exactly_that(unlabelled_epochs: bool) -> None:
    found = stream(unlabelled_epochs=unlabelled_epochs, sampler=SequentialSampler())
    micros = [micro for epoch in range(4) for micro in flat(list(found.epoch(epoch)))]
    labelled = [text for micro in micros for text in texts_of(micro.labelled.inputs)]
    # Pass after pass over the labelled rows, whatever an epoch is.
    assert labelled == (LABELLED * len(labelled))[: len(labelled)]
    # The unlabelled rows have the random order that they always have.
    visited = np.concatenate([micro.unlabelled.rows for micro in micros])
    order = np.concatenate([generator(1, "pool order", turn).permutation(100) for turn in range(5)])
    assert visited.tolist() == order[: len(visited)].tolist()


def test_copies_made_beforehand_are_taken_in_turn() -> None:
    copies = [encoded([text + mark for text in POOL]) for mark in "?!"]
    found = stream(augment=stored_views(copies))
    for epoch in range(4):
        for micro in flat(list(found.epoch(epoch))):
            for row, text in zip(micro.unlabelled.rows, texts_of(micro.unlabelled.augmented), strict=True):
                assert text == POOL[row] + "?!"[epoch % 2]


def test_rejected_text_stands_as_it_was() -> None:
    pool = rows(POOL)
    augment = new_views(
        pool, at_once(lambda texts, generators: [Rejected(text, "no") for text in texts]), lambda t, p: encoded(t), 1
    )
    for micro in flat(list(stream(augment=augment).epoch(0))):
        assert texts_of(micro.unlabelled.augmented) == texts_of(micro.unlabelled.original)


# --- batches of tokens -----------------------------------------------------------------------------------------------

SIZES = [10, 17, 1000]


def rows_of_micros(micros: Sequence[MicroBatch]) -> list[tuple[list[int], list[int]]]:
    """Return the numbers of the labelled and the unlabelled rows of batches."""
    return [(micro.labelled.numbers.tolist(), micro.unlabelled.rows.tolist()) for micro in micros]


@pytest.mark.parametrize("tokens", SIZES)
@pytest.mark.parametrize("bucketing", [True, False])
def test_an_epoch_of_tokens_has_the_batches_of_supervised_training(tokens: int, bucketing: bool) -> None:
    found = stream(tokens=tokens, bucketing=bucketing)
    for epoch in range(3):
        steps = list(found.epoch(epoch))
        # 34 tokens.
        assert len(steps) == found.steps_per_epoch() == -(-34 // tokens)
        ours = [few for few, _ in rows_of_micros(flat(steps))]
        assert sorted(ours) == sorted(batch.tolist() for batch in found.labelled.batches(epoch))
        assert sorted(row for few in ours for row in few) == list(range(10))


@pytest.mark.parametrize("tokens", SIZES)
@pytest.mark.parametrize("unlabelled_epochs", [True, False])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_unlabelled_rows_are_a_multiple_of_the_labelled_ones_and_seen_in_whole_passes(
    tokens: int, unlabelled_epochs: bool, accumulation: int
) -> None:
    found = stream(tokens=tokens, unlabelled_epochs=unlabelled_epochs, accumulation=accumulation)
    labelled, unlabelled, steps = [], [], 0
    for epoch in range(7):
        own = list(found.epoch(epoch))
        assert len(own) == found.steps_per_epoch()
        steps += len(own)
        for few, many in rows_of_micros(flat(own)):
            assert len(many) == 3 * len(few) > 0
            labelled += few
            unlabelled += many
        # What was visited before an epoch is known without making its batches.
        assert found.rows_before(steps * accumulation) == len(labelled)
        for visited, count in ((labelled, 10), (unlabelled, 100)):
            times = np.bincount(visited, minlength=count)
            assert times.max() - times.min() <= 1
    if unlabelled_epochs:
        assert len(unlabelled) / 7 == pytest.approx(100, rel=0.4)


@pytest.mark.parametrize("unlabelled_epochs", [True, False])
def test_any_step_of_tokens_can_be_returned_to(unlabelled_epochs: bool) -> None:
    found = stream(tokens=17, unlabelled_epochs=unlabelled_epochs, accumulation=2)
    whole = [rows_of_micros(step) for step in found.epoch(4)]
    for start in range(len(whole)):
        assert [rows_of_micros(step) for step in found.epoch(4, start)] == whole[start:]


def test_batches_of_tokens_of_similar_length_meet() -> None:
    def correlation(bucketing: bool) -> float:
        found = stream(tokens=10, unlabelled_epochs=True, bucketing=bucketing)
        micros = [micro for epoch in range(5) for micro in flat(list(found.epoch(epoch)))]
        means = [(micro.labelled.inputs.lengths.mean(), micro.unlabelled.original.lengths.mean()) for micro in micros]
        return float(np.corrcoef(*zip(*means, strict=True))[0, 1])

    assert correlation(bucketing=True) > 0.9
    assert abs(correlation(bucketing=False)) < 0.5


def test_a_sampler_that_keeps_its_order_gets_it_in_batches_of_tokens() -> None:
    found = stream(tokens=10, unlabelled_epochs=True, sampler=SequentialSampler())
    micros = [micro for epoch in range(3) for micro in flat(list(found.epoch(epoch)))]
    visited = [row for few, _ in rows_of_micros(micros) for row in few]
    assert visited == [number % 10 for number in range(len(visited))]
    pool = [row for _, many in rows_of_micros(micros) for row in many]
    order = np.concatenate([generator(1, "pool order", turn).permutation(100) for turn in range(5)])
    assert pool == order[: len(pool)].tolist()


@pytest.mark.parametrize(("start", "count"), [(0, 3), (4, 9), (13, 1), (5, 5)])
def test_cycle_is_a_part_of_the_endless_sequence(start: int, count: int) -> None:
    orders = [np.random.default_rng(turn).permutation(5) for turn in range(10)]
    endless = np.concatenate(orders)
    assert cycle(lambda turn: orders[turn], start, count).tolist() == endless[start : start + count].tolist()
