"""Encoding against the tokenizers' own output, token by token, and a cache that can be lost without harm."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kexp.builtin.backbones import cased_wordpiece, wordpiece_vocabulary
from kexp.data import encoding, token_file, tokenising
from kexp.data.batching import gather
from kexp.data.encoding import encode, special_tokens, token_counts, unknown_rows
from kexp.data.ragged import Ragged, cut, offsets_of, ranges
from kexp.data.texts import MappedTexts
from kexp.data.tokenising import TokenCache, tokenise, tokenised
from kexp.errors import KexpError
from kexp.model.token_rows import TokenRows

SYLLABLES = [chr(0xAC00 + 37 * number) for number in range(40)]


def korean(words: int, draw: random.Random) -> str:
    return " ".join("".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(words))


DRAW = random.Random(0)
TEXTS = [korean(DRAW.randint(0, 14), DRAW) for _ in range(60)]
TEXTS += ["", " ", "[SEP] 안 [PAD]", "😀😀", "가" * 200, "abc, def!", "<s></s>", "x" * 120]
PAIRS = [korean(DRAW.randint(0, 14), DRAW) for _ in TEXTS]


@pytest.fixture(scope="module")
def bert() -> PreTrainedTokenizerFast:
    return cased_wordpiece(wordpiece_vocabulary(TEXTS + PAIRS, 250))


def character_tokenizer(single: str, pair: str) -> PreTrainedTokenizerFast:
    """Make a tokenizer of single characters with the special tokens of the templates."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*special, *SYLLABLES, *"abcdefx"])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Split("", "isolated")])
    backend.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def roberta() -> PreTrainedTokenizerFast:
    return character_tokenizer("<s> $A </s>", "<s> $A </s> </s> $B </s>")


@pytest.fixture(scope="module")
def markers_last() -> PreTrainedTokenizerFast:
    """The order of XLNet: nothing before the text."""
    return character_tokenizer("$A </s> <s>", "$A </s> $B </s> <s>")


@pytest.fixture(params=["bert", "roberta", "markers_last"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return request.getfixturevalue(request.param)


def encoded_rows(encoded: encoding.Encoded) -> list[list[int]]:
    return [encoded.tokens.row(number).tolist() for number in range(len(encoded))]


def expected_rows(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None, length: int, side: str
) -> list[list[int]]:
    """Let the tokenizer truncate by itself; lists, since it takes an empty second string for none."""
    tokenizer.truncation_side = side
    rows = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        truncation=True,
        max_length=length,
        split_special_tokens=True,
    )
    return rows["input_ids"]


# --- against the tokenizers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("length", [3, 4, 7, 16, 33, 512])
def test_single_texts_are_encoded_as_the_tokenizer_does_it(
    tokenizer: PreTrainedTokenizerFast, length: int, side: str
) -> None:
    expected = expected_rows(tokenizer, TEXTS, None, length, side)
    encoded = encode(TEXTS, None, tokenizer, max_length=length, truncation=side, tokenise=tokenise)
    assert encoded_rows(encoded) == expected
    assert encoded.boundaries is None


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("length", [5, 6, 9, 16, 33, 512])
def test_pairs_are_encoded_as_the_tokenizer_does_it(tokenizer: PreTrainedTokenizerFast, length: int, side: str) -> None:
    expected = expected_rows(tokenizer, TEXTS, PAIRS, length, side)
    encoded = encode(TEXTS, PAIRS, tokenizer, max_length=length, truncation=side, tokenise=tokenise)
    assert encoded_rows(encoded) == expected


@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_of_all_lengths_lose_the_tokens_that_the_tokenizer_takes_away(
    roberta: PreTrainedTokenizerFast, side: str
) -> None:
    sizes = [(first, second) for first in range(9) for second in range(9)]
    texts = ["".join(SYLLABLES[:first]) for first, _ in sizes]
    pairs = ["".join(SYLLABLES[20 : 20 + second]) for _, second in sizes]
    for length in range(5, 22):
        expected = expected_rows(roberta, texts, pairs, length, side)
        encoded = encode(texts, pairs, roberta, max_length=length, truncation=side, tokenise=tokenise)
        differing = [
            (size, found, wanted)
            for size, found, wanted in zip(sizes, encoded_rows(encoded), expected, strict=True)
            if found != wanted
        ]
        assert differing == [], f"max_length {length}"


@pytest.mark.parametrize("paired", [False, True])
def test_lengths_before_cutting_are_those_of_the_tokenizer(tokenizer: PreTrainedTokenizerFast, paired: bool) -> None:
    pairs = PAIRS if paired else None
    expected = [len(row) for row in tokenizer(TEXTS, pairs, split_special_tokens=True)["input_ids"]]
    encoded = encode(TEXTS, pairs, tokenizer, max_length=9, truncation="right", tokenise=tokenise)
    assert encoded.full_lengths is not None
    assert encoded.full_lengths.tolist() == expected
    some = np.array([2, 0])
    assert encoded.take(some).full_lengths.tolist() == [expected[2], expected[0]]  # type: ignore[union-attr]
    assert encoded.truncated == sum(length > 9 for length in expected)


@pytest.mark.parametrize("paired", [False, True])
def test_token_types_are_those_of_the_tokenizer(bert: PreTrainedTokenizerFast, paired: bool) -> None:
    pairs = PAIRS if paired else None
    for side in ("right", "left"):
        bert.truncation_side = side
        options = {"truncation": True, "padding": "longest", "return_tensors": "np", "split_special_tokens": True}
        expected = bert(TEXTS, pairs, max_length=18, **options)
        encoded = encode(TEXTS, pairs, bert, max_length=18, truncation=side, tokenise=tokenise)
        rows = gather(encoded, np.arange(len(TEXTS)), token_types=True)
        found = TokenRows.of(rows, torch.device("cpu")).padded(0)
        assert set(found) == set(expected)
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{name}, cut at the {side}")


def test_special_tokens_are_learnt_from_the_tokenizer(
    bert: PreTrainedTokenizerFast, roberta: PreTrainedTokenizerFast, markers_last: PreTrainedTokenizerFast
) -> None:
    cls, sep = bert.cls_token_id, bert.sep_token_id
    found = [special_tokens(tokenizer) for tokenizer in (bert, roberta, markers_last)]
    assert [(special.prefix, special.middle, special.suffix) for special in found] == [
        ((cls,), (sep,), (sep,)),
        ((0,), (2, 2), (2,)),
        ((), (2,), (2, 0)),
    ]


@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_truncated_rows_are_counted(tokenizer: PreTrainedTokenizerFast, pairs: list[str] | None) -> None:
    whole = tokenizer(TEXTS, pairs, truncation=False, split_special_tokens=True)["input_ids"]
    for length in (6, 20, 512):
        encoded = encode(TEXTS, pairs, tokenizer, max_length=length, truncation="right", tokenise=tokenise)
        assert encoded.truncated == sum(len(row) > length for row in whole)


def test_what_a_tokenizer_was_told_before_does_not_matter(bert: PreTrainedTokenizerFast) -> None:
    fresh = encode(TEXTS, PAIRS, bert, max_length=40, truncation="right", tokenise=tokenise)
    bert(TEXTS, truncation=True, max_length=5, padding="max_length")
    again = encode(TEXTS, PAIRS, bert, max_length=40, truncation="right", tokenise=tokenise)
    assert encoded_rows(again) == encoded_rows(fresh)


def test_long_corpora_are_tokenised_in_chunks(bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokenise(TEXTS, bert)
    monkeypatch.setattr(tokenising, "CHUNK", 7)
    parts = tokenise(TEXTS, bert)
    np.testing.assert_array_equal(parts.values, whole.values)
    np.testing.assert_array_equal(parts.offsets, whole.offsets)


def test_no_rows_are_encoded_to_no_rows(bert: PreTrainedTokenizerFast) -> None:
    for pairs in (None, []):
        encoded = encode([], pairs, bert, max_length=8, truncation="right", tokenise=tokenise)
        assert len(encoded) == 0
        assert encoded.truncated == 0


@pytest.mark.parametrize("pairs", [None, PAIRS])
@pytest.mark.parametrize("truncation", ["right", "left"])
def test_rows_that_are_framed_when_they_are_asked_for_are_those_of_all(
    bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch, pairs: list[str] | None, truncation: str
) -> None:
    encoded = encode(TEXTS, pairs, bert, max_length=9, truncation=truncation, tokenise=tokenise)
    whole = encoded.tokens.whole()
    assert encoded.tokens.lengths.tolist() == whole.lengths.tolist()
    assert encoded.tokens.offsets.tolist() == whole.offsets.tolist()
    some = np.random.default_rng(0).integers(0, len(TEXTS), 30)
    assert encoded_rows(encoded.take(some)) == [whole.row(number).tolist() for number in some]
    rows = gather(encoded, some, token_types=True)
    assert rows.ids.tolist() == np.concatenate([whole.row(number) for number in some]).tolist()
    assert rows.types is not None
    monkeypatch.setattr(encoding, "CHUNK", 4)
    assert np.concatenate([part.values for part in encoded.parts()]).tolist() == whole.values.tolist()
    expected = [int((whole.row(number) == bert.unk_token_id).sum()) for number in range(len(TEXTS))]
    assert token_counts(encoded, bert)[1].tolist() == expected


@pytest.mark.parametrize(("pairs", "length"), [(None, 2), (PAIRS, 3)])
def test_a_length_that_special_tokens_fill_is_refused_with_the_key(
    bert: PreTrainedTokenizerFast, pairs: list[str] | None, length: int
) -> None:
    with pytest.raises(KexpError) as caught:
        encode(TEXTS, pairs, bert, max_length=length, truncation="right", tokenise=tokenise)
    assert str(caught.value) == (f"training.max_length: {length} leaves no token beside the special tokens; use more")


# --- ragged arrays ---------------------------------------------------------------------------------------------------


def ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    flat = [value for row in rows for value in row]
    return Ragged(np.asarray(flat, np.int32), offsets_of(np.asarray([len(row) for row in rows], np.int64)))


def test_ragged_rows_have_their_lengths() -> None:
    rows = ragged([[1, 2], [], [3]])
    assert len(rows) == 3
    assert rows.lengths.tolist() == [2, 0, 1]
    assert [rows.row(number).tolist() for number in range(3)] == [[1, 2], [], [3]]


def test_cutting_takes_tokens_from_the_end_that_is_named() -> None:
    rows, lengths = ragged([[1, 2, 3], [4], [], [5, 6]]), np.array([2, 1, 0, 0])
    right, left = cut(rows, lengths, "right"), cut(rows, lengths, "left")
    assert [right.row(number).tolist() for number in range(4)] == [[1, 2], [4], [], []]
    assert [left.row(number).tolist() for number in range(4)] == [[2, 3], [4], [], []]


def test_ranges_are_those_of_a_plain_loop() -> None:
    starts, lengths = np.array([5, 0, 9, 2]), np.array([2, 0, 3, 1])
    expected = [start + step for start, length in zip(starts, lengths, strict=True) for step in range(length)]
    assert ranges(starts, lengths).tolist() == expected
    assert ranges(starts[:0], lengths[:0]).tolist() == []


# --- the cache -------------------------------------------------------------------------------------------------------

Counted = Callable[[], int]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Return a function that tells how often texts were tokenised."""
    made = []

    def counting(texts: Sequence[str], *arguments: Any) -> Iterator[Any]:
        made.append(len(texts))
        return tokenised(texts, *arguments)

    monkeypatch.setattr(tokenising, "tokenised", counting)
    return lambda: len(made)


def same(first: Ragged, second: Ragged) -> bool:
    return np.array_equal(first.values, second.values) and np.array_equal(first.offsets, second.offsets)


def test_the_second_time_is_read_from_disk(tmp_path: Path, bert: PreTrainedTokenizerFast, calls: Counted) -> None:
    cache = TokenCache(tmp_path / "made" / "when needed")
    first, second = cache.tokenise(TEXTS, bert), TokenCache(cache.folder).tokenise(TEXTS, bert)
    assert calls() == 1
    assert same(first, second)
    assert same(first, tokenise(TEXTS, bert))
    assert second.values.dtype == np.int32
    assert second.offsets.dtype == np.int64
    assert [path.suffix for path in cache.folder.iterdir()] == [".npy"]


def test_encoding_through_the_cache_gives_the_same_rows(tmp_path: Path, bert: PreTrainedTokenizerFast) -> None:
    plain = encode(TEXTS, PAIRS, bert, max_length=20, truncation="left", tokenise=tokenise)
    for _ in range(2):
        kept = encode(TEXTS, PAIRS, bert, max_length=20, truncation="left", tokenise=TokenCache(tmp_path).tokenise)
        assert encoded_rows(kept) == encoded_rows(plain)


def test_other_texts_are_other_entries(tmp_path: Path, bert: PreTrainedTokenizerFast, calls: Counted) -> None:
    cache = TokenCache(tmp_path)
    for texts in (["가", "나"], ["나", "가"], ["가나"], ["가", "나", ""], ["가"]):
        assert len(cache.tokenise(texts, bert)) == len(texts)
    assert calls() == 5


def test_one_text_is_never_taken_for_two(tmp_path: Path, bert: PreTrainedTokenizerFast) -> None:
    cache = TokenCache(tmp_path)
    for separator in ("\x1e", "\x1f", "\0", "\n"):
        assert len(cache.tokenise([f"가{separator}나"], bert)) == 1
        assert len(cache.tokenise(["가", "나"], bert)) == 2


def test_another_tokenizer_has_entries_of_its_own(
    tmp_path: Path, bert: PreTrainedTokenizerFast, calls: Counted
) -> None:
    cache = TokenCache(tmp_path)
    vocabulary = bert.get_vocab()
    first, second = sorted(vocabulary, key=vocabulary.get)[5:7]
    swapped = cased_wordpiece(
        dict(
            sorted(
                {**vocabulary, first: vocabulary[second], second: vocabulary[first]}.items(), key=lambda item: item[1]
            )
        )
    )
    one, other = cache.tokenise(TEXTS, bert), cache.tokenise(TEXTS, swapped)
    assert calls() == 2
    assert not same(one, other)
    assert same(cache.tokenise(TEXTS, bert), one)


def test_truncation_that_was_switched_on_before_does_not_change_the_entry(
    tmp_path: Path, bert: PreTrainedTokenizerFast, calls: Counted
) -> None:
    cache = TokenCache(tmp_path)
    first = cache.tokenise(TEXTS, bert)
    bert(TEXTS, truncation=True, max_length=5, padding="max_length")
    assert same(cache.tokenise(TEXTS, bert), first)
    assert calls() == 1


def damaged_entries(whole: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "no archive": b"tokens",
        "one array alone": whole[: len(whole) // 2],
        "without its end": whole[:-1],
        "zeros": bytes(len(whole)),
        "twice": whole[10:] + whole,
    }


@pytest.mark.parametrize("damage", damaged_entries(b""))
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path, bert: PreTrainedTokenizerFast, calls: Counted, damage: str
) -> None:
    cache = TokenCache(tmp_path)
    first = cache.tokenise(TEXTS, bert)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(damaged_entries(entry.read_bytes())[damage])
    told: list[str] = []
    again = TokenCache(tmp_path, told.append)
    assert same(again.tokenise(TEXTS, bert), first)
    assert same(again.tokenise(TEXTS, bert), first)
    assert calls() == 2
    message, *passing = told
    assert passing == [f"tokenising {len(TEXTS):,} texts…", ""]
    assert message.startswith(f"{entry} is damaged: ")
    assert message.endswith("; its texts are tokenised anew")
    assert [path.name for path in tmp_path.iterdir()] == [entry.name]


def test_any_flipped_bit_is_noticed_or_does_not_matter(tmp_path: Path, bert: PreTrainedTokenizerFast) -> None:
    cache = TokenCache(tmp_path)
    first = cache.tokenise(TEXTS[:2], bert)
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        entry.write_bytes(flipped)
        assert same(cache.tokenise(TEXTS[:2], bert), first), f"byte {place}"


def test_an_entry_never_runs_code(tmp_path: Path, bert: PreTrainedTokenizerFast, calls: Counted) -> None:
    cache = TokenCache(tmp_path)
    first = cache.tokenise(TEXTS, bert)
    (entry,) = tmp_path.iterdir()
    with entry.open("wb") as file:
        np.savez(file, values=np.array([{"pickled": True}], dtype=object), offsets=first.offsets)
    assert same(cache.tokenise(TEXTS, bert), first)
    assert calls() == 2


def test_tokenising_tells_how_many_texts_are_done(
    tmp_path: Path, bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenising, "CHUNK", 2)
    told: list[str] = []
    cache = TokenCache(tmp_path, told.append)
    texts = ["글"] * 5
    cache.tokenise(texts, bert)
    assert told == ["tokenising 5 texts…", "tokenising 2 of 5 texts…", "tokenising 4 of 5 texts…", ""]
    cache.tokenise(texts, bert)
    assert len(told) == 4


def test_the_entry_of_other_texts_is_never_taken(tmp_path: Path, bert: PreTrainedTokenizerFast) -> None:
    told: list[str] = []
    cache = TokenCache(tmp_path, told.append)
    first = cache.tokenise(TEXTS, bert)
    (entry,) = tmp_path.iterdir()
    cache.tokenise(["다른", "글"], bert)
    (other,) = (path for path in tmp_path.iterdir() if path != entry)
    other.replace(entry)
    assert same(cache.tokenise(TEXTS, bert), first)
    lasting = [line for line in told if line and not line.endswith("…")]
    assert lasting == [
        f"{entry} was made from something else: texts and tokenizer differ; its texts are tokenised anew"
    ]


def test_a_folder_that_cannot_be_made_does_no_harm(tmp_path: Path, bert: PreTrainedTokenizerFast) -> None:
    (tmp_path / "file").write_text("in the way")
    told: list[str] = []
    cache = TokenCache(tmp_path / "file" / "tokens", told.append)
    expected = tokenise(TEXTS, bert)
    assert same(cache.tokenise(TEXTS, bert), expected)
    assert same(cache.tokenise(TEXTS, bert), expected)
    # Whoever waits for the tokens every time reads why.
    lost = [line for line in told if line.startswith(str(tmp_path / "file" / "tokens"))]
    assert len(lost) == 2
    assert "Not a directory" in lost[0]
    assert "KEXP_CACHE_DIR" in lost[0]


def test_a_full_disk_costs_the_cache_only_and_leaves_nothing_behind(
    tmp_path: Path, bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(count: int) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(token_file, "_header", full)
    assert same(TokenCache(tmp_path).tokenise(TEXTS, bert), tokenise(TEXTS, bert))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mapped", [0, 2**40])
def test_large_entries_are_mapped_and_have_the_same_tokens(
    tmp_path: Path, bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch, mapped: int
) -> None:
    monkeypatch.setattr(token_file, "MAPPED", mapped)
    monkeypatch.setattr(tokenising, "CHUNK", 3)
    kept = TokenCache(tmp_path).tokenise(TEXTS, bert)
    assert isinstance(kept.values, np.memmap) == (mapped == 0)
    assert same(kept, tokenise(TEXTS, bert))
    (entry,) = tmp_path.iterdir()
    # What stands in the file is an array that NumPy reads.
    assert np.load(entry)[: len(kept.values)].tolist() == kept.values.tolist()


def test_an_entry_that_is_replaced_or_removed_while_it_is_mapped_stays_as_it_was(
    tmp_path: Path, bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_file, "MAPPED", 0)
    cache = TokenCache(tmp_path)
    kept = cache.tokenise(TEXTS, bert)
    (entry,) = tmp_path.iterdir()
    token_file.write(entry, "of other texts", iter([(np.zeros(9, np.int32), np.full(3, 3, np.int32))]))
    assert same(kept, tokenise(TEXTS, bert))
    entry.unlink()
    assert same(kept, tokenise(TEXTS, bert))


def test_texts_are_read_a_chunk_at_a_time(
    tmp_path: Path, bert: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenising, "CHUNK", 4)
    read: list[int] = []

    def few(some: Sequence[str]) -> list[str]:
        read.append(len(some))
        return list(some)

    TokenCache(tmp_path).tokenise(MappedTexts(TEXTS, few), bert)
    assert max(read) <= 4
    # Once for the key, once for the tokens.
    assert sum(read) == 2 * len(TEXTS)


# --- names of special tokens in texts --------------------------------------------------------------------------------


def tokens_of(tokenizer: PreTrainedTokenizerFast, text: str, joint: str = "") -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenise([text], tokenizer, joint).row(0).tolist())


@pytest.fixture
def words() -> PreTrainedTokenizerFast:
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "SEP", "영화", "최고"]
    return cased_wordpiece({token: number for number, token in enumerate(known)})


def test_the_name_of_a_special_token_in_a_text_is_text(words: PreTrainedTokenizerFast) -> None:
    assert tokens_of(words, "영화 [SEP] 최고") == ["영화", "[", "SEP", "]", "최고"]
    assert tokens_of(words, "[PAD]") == ["[", "[UNK]", "]"]
    # The tokenizer itself is as before, for those who use it otherwise.
    assert words.tokenize("영화 [SEP] 최고") == ["영화", "[SEP]", "최고"]


def test_the_special_token_between_joined_columns_stays_special(words: PreTrainedTokenizerFast) -> None:
    assert tokens_of(words, "영화 [SEP] 최고", " [SEP] ") == ["영화", "[SEP]", "최고"]
    assert tokens_of(words, "[CLS] 영화[SEP]최고", "[SEP]") == ["[", "[UNK]", "]", "영화", "[SEP]", "최고"]
    assert tokens_of(words, "영화 [SEP] 최고", " / ") == ["영화", "[", "SEP", "]", "최고"]


def test_a_piece_that_is_a_special_token_is_unknown_in_a_text() -> None:
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), ("</s>", 0.0), ("▁", -2.0), ("▁영화", -1.0), ("끝", -1.0), ("/", -9.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=1))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )
    assert "</s>" not in tokens_of(tokenizer, "영화</s>끝")
    assert tokens_of(tokenizer, "영화</s>끝")[-1] == "끝"
    assert "</s>" in tokens_of(tokenizer, "영화</s>끝", "</s>")


def test_the_cache_knows_what_columns_are_joined_with(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    cache = TokenCache(tmp_path)
    for joint, length in (("", 5), ("[SEP]", 3), ("", 5)):
        assert cache.tokenise(["영화 [SEP] 최고"], words, joint).lengths.tolist() == [length]


@pytest.mark.parametrize("paired", [False, True])
def test_rows_of_unknown_tokens_alone_are_counted(words: PreTrainedTokenizerFast, paired: bool) -> None:
    texts = ["영화 최고", "뷁", "영" * 101, "뷁 뷁 뷁", "", "뷁 영화"]
    pairs = ["뷁", "뷁", "뷁", "영화", "", "뷁"] if paired else None
    encoded = encode(texts, pairs, words, max_length=20, truncation="right", tokenise=tokenise)
    assert unknown_rows(encoded, words) == (2 if paired else 3)
