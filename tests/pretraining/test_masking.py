"""Masks: shares, special tokens, whole eojeol, and that an epoch is a pure function of its number."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import BertTokenizer, PreTrainedTokenizerFast

from kexp.builtin.backbones import SPECIAL_TOKENS, cased_wordpiece
from kexp.data.encoding import Encoded, frame
from kexp.data.labelled_stream import Collator
from kexp.data.tokenising import tokenise
from kexp.pretraining.masking import IGNORED, MaskedStream, Masking, eojeol, make_masking
from kexp.seeds import generator

TEXTS = [
    f"{number}번째로 본 영화인데, 배우가 {word} 연기했다! ㅋㅋ"
    for number in range(60)
    for word in ("훌륭히", "겨우", "못")
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    characters = sorted({character for text in TEXTS for character in text if not character.isspace()})
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)]
    return cased_wordpiece({piece: number for number, piece in enumerate(pieces)})


def encoded(texts: list[str], tokenizer: PreTrainedTokenizerFast, pairs: list[str] | None = None, length: int = 40):
    second = None if pairs is None else tokenise(pairs, tokenizer)
    return frame(tokenise(texts, tokenizer), second, tokenizer, max_length=length, truncation="right")


def words(texts: list[str], tokenizer: PreTrainedTokenizerFast, pairs: list[str] | None = None, length: int = 40):
    return eojeol(texts, pairs, tokenizer, max_length=length, truncation="right", joint="")


def masked(masking: Masking, rows: Encoded, draw: int = 0):
    return masking(rows.tokens.values, generator(draw, "mask"))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("probability", [0.15, 0.4])
def test_the_share_of_masked_tokens_and_their_replacement_are_those_of_bert(
    tokenizer: BertTokenizer, whole: bool, probability: float
) -> None:
    rows = encoded(TEXTS, tokenizer)
    masking = make_masking(rows, words(TEXTS, tokenizer) if whole else None, tokenizer, probability)
    before = rows.tokens.values
    special = np.isin(before, tokenizer.all_special_ids)
    chosen = become_mask = same = 0
    draws = 60
    for draw in range(draws):
        ids, labels = masked(masking, rows, draw)
        picked = labels != IGNORED
        assert not (picked & special).any()
        assert (ids[~picked] == before[~picked]).all()
        assert (labels[picked] == before[picked]).all()
        assert not np.isin(ids[picked & (ids != tokenizer.mask_token_id)], tokenizer.all_special_ids).any()
        chosen += picked.sum()
        become_mask += (ids[picked] == tokenizer.mask_token_id).sum()
        same += (ids[picked] == before[picked]).sum()
    assert chosen / (draws * (~special).sum()) == pytest.approx(probability, rel=0.03)
    assert become_mask / chosen == pytest.approx(0.8, abs=0.01)
    # One of the ordinary tokens that may come instead is the token itself.
    assert same / chosen == pytest.approx(0.1 + 0.1 / (len(tokenizer) - 5), abs=0.01)


def test_an_eojeol_is_masked_as_a_whole_or_not_at_all(tokenizer: BertTokenizer) -> None:
    rows = encoded(TEXTS, tokenizer)
    masking = make_masking(rows, words(TEXTS, tokenizer), tokenizer, 0.3)
    _, labels = masked(masking, rows)
    sizes = set()
    for number, text in enumerate(TEXTS):
        picked = iter((labels[rows.tokens.offsets[number] : rows.tokens.offsets[number + 1]] != IGNORED)[1:-1].tolist())
        # What transformers makes of every word alone are the pieces that stand in the row, one word after the other.
        for word in text.split():
            pieces = [next(picked) for _ in tokenizer.tokenize(word)]
            assert len(set(pieces)) == 1, (text, word)
            sizes.add(len(pieces))
        assert next(picked, None) is None
    assert max(sizes) > 3


def test_eojeol_of_pairs_and_of_texts_that_are_cut_do_not_run_together(tokenizer: BertTokenizer) -> None:
    texts, pairs = ["영화 영화 영화"] * 3, ["배우 연기"] * 3
    rows, found = encoded(texts, tokenizer, pairs), words(texts, tokenizer, pairs)
    assert (rows.tokens.offsets == found.tokens.offsets).all()
    units = make_masking(rows, found, tokenizer, 0.5).units
    one = units[rows.tokens.offsets[0] : rows.tokens.offsets[1]]
    ids = rows.tokens.row(0)
    # Five words and three special tokens, each a unit; no unit is in two rows.
    assert len(set(one.tolist())) == 8
    assert len(set(units.tolist())) == 24
    assert [int(unit) for unit in np.unique(one[np.isin(ids, tokenizer.all_special_ids)])] == [0, 4, 7]
    short, cut = encoded(TEXTS, tokenizer, length=9), words(TEXTS, tokenizer, length=9)
    assert (short.tokens.offsets == cut.tokens.offsets).all()


@pytest.mark.parametrize("white", [" ", "\u3000", "\n", "\t ", "  "])
def test_any_white_space_divides_eojeol_and_punctuation_does_not(tokenizer: BertTokenizer, white: str) -> None:
    text = f"{white}영화,배우!{white}연기{white}"
    found = words([text], tokenizer).tokens.row(0)[1:-1]
    assert (found - found[0]).tolist() == [
        number for number, word in enumerate(text.split()) for _ in tokenizer.tokenize(word)
    ]


def stream(tokenizer: PreTrainedTokenizerFast, batch_size: int = 8) -> MaskedStream:
    rows = encoded(TEXTS, tokenizer)
    masking = make_masking(rows, None, tokenizer, 0.15)
    assert tokenizer.pad_token_id is not None
    return MaskedStream(rows, masking, Collator(tokenizer.pad_token_id, True), 3, batch_size)


def test_masks_change_with_the_epoch_and_any_step_can_be_returned_to(tokenizer: BertTokenizer) -> None:
    rows = stream(tokenizer)
    whole = [batch for (batch,) in rows.epoch(1)]
    assert len(whole) == rows.steps_per_epoch() == 23
    tail = [batch for (batch,) in rows.epoch(1, 20)]
    for one, other in zip(whole[20:], tail, strict=True):
        assert (one.labelled.labels == other.labelled.labels).all()
        assert (one.labelled.inputs.ids == other.labelled.inputs.ids).all()
    masks = [np.concatenate([b.labelled.labels[b.labelled.labels >= 0] for (b,) in rows.epoch(n)]) for n in (0, 1)]
    assert len(masks[0]) != len(masks[1]) or (masks[0] != masks[1]).any()


def test_every_text_is_in_one_batch_and_every_token_has_a_label(tokenizer: BertTokenizer) -> None:
    seen = []
    for (batch,) in stream(tokenizer).epoch(0):
        inputs, labels = batch.labelled.inputs, batch.labelled.labels
        assert labels.shape == inputs.ids.shape
        whole = np.where(labels == IGNORED, inputs.ids, labels)
        rows = np.split(whole, np.cumsum(inputs.lengths)[:-1])
        seen += [tokenizer.decode(row[1:-1]) for row in rows]
        assert batch.labelled.tokens == inputs.lengths.sum()
    expected = [tokenizer.decode(encoded(TEXTS, tokenizer).tokens.row(number)[1:-1]) for number in range(len(TEXTS))]
    assert sorted(seen) == sorted(expected)
