from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kexp.data import long_texts
from kexp.data.long_texts import heads
from kexp.data.tokenising import tokenise
from kexp.testing import STEADY, any_text, korean_texts, tiny_classifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

KOREAN = " ".join(korean_texts())
TOKENS = 16


def trained(kind: str) -> PreTrainedTokenizerFast:
    """Return a tokenizer of one of the common kinds, trained on some Korean sentences."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if kind == "wordpiece":
        return tiny_classifier()[1]
    if kind == "unigram":
        backend = Tokenizer(models.Unigram())
        backend.normalizer = normalizers.NFKC()
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
    else:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(use_regex=kind == "bytes")
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(korean_texts(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, "LONG", 60)


ODD = [
    KOREAN[:5000],
    "가" * 3000,
    "가" * 300 + " " + KOREAN[:3000],
    unicodedata.normalize("NFD", KOREAN[:3000]),
    "e\u0301 \u0301a " * 300,
    "영화\u3000정말\u00a0좋다\t!  ?! \x1c ㅋㅋ  " * 100,
    " " * 3000 + KOREAN[:500],
    KOREAN[:100] + " " * 3000 + KOREAN[:500],
    "!? " * 500,
    "[SEP] 영화 [CLS] " * 100,
    "👨‍👩‍👧‍👦 가족 ❤️ " * 100,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bytes", "bytes without words"])
def test_cutting_changes_no_kept_token(kind: str) -> None:
    tokenizer = trained(kind)

    def same(text: str) -> None:
        (cut,) = heads([text], tokenizer, TOKENS)
        assert text.startswith(cut)
        whole, found = tokenise([text, cut], tokenizer).row(0), tokenise([text, cut], tokenizer).row(1)
        assert np.array_equal(found, whole[: len(found)])
        # One token more than is kept, so that the row still counts as cut.
        assert len(found) > TOKENS or cut == text

    for text in ODD:
        same(text)
    steady = settings(
        STEADY, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
    )
    steady(given(st.lists(any_text(), min_size=8, max_size=60).map(" ".join))(same))()


def test_long_texts_are_cut_where_that_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    short = "짧은 글"
    for kind in ("wordpiece", "unigram", "bytes"):
        whole, cut = heads([short, KOREAN], trained(kind), TOKENS)
        assert whole == short
        assert len(cut) <= 960
    # Without words a merge may reach over a space.
    assert heads([KOREAN], trained("bytes without words"), TOKENS) == [KOREAN]
    # There is nowhere to cut.
    assert heads(["가" * 3000], trained("wordpiece"), TOKENS) == ["가" * 3000]


@pytest.mark.shared
def test_cutting_changes_no_kept_token_of_a_real_tokenizer(shared: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "ko-mini")
    cut = heads(ODD, tokenizer, TOKENS)
    assert len(cut[0]) < len(ODD[0])
    for whole, found in zip(
        map(tokenise([*ODD], tokenizer).row, range(len(ODD))),
        map(tokenise(cut, tokenizer).row, range(len(ODD))),
        strict=True,
    ):
        assert np.array_equal(found, whole[: len(found)])
