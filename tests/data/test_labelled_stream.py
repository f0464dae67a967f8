"""The labelled stream: a pure function of seed and epoch, that can be entered at any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from kexp.builtin.samplers import BalancedSampler, RandomSampler, SequentialSampler
from kexp.contracts import Rejected, SamplerOptions
from kexp.data.augment_jobs import at_once
from kexp.data.batching import RowsPerBatch, TokensPerBatch
from kexp.data.encoding import Encoded
from kexp.data.labelled_stream import Augmentation, Collator, LabelledStream
from kexp.data.ragged import Ragged, offsets_of
from kexp.data.rows import Rows
from kexp.host_batches import HostBatch

ROWS = 103
PAD = 9999


def texts() -> list[str]:
    draw = Random(0)
    return [" ".join(f"{row}-{word}" for word in range(draw.randint(3, 30))) for row in range(ROWS)]


def encode_words(given: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
    """Stand in for a tokenizer: a word "row-word" has the id 100 * row + word."""
    rows = [[100 * int(row) + int(word) for row, word in (item.split("-") for item in text.split())] for text in given]
    flat = np.asarray([token for row in rows for token in row], np.int32)
    return Encoded(Ragged(flat, offsets_of(np.asarray([len(row) for row in rows], np.int64))), None, 0)


def delete_words(given: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
    """Delete three words in ten; the first stays, since it tells the row."""
    return [
        " ".join(word for number, word in enumerate(text.split()) if number == 0 or draw.random() >= 0.3)
        for text, draw in zip(given, generators, strict=True)
    ]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows(texts(), None, np.arange(ROWS) % 3, 1000 + np.arange(ROWS))


@pytest.fixture(scope="module")
def stream(rows: Rows) -> LabelledStream:
    return LabelledStream(
        rows=rows,
        encoded=encode_words(rows.texts),
        sampler=RandomSampler(),
        seed=7,
        batch_size=RowsPerBatch(4),
        accumulation=3,
        bucketing=True,
        collator=Collator(pad_id=PAD, token_types=False),
    )


@pytest.fixture(scope="module")
def augmented(stream: LabelledStream) -> LabelledStream:
    return with_augmentation(stream)


def with_augmentation(stream: LabelledStream) -> LabelledStream:
    return replace(stream, augmentation=Augmentation(at_once(delete_words), 1.0, encode_words))


Step = list[tuple[list[list[int]], list[int], int]]


def steps(stream: LabelledStream, epoch: int, start: int = 0) -> list[Step]:
    """Return an epoch as plain data."""
    return [[plain(micro.labelled) for micro in step] for step in stream.epoch(epoch, start)]


def plain(batch: HostBatch) -> tuple[list[list[int]], list[int], int]:
    return rows_of(batch), batch.labels.tolist(), batch.tokens


def rows_of(batch: HostBatch) -> list[list[int]]:
    return [row.tolist() for row in np.split(batch.inputs.ids, np.cumsum(batch.inputs.lengths)[:-1])]


def visited(stream: LabelledStream, epoch: int) -> list[int]:
    """Return the rows in the order in which an epoch visits them."""
    return [ids[0] // 100 for step in steps(stream, epoch) for batch in step for ids in batch[0]]


def words(stream: LabelledStream, epoch: int) -> dict[int, list[int]]:
    """Return the tokens of each row in an epoch."""
    return {ids[0] // 100: ids for step in steps(stream, epoch) for batch in step for ids in batch[0]}


def test_an_epoch_visits_every_row_once_with_its_own_label(stream: LabelledStream) -> None:
    assert sorted(visited(stream, 0)) == list(range(ROWS))
    for step in stream.epoch(0):
        for batch in (micro.labelled for micro in step):
            assert batch.labels.tolist() == [ids[0] // 100 % 3 for ids in rows_of(batch)]
            assert batch.tokens == batch.inputs.lengths.sum()
            assert len(batch) == len(batch.labels)


def test_a_step_holds_as_many_batches_as_are_accumulated(stream: LabelledStream) -> None:
    found = steps(stream, 0)
    # 103 rows in batches of 4 are 26, in threes 9 steps.
    assert [len(step) for step in found] == [3] * 8 + [2]
    assert sorted(len(batch[1]) for step in found for batch in step) == [3] + [4] * 25
    assert stream.steps_per_epoch() == 9


@pytest.mark.parametrize("batch_size", [1, 4, 7, 103, 200])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_the_number_of_steps_is_known_beforehand(stream: LabelledStream, batch_size: int, accumulation: int) -> None:
    for bucketing in (True, False):
        changed = replace(stream, batch_size=RowsPerBatch(batch_size), accumulation=accumulation, bucketing=bucketing)
        assert len(steps(changed, 1)) == changed.steps_per_epoch()


def test_epochs_differ_and_the_same_epoch_does_not(stream: LabelledStream) -> None:
    assert steps(stream, 0) == steps(stream, 0)
    assert steps(stream, 0) != steps(stream, 1)
    assert visited(stream, 0) != visited(stream, 1)


def test_the_seed_decides(stream: LabelledStream) -> None:
    assert steps(replace(stream), 2) == steps(stream, 2)
    assert steps(replace(stream, seed=8), 2) != steps(stream, 2)


@pytest.mark.parametrize("kind", ["stream", "augmented"])
@pytest.mark.parametrize("start", [0, 1, 5, 8, 9])
def test_an_epoch_can_be_entered_at_any_step(kind: str, start: int, request: pytest.FixtureRequest) -> None:
    stream = request.getfixturevalue(kind)
    assert steps(stream, 3, start) == steps(stream, 3)[start:]


def test_an_epoch_does_not_depend_on_those_before(augmented: LabelledStream) -> None:
    fresh = steps(replace(augmented), 4)
    for epoch in range(4):
        steps(augmented, epoch)
    assert steps(augmented, 4) == fresh


def test_without_bucketing_batches_follow_the_sampler(stream: LabelledStream) -> None:
    ordered = replace(stream, sampler=SequentialSampler(), bucketing=False)
    assert visited(ordered, 0) == visited(ordered, 1) == list(range(ROWS))


class OwnOrder(SamplerOptions):
    """An order of its own in every epoch, as a plugin may have it."""

    keeps_order: ClassVar[bool] = True

    def order(self, labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        return generator.permutation(len(labels))


@pytest.mark.parametrize("bucketing", [True, False])
def test_a_sampler_that_keeps_its_order_gets_exactly_that(stream: LabelledStream, bucketing: bool) -> None:
    sequential = replace(stream, sampler=SequentialSampler(), bucketing=bucketing)
    assert visited(sequential, 0) == visited(sequential, 1) == list(range(ROWS))
    own = replace(stream, sampler=OwnOrder(), bucketing=bucketing)
    for epoch in range(3):
        assert visited(own, epoch) == own.order(epoch).tolist()
    assert visited(own, 0) != visited(own, 1)


def test_a_balanced_stream_has_the_labels_in_equal_numbers(stream: LabelledStream, rows: Rows) -> None:
    skewed = replace(rows, labels=np.where(np.arange(ROWS) < 90, 0, 1))
    balanced = replace(stream, rows=skewed, sampler=BalancedSampler())
    labels = [label for step in steps(balanced, 0) for batch in step for label in batch[1]]
    assert sorted([labels.count(0), labels.count(1)]) == [51, 52]


# --- batches of tokens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [30, 64, 500, 10_000])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_a_stream_of_tokens_visits_every_row_once_in_steps_known_beforehand(
    stream: LabelledStream, tokens: int, accumulation: int
) -> None:
    lengths = stream.encoded.tokens.lengths
    for bucketing in (True, False):
        changed = replace(stream, batch_size=TokensPerBatch(tokens), accumulation=accumulation, bucketing=bucketing)
        count = -(-int(lengths.sum()) // tokens)
        for epoch in (0, 3):
            found = steps(changed, epoch)
            assert len(found) == changed.steps_per_epoch() == -(-count // accumulation)
            assert [len(step) for step in found[:-1]] == [accumulation] * (len(found) - 1)
            assert sorted(visited(changed, epoch)) == list(range(ROWS))
            assert steps(changed, epoch, start=len(found) // 2) == found[len(found) // 2 :]
            for _, labels, size in (batch for step in found for batch in step):
                assert size < tokens + 30
                assert len(labels) >= 1


def test_a_balanced_stream_of_tokens_has_as_many_batches_in_every_epoch(stream: LabelledStream, rows: Rows) -> None:
    # Rows of the rare label are long: how many tokens an epoch has depends on its draw.
    lengths = stream.encoded.tokens.lengths
    skewed = replace(rows, labels=np.where(lengths < 20, 0, 1) + (lengths > 27))
    balanced = replace(stream, rows=skewed, sampler=BalancedSampler(), batch_size=TokensPerBatch(40), accumulation=1)
    totals = set()
    for epoch in range(5):
        found = steps(balanced, epoch)
        assert len(found) == balanced.steps_per_epoch()
        sizes = [size for step in found for _, _, size in step]
        assert max(sizes) < sum(sizes) / len(sizes) + 30
        totals.add(sum(sizes))
    assert len(totals) > 1


def test_a_stream_of_tokens_keeps_the_order_of_a_sampler_that_does(stream: LabelledStream) -> None:
    for sampler in (SequentialSampler(), OwnOrder()):
        kept = replace(stream, sampler=sampler, batch_size=TokensPerBatch(64))
        for epoch in range(2):
            assert visited(kept, epoch) == kept.order(epoch).tolist()


def test_texts_are_augmented_after_batches_of_tokens_are_cut(augmented: LabelledStream, stream: LabelledStream) -> None:
    ours, plain = (replace(of, batch_size=TokensPerBatch(64)) for of in (augmented, stream))
    assert visited(ours, 1) == visited(plain, 1)
    assert [len(step) for step in steps(ours, 1)] == [len(step) for step in steps(plain, 1)]
    assert words(ours, 1) == words(augmented, 1)


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_augmented_rows_change_every_epoch(augmented: LabelledStream, stream: LabelledStream) -> None:
    whole, first, second = words(stream, 0), words(augmented, 0), words(augmented, 1)
    assert set(first) == set(whole)
    assert all(set(first[row]) <= set(whole[row]) for row in whole)
    assert sum(first[row] != whole[row] for row in whole) > ROWS / 2
    assert first != second


def test_augmentation_does_not_depend_on_order_batches_or_neighbours(augmented: LabelledStream, rows: Rows) -> None:
    expected = words(augmented, 2)
    for changed in (
        replace(augmented, batch_size=RowsPerBatch(11), accumulation=1),
        replace(augmented, bucketing=False),
        replace(augmented, sampler=SequentialSampler()),
    ):
        assert words(changed, 2) == expected
    half = slice(0, ROWS, 2)
    fewer = Rows(rows.texts[half], None, rows.labels[half], rows.numbers[half])
    remaining = words(with_augmentation(replace(augmented, rows=fewer, encoded=encode_words(fewer.texts))), 2)
    assert remaining == {row: expected[row] for row in range(0, ROWS, 2)}


def test_texts_are_augmented_step_by_step_and_no_others(stream: LabelledStream) -> None:
    given: list[list[str]] = []

    def watch(texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        given.append(sorted(texts))
        return delete_words(texts, generators)

    changed = replace(stream, augmentation=Augmentation(at_once(watch), 1.0, encode_words))
    for number, step in enumerate(changed.epoch(0, 2)):
        rows = sorted(int(row) - 1000 for micro in step for row in micro.labelled.numbers)
        assert given[number] == sorted(stream.rows.texts[row] for row in rows)
        assert len(given) == number + 1
    assert len(given) == stream.steps_per_epoch() - 2


def test_batches_are_those_of_the_rows_as_they_are(augmented: LabelledStream, stream: LabelledStream) -> None:
    for ours, plain_step in zip(augmented.epoch(1), stream.epoch(1), strict=True):
        pairs = zip(ours, plain_step, strict=True)
        assert all(a.labelled.numbers.tolist() == b.labelled.numbers.tolist() for a, b in pairs)


def test_augmentation_follows_the_seed(augmented: LabelledStream) -> None:
    assert words(replace(augmented, seed=8), 0) != words(augmented, 0)


def test_the_share_of_rows_that_change_is_the_probability(stream: LabelledStream) -> None:
    def mark(given: Sequence[str], generators: Sequence[Random]) -> list[str]:
        return [f"{text.split()[0]} {text.split()[0]}" for text in given]

    changed = replace(stream, augmentation=Augmentation(at_once(mark), 0.3, encode_words))
    whole = words(stream, 0)
    epochs = [words(changed, epoch) for epoch in range(5)]
    shares = [sum(found[row] != whole[row] for row in whole) / ROWS for found in epochs]
    # 515 draws: the standard deviation of the mean is 0.02.
    assert np.mean(shares) == pytest.approx(0.3, abs=0.08)
    assert len(set(shares)) > 1


def test_the_second_text_of_a_pair_is_encoded_unchanged(stream: LabelledStream, rows: Rows) -> None:
    seen: list[tuple[str, str]] = []

    def encode(given: Sequence[str], pairs: Sequence[str] | None) -> Encoded:
        seen.extend(zip((text.split("-")[0] for text in given), pairs or (), strict=True))
        return encode_words(given)

    paired = replace(rows, pairs=[f"짝 {row}" for row in range(ROWS)])
    changed = replace(stream, rows=paired, augmentation=Augmentation(at_once(delete_words), 1.0, encode))
    assert sorted(visited(changed, 0)) == list(range(ROWS))
    assert sorted(seen) == sorted((str(row), f"짝 {row}") for row in range(ROWS))


def test_an_augmenter_that_loses_a_text_is_noticed(stream: LabelledStream) -> None:
    def lose(given: Sequence[str], generators: Sequence[Random]) -> list[str]:
        return list(given)[1:]

    with pytest.raises(ValueError, match="zip"):
        steps(replace(stream, augmentation=Augmentation(at_once(lose), 1.0, encode_words)), 0)


def test_a_rejected_text_leaves_the_row_as_it_was(stream: LabelledStream) -> None:
    def first_word(given: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
        texts = [text.split()[0] for text in given]
        return [Rejected(text, "too short") if int(text.split("-")[0]) % 2 else text for text in texts]

    whole = words(stream, 0)
    changed = words(replace(stream, augmentation=Augmentation(at_once(first_word), 1.0, encode_words)), 0)
    assert changed == {row: tokens if row % 2 else tokens[:1] for row, tokens in whole.items()}


def test_the_texts_of_the_data_stay_as_they_were(augmented: LabelledStream) -> None:
    steps(augmented, 0)
    assert augmented.rows.texts == texts()
