"""The gate, test by test, on Korean examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kexp_backtranslation.gate import Gate, Judge

ORIGINAL = "이 영화는 정말 재미있고 배우들의 연기도 훌륭했어요"
GOOD = "정말 재미있는 영화이고 배우들 연기도 훌륭했습니다"


def verdict(original: str, paraphrase: str, korean: bool = True, **options: Any) -> str | None:
    (found,) = Judge(Gate(**options), korean=korean).judge([(original, paraphrase)])
    return found


def test_a_good_paraphrase_passes() -> None:
    assert verdict(ORIGINAL, GOOD) is None


@pytest.mark.parametrize("paraphrase", ["", "  ", "...!?", "♥♥"])
def test_empty(paraphrase: str) -> None:
    assert verdict(ORIGINAL, paraphrase, min_characters=0) == "empty"


def test_too_short() -> None:
    # UDA's authors ask for ten characters on both sides.
    assert verdict("정말 재밌는 영화", "아주 재미있는 영화예요") == "too short"
    assert verdict("아주 재미있는 영화예요", "정말 재밌는 영화") == "too short"
    assert verdict("정말 재밌는 영화", "정말 재미있는 영화", min_characters=9) is None
    assert Judge(Gate(), korean=True).hopeless("짧은 글") == "too short"
    assert Judge(Gate(min_characters=0), korean=True).hopeless("짧은 글") is None


@pytest.mark.parametrize(("length", "found"), [(20, None), (10, None), (30, None), (31, "other length")])
def test_other_length(length: int, found: str | None) -> None:
    # Half of the original's 20 characters is allowed, and no more.
    original = "가나다라마바사아자차카타파하거너더러머버"
    paraphrase = ("버머러더너거하파타카차자아사바마라다나가" + "겨녀뎌려며벼셔여져쳐켜텨")[:length]
    assert len(original) == 20
    assert verdict(original, paraphrase, min_chrf=0, unchanged=False) == found


def test_shorter_than_half() -> None:
    assert verdict(ORIGINAL, "영화 정말 재미있어요", min_chrf=0) == "other length"
    assert verdict(ORIGINAL, "영화 정말 재미있어요", min_chrf=0, max_length_difference=0.7) is None


@pytest.mark.parametrize(
    "paraphrase", [ORIGINAL, f"{ORIGINAL}!", ORIGINAL.replace(" ", ""), f"“{ORIGINAL}”", ORIGINAL.replace("는", "는,")]
)
def test_unchanged(paraphrase: str) -> None:
    assert verdict(ORIGINAL, paraphrase) == "unchanged"
    assert verdict(ORIGINAL, paraphrase, unchanged=False) is None


def test_repetition() -> None:
    looped = "이 영화는 정말 정말 정말 정말 정말 재미있어요"
    assert verdict(ORIGINAL, looped) == "repetition"
    assert verdict(ORIGINAL, looped, max_repeats=5) is None
    phrase = "정말 재미있고 정말 재미있고 정말 재미있고 정말 재미있고"
    assert verdict(ORIGINAL, phrase, max_repeats=3) == "repetition"
    # Who laughs in the original may laugh in the paraphrase.
    assert verdict(f"{ORIGINAL} ㅋㅋㅋㅋㅋㅋㅋ", f"{GOOD} ㅋㅋㅋㅋㅋㅋ") is None
    assert verdict(ORIGINAL, f"{GOOD} ㅋㅋㅋㅋㅋㅋ") == "repetition"


def test_other_language() -> None:
    english = "This movie was really fun to watch"
    assert verdict(ORIGINAL, english, min_chrf=0) == "other language"
    assert verdict(ORIGINAL, english, min_chrf=0, korean=False) is None
    assert verdict(ORIGINAL, english, min_chrf=0, min_hangul=0) is None
    # A text that is mostly English itself is not asked to become Korean.
    assert verdict("Best movie ever made, 최고의 영화", "Best movie ever made, 정말 최고") is None


def test_lost_number() -> None:
    original = "별점 5점 만점에 3점을 주고 싶은 영화입니다"
    assert verdict(original, "5점 만점 가운데 3점을 주고 싶은 영화네요") is None
    assert verdict(original, "5점 만점 가운데 4점을 주고 싶은 영화네요") == "lost number"
    assert verdict(original, "5점 만점 가운데 4점을 주고 싶은 영화네요", numbers=False) is None


def test_negation() -> None:
    original = "이 영화는 전혀 재미있지 않았습니다"
    assert verdict(original, "이 영화는 하나도 재미가 없었습니다") is None
    assert verdict(original, "이 영화는 정말 재미있었습니다") == "lost negation"
    assert verdict("이 영화는 정말 재미있었습니다", original) == "added negation"
    assert verdict(original, "이 영화는 정말 재미있었습니다", negation=False) is None
    assert verdict(original, "이 영화는 정말 재미있었습니다", korean=False) is None


def test_dissimilar() -> None:
    other = "어제 먹은 김치찌개 맛집 추천해 드립니다 여러분"
    assert verdict(ORIGINAL, other) == "dissimilar"
    assert verdict(ORIGINAL, other, min_chrf=0) is None
    assert verdict(ORIGINAL, GOOD, min_chrf=55) == "dissimilar"


def test_counts_by_reason_and_says_so() -> None:
    judge = Judge(Gate(), korean=True)
    judge.judge([(ORIGINAL, GOOD), (ORIGINAL, ORIGINAL), (ORIGINAL, ORIGINAL), (ORIGINAL, "")])
    assert judge.counts == {"accepted": 1, "unchanged": 2, "empty": 1}
    assert judge.summary() == "1 of 4 paraphrases accepted; rejected: unchanged 2, empty 1"


def test_problems_and_warnings(tmp_path: Path) -> None:
    assert list(Gate().problems()) == list(Gate().warnings()) == []
    (problem,) = Gate(classifier=tmp_path / "none").problems()
    assert problem.path == "classifier"
    (warning,) = Gate(min_chrf=80).warnings()
    assert warning.path == "min_chrf"


# --- agreement with a classifier -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Bert that says 1 where it reads "좋다": its weights are set by hand."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("classifier")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "좋다", "나쁘다", "영화"]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=32, num_labels=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    texts = torch.tensor([[2, 6, 4, 3], [2, 6, 5, 3], [2, 4, 6, 3], [2, 5, 6, 3], [2, 4, 1, 3], [2, 5, 1, 3]])
    for _ in range(40):
        loss = model(input_ids=texts, labels=torch.tensor([1, 0] * 3)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


def test_another_prediction(classifier: Path) -> None:
    gate = Gate(classifier=classifier, min_characters=1, min_chrf=0, max_length_difference=9)
    assert list(gate.problems()) == []
    judge = Judge(gate, korean=True, device="cpu")
    pairs = [("영화 좋다", "좋다 그 영화"), ("영화 좋다", "나쁘다 그 영화"), ("영화 나쁘다", "나쁘다 " * 4 + "영화")]
    assert judge.judge([*pairs, ("영화 좋다", "")]) == [None, "another prediction", None, "empty"]
    assert judge.counts == {"accepted": 2, "another prediction": 1, "empty": 1}
    assert judge.judge([("영화 나쁘다 " * 30, "나쁘다 영화 " * 30)]) != [
        "another prediction"
    ]  # longer than its positions
