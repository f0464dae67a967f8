from __future__ import annotations

import hashlib
import itertools
import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.data.rows import Rows
from kexp.data.texts import MappedTexts, Texts, chunks_of

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LISTS = st.lists(WORDS, max_size=30)


def in_parts(texts: list[str], size: int) -> Texts:
    """Return texts in several arrays, one of them a part of a longer one."""
    parts = [pa.array(["앞", *texts[at : at + size]], pa.large_string()).slice(1) for at in range(0, len(texts), size)]
    return Texts(parts)


@given(LISTS, st.integers(1, 7), st.data())
def test_texts_are_a_sequence_as_a_list_is(texts: list[str], size: int, data: st.DataObject) -> None:
    held = in_parts(texts, size)
    assert (len(held), list(held), held) == (len(texts), texts, texts)
    assert texts == held
    assert held == Texts.of(texts)
    assert held != [*texts, "x"]
    assert [*texts, "x"] != held
    for index in range(-len(texts), len(texts)):
        assert held[index] == texts[index]
    for index in (len(texts), -len(texts) - 1):
        with pytest.raises(IndexError):
            held[index]
    cut = data.draw(st.slices(len(texts)))
    assert list(held[cut]) == texts[cut]
    rows = np.asarray(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=20) if texts else st.just([])), int)
    taken, expected = held.take(rows), [texts[row] for row in rows]
    assert list(taken) == expected == list(taken.copied()) == [*map(taken.__getitem__, range(len(rows)))]
    chunk = data.draw(st.integers(1, 9))
    parts = [expected[start : start + chunk] for start in range(0, len(expected), chunk)]
    assert list(taken.chunks(chunk)) == parts == list(chunks_of(expected, chunk))
    again = np.arange(len(rows))[::-2]
    assert list(taken.take(again)) == expected[::-2]
    assert list(Texts.joined([held, taken, held])) == [*texts, *expected, *texts]
    assert list(MappedTexts(taken, lambda some: [text * 2 for text in some])) == [text * 2 for text in expected]


@settings(deadline=None)
@given(LISTS, st.integers(1, 7))
def test_texts_of_a_mapped_file_are_the_same(texts: list[str], size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("kexp.data.texts.LET_GO", 3)
        mapped = Texts.mapped(in_parts(texts, size).arrays(size), Path(folder))
        assert not [*Path(folder).iterdir()]
        several = Texts.joined([mapped, mapped[::-1], Texts.of(["끝"])])
        expected = [*texts, *texts[::-1], "끝"]
        assert list(several) == expected == [*map(several.__getitem__, range(len(expected)))]
        assert list(several.chunks(2)) == [expected[start : start + 2] for start in range(0, len(expected), 2)]
        assert pickle.loads(pickle.dumps(several)) == expected == several.copied()


def test_other_things_are_not_equal_to_texts() -> None:
    assert Texts.of(["가"]) != "가"
    assert Texts.of("가나") == ["가", "나"]
    assert Texts.of([]) == []
    assert repr(Texts.of("가나다라")) == "Texts(['가', '나', '다', ...], 4 rows)"


def test_taken_texts_hold_no_others_once_they_are_copied() -> None:
    texts = Texts.of(["가" * 1000] * 100)
    few = texts.take(np.array([3, 70]))
    assert few.nbytes < 7000
    assert few.copied() == few
    assert few.copied().nbytes < 7000
    assert sum(array.get_total_buffer_size() for array in few.copied().arrays()) < 7000


ROWS = st.lists(st.tuples(WORDS, WORDS, WORDS, st.integers(-1, 1)), min_size=1, max_size=20)


@given(ROWS, st.booleans(), st.booleans())
def test_digests_and_keys_are_those_of_the_texts_one_by_one(
    rows: list[tuple[str, str, str, int]], paired: bool, viewed: bool
) -> None:
    texts, pairs, views, labels = map(list, zip(*rows, strict=True))
    ids, names = np.array(labels, np.int64), ("가", "b")
    digest = hashlib.blake2b(ids.tobytes(), digest_size=8)
    for text in itertools.chain(texts, pairs if paired else ()):
        digest.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    keys = [
        hashlib.blake2b(
            "".join(
                f"{len(part)} {part}"
                for part in ((*names, "")[label], text, pair if paired else "", view if viewed else "")
            ).encode(),
            digest_size=8,
        ).digest()
        for text, pair, view, label in rows
    ]
    for of in (list, lambda column: in_parts(column, 3)):
        made = Rows(of(texts), of(pairs) if paired else None, ids, np.arange(len(ids)), of(views) if viewed else None)
        assert made.digest() == digest.hexdigest()
        assert made.keys(partial(SingleLabel().decode, names=names)).tobytes() == b"".join(keys)
        back = np.arange(len(ids))[::-1]
        assert made.take(back).take(back).digest() == made.digest()


def test_half_surrogates_in_lists_have_a_digest() -> None:
    rows = Rows(["\ud83d"], None, np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert rows.digest() != Rows(["가"], None, rows.labels, rows.numbers).digest()
    assert len(rows.keys(lambda labels: ["a"])) == 1
