"""Every augmenter against its formula, and against the promises that all of them make."""

from __future__ import annotations

import json
import math
import shutil
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kexp.builtin.augmenters import (
    AUGMENTERS,
    Aeda,
    CharNoise,
    Compose,
    MaskFill,
    OneOf,
    RandomDeletion,
    RandomSwap,
    SpacingNoise,
    TfIdfReplacement,
    UnigramReplacement,
)
from kexp.builtin.augmenters.noise import NEIGHBOURS, TYPOS, read_keys, type_keys
from kexp.catalog import Catalog, Entry, Owner
from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions, Rejected
from kexp.errors import KexpError
from kexp.word_augmenter import Guard, cut, keep, label_words

TRAIN = (
    "이 영화 정말 재밌다 정말",
    "이 영화 너무 지루하다",
    "배우 연기 정말 좋다",
    "이 배우 연기 별로 안 좋다",
    "시간 가는 줄 모르고 봤다",
    "이 감독 영화 돈 아깝다",
)
# As its authors have it.
AUTHORS = TfIdfReplacement(p=1, words="any", protect="none")
CONTEXT = AugmenterContext(texts=TRAIN, labelled=TRAIN, labels=(1, 0, 1, 0, 1, 0))
CASES: dict[str, AugmenterOptions] = {
    "random-deletion": RandomDeletion(p=0.3),
    "random-swap": RandomSwap(unit="eojeol"),
    "aeda": Aeda(),
    "tf-idf-replacement": TfIdfReplacement(p=0.5),
    "unigram-replacement": UnigramReplacement(p=0.5),
    "char-noise": CharNoise(p=0.3),
    "spacing-noise": SpacingNoise(remove=0.5, insert=0.2),
    "compose": Compose(steps=(RandomSwap(unit="eojeol"), CharNoise(p=0.2))),
    "one-of": OneOf(choices=(RandomDeletion(p=0.4), Aeda(), CharNoise(p=0.3)), weights=(1, 2, 1)),
}
MORE_CASES = {
    **CASES,
    "random-deletion of characters": RandomDeletion(p=0.3, unit="character"),
    "random-swap of characters": RandomSwap(share=0.5, unit="character"),
    "random-deletion without protection": RandomDeletion(p=0.3, protect="none"),
    "random-deletion of eojeol": RandomDeletion(p=0.3, unit="eojeol"),
    "random-swap, labels protected": RandomSwap(unit="eojeol", protect="negation-and-label", label_threshold=0.5),
    "tf-idf-replacement by any word": TfIdfReplacement(p=0.5, words="any"),
    "spacing-noise anywhere": SpacingNoise(remove=0.5, insert=0.2, places="any"),
}
ODD_TEXTS = (
    "", " ", "\n\t ", "가", "a", ".", "안", "못 ", "👨‍👩‍👧‍👦", "👍🏽 👍🏽", "ㅋㅋㅋ ㅠㅠ", "e\u0301 \u0301", "\u200d", "가\u11a8", "\u11a8", "a\u2003b",
    unicodedata.normalize("NFD", "안 좋은 영화는 보지 않는다"), "가" * 10_000, "안 " * 5_000, "한 글 " * 2_500,
)  # fmt: skip

shared_case = pytest.param("mask-fill", marks=pytest.mark.shared)


def augment(options: AugmenterOptions, texts: Sequence[str], seed: int = 0) -> list[str | Rejected]:
    return options.build(CONTEXT)(texts, generators(len(texts), seed))


def generators(count: int, seed: int = 0) -> list[Random]:
    return [Random(f"{seed}/{row}") for row in range(count)]


def strings(results: Sequence[str | Rejected]) -> list[str]:
    assert all(isinstance(result, str) for result in results)
    return [str(result) for result in results]


@pytest.fixture(scope="module")
def filler(shared: Path) -> Augmenter:
    return MaskFill(path=shared / "models/ko-mini", batch_size=6).build(CONTEXT)


@pytest.fixture
def built(request: pytest.FixtureRequest) -> Augmenter:
    if request.param == "mask-fill":
        augmenter: Augmenter = request.getfixturevalue("filler")
        return augmenter
    return MORE_CASES[request.param].build(CONTEXT)


EVERY = pytest.mark.parametrize("built", [*MORE_CASES, shared_case], indirect=True)


# --- promises of all ------------------------------------------------------------------------------------------------


def test_every_augmenter_is_among_the_cases() -> None:
    assert set(AUGMENTERS) == {*CASES, "mask-fill"}
    assert all(type(options) is AUGMENTERS[name] for name, options in CASES.items())


@pytest.mark.parametrize("name", AUGMENTERS)
def test_every_option_is_described_and_every_class_says_what_it_does(name: str) -> None:
    options = AUGMENTERS[name]
    assert options.__doc__
    assert options.__doc__.splitlines()[0].endswith((".", ","))
    assert all(field.description for field in options.model_fields.values())


@EVERY
def test_a_text_depends_on_nothing_but_itself_and_its_generator(built: Augmenter) -> None:
    texts = [f"{text} {number}번째" for number, text in enumerate(TRAIN * 3)]
    together = built(texts, generators(len(texts)))
    assert together == built(texts, generators(len(texts)))
    assert together != built(texts, generators(len(texts), seed=1))
    backwards = built(texts[::-1], generators(len(texts))[::-1])
    assert together == backwards[::-1]
    for row in (0, 7, 17):
        assert built([texts[row]], [generators(len(texts))[row]]) == [together[row]]


@EVERY
def test_odd_texts_do_not_matter(built: Augmenter) -> None:
    results = built(ODD_TEXTS, generators(len(ODD_TEXTS)))
    assert len(results) == len(ODD_TEXTS)
    for text, result in zip(ODD_TEXTS, strings(results), strict=True):
        assert bool(result.strip()) == bool(text.strip())
        if not text.strip():
            assert result == text
    assert built([], []) == []


@EVERY
def test_a_generator_must_be_given_for_every_text(built: Augmenter) -> None:
    with pytest.raises(ValueError, match="zip"):
        built(["가 나", "다 라"], generators(1))


@pytest.mark.parametrize("name", MORE_CASES)
@settings(max_examples=60, deadline=None)
@given(
    text=st.text(
        st.one_of(st.characters(codec="utf-8"), st.sampled_from("가나닭안못않 \n\u1100\u1161\u11a8ㄱㅏ.👍🏽\u200d"))
    ),
    seed=st.integers(0, 9),
)
def test_no_text_is_too_odd(name: str, text: str, seed: int) -> None:
    (result,) = augment(MORE_CASES[name], [text], seed)
    assert isinstance(result, str)
    assert bool(result.strip()) == bool(text.strip())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random-deletion", {"p": 0}), ("random-deletion", {"p": 1}), ("random-deletion", {"unit": "word"}),
        ("random-deletion", {"protect": "label"}), ("random-deletion", {"label_threshold": -1}),
        ("random-swap", {"share": 0}), ("random-swap", {"share": 1.5}), ("random-swap", {"p": 0.1}),
        ("aeda", {"share": 0}), ("aeda", {"share": 2}),
        ("tf-idf-replacement", {"p": 0}), ("tf-idf-replacement", {"p": 1.1}), ("unigram-replacement", {"p": 0}),
        ("char-noise", {"p": 0}), ("char-noise", {"kinds": []}), ("char-noise", {"kinds": ["typo"]}),
        ("spacing-noise", {"remove": -0.1}), ("spacing-noise", {"insert": 1.1}),
        ("mask-fill", {"share": 0}), ("mask-fill", {"temperature": 0}), ("mask-fill", {"top_k": 0}),
        ("mask-fill", {"max_length": 2}), ("mask-fill", {"batch_size": 0}), ("mask-fill", {"trust_remote_code": True}),
        ("compose", {}), ("compose", {"steps": []}), ("one-of", {"choices": []}),
        ("one-of", {"choices": [Aeda()], "weights": [-1]}),
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AUGMENTERS[name].model_validate(options)


# --- units ----------------------------------------------------------------------------------------------------------


@given(st.text(), st.sampled_from(["eojeol", "character"]))
def test_a_cut_text_joins_to_itself(text: str, unit: Any) -> None:
    parts = cut(text, unit)
    assert "".join(parts) == text
    assert all(part and not part[0].isspace() for part in parts[1::2])
    assert all(not part or part.isspace() for part in parts[::2])
    if len(parts) > 1:
        assert keep(parts, range(len(parts) // 2)) == text


def test_characters_are_what_a_reader_sees() -> None:
    decomposed = unicodedata.normalize("NFD", "한글")
    assert cut(f"가 {decomposed}👍🏽e\u0301👨‍👩‍👧", "character")[1::2] == [
        "가", decomposed[:3], decomposed[3:], "👍🏽", "e\u0301", "👨‍👩‍👧",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "expected"),
    [((0, 1, 2, 3), " a  b\tc d\n"), ((0, 3), " a  d\n"), ((1, 2), " b\tc\n"), ((2,), " c\n")],
)
def test_one_gap_remains_where_units_are_left_out(kept: Sequence[int], expected: str) -> None:
    assert keep(cut(" a  b\tc d\n", "eojeol"), kept) == expected


def test_leaving_a_character_out_joins_no_words() -> None:
    assert keep(cut("가 나다 라", "character"), (0, 2, 3)) == "가 다 라"
    assert keep(cut("가 나다 라", "character"), (0, 3)) == "가 라"


# --- deletion, swap, punctuation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["eojeol", "character"])
def test_deletion_has_the_stated_probability_and_keeps_the_order(unit: Any) -> None:
    words = [chr(ord("가") + number) for number in range(50)]
    text = " ".join(words)
    kept = [
        result.split() for result in strings(augment(RandomDeletion(p=0.2, unit=unit, protect="none"), [text] * 400))
    ]
    assert all(words == sorted(words) and len(words) == len(set(words)) for words in kept)
    share = sum(map(len, kept)) / (400 * 50)
    assert share == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / (400 * 50)))


def test_one_word_always_remains_and_each_may_be_it() -> None:
    results = strings(augment(RandomDeletion(p=0.99, unit="eojeol", protect="none"), ["가 나 다"] * 300))
    assert set(results) >= {"가", "나", "다"}
    assert all(results)
    assert augment(RandomDeletion(p=0.99, unit="eojeol"), ["하나"] * 20) == ["하나"] * 20


def test_a_text_of_which_nothing_is_deleted_stays_as_it_was() -> None:
    assert augment(RandomDeletion(p=1e-9, unit="eojeol"), ["  두  칸\n줄 "]) == ["  두  칸\n줄 "]


@pytest.mark.parametrize("unit", ["eojeol", "character"])
def test_swap_moves_words_and_nothing_else(unit: Any) -> None:
    text = "가  나 다\n라 마 바 사 아 자 차"
    for result in strings(augment(RandomSwap(share=0.1, unit=unit, protect="none"), [text] * 50)):
        assert cut(result, "eojeol")[::2] == cut(text, "eojeol")[::2]
        moved = [(one, other) for one, other in zip(text.split(), result.split(), strict=True) if one != other]
        assert len(moved) == 2
        assert moved[0] == moved[1][::-1]


def test_the_number_of_swaps_grows_with_the_text() -> None:
    text = " ".join(map(str, range(1000)))
    for share in (0.05, 0.2):
        (result,) = strings(augment(RandomSwap(share=share, unit="eojeol", protect="none"), [text]))
        moved = sum(one != other for one, other in zip(text.split(), result.split(), strict=True))
        # Of n swaps each moves two words, some of them more than once.
        assert 2 * share * 1000 * 0.8 < moved <= 2 * share * 1000
    assert augment(RandomSwap(unit="eojeol"), ["하나 둘"]) == ["둘 하나"]
    assert augment(RandomSwap(unit="eojeol"), ["하나"]) == ["하나"]


def test_aeda_inserts_marks_and_keeps_the_words() -> None:
    words = [f"말{number}" for number in range(10)]
    text, numbers, seen = " ".join(words), Counter[int](), Counter[str]()
    for result in strings(augment(Aeda(share=0.3), [text] * 900)):
        inserted = [piece for piece in result.split() if piece not in words]
        assert [piece for piece in result.split() if piece in words] == words
        numbers[len(inserted)] += 1
        seen.update(inserted)
    assert set(numbers) == {1, 2, 3}
    assert set(seen) == set(".;?:!,")
    assert all(count == pytest.approx(300, abs=60) for count in numbers.values())
    assert all(count == pytest.approx(300, abs=70) for count in seen.values())
    assert strings(augment(Aeda(), ["하나"]))[0].endswith(" 하나")


# --- replacement ----------------------------------------------------------------------------------------------------


def independent_tf_idf(text: str, p: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The probabilities of replacement as the paper's appendix has them, in plain loops."""
    words = text.split()
    scores = []
    for word in words:
        frequency = sum(word in train.split() for train in TRAIN) or 1
        scores.append(words.count(word) / len(words) * np.log(len(TRAIN) / frequency))
    distance = np.max(scores) - np.array(scores)
    return np.minimum(1, distance / distance.sum() * p * len(words))


def test_tf_idf_replaces_each_word_with_its_probability() -> None:
    text = "이 영화 정말 정말 시간 처음"
    expected = independent_tf_idf(text, 0.3)
    assert expected.sum() == pytest.approx(0.3 * 6)
    results = strings(augment(AUTHORS.model_copy(update={"p": 0.3}), [text] * 4000))
    # A word may be replaced by itself: what is counted is the change, so the chance of that is taken off.
    drawn = independent_draw()
    for number, word in enumerate(text.split()):
        changed = sum(result.split()[number] != word for result in results) / 4000
        assert changed == pytest.approx(expected[number] * (1 - drawn.get(word, 0)), abs=0.035)


def independent_draw() -> dict[str, float]:
    """The distribution of the words that are put in."""
    vocabulary = {word for train in TRAIN for word in train.split()}
    scores = {}
    for word in vocabulary:
        idf = np.log(len(TRAIN) / sum(word in train.split() for train in TRAIN))
        scores[word] = sum(train.split().count(word) / len(train.split()) * idf for train in TRAIN)
    highest = max(scores.values())
    total = sum(highest - score for score in scores.values())
    return {word: (highest - score) / total for word, score in scores.items()}


def test_tf_idf_draws_uninformative_words() -> None:
    # Clipped at 1: of the two words one has the highest score and stays, the other is always replaced.
    results = strings(augment(AUTHORS, ["이 감독"] * 6000))
    assert {result.split()[1] for result in results} == {"감독"}
    counts, expected = Counter(result.split()[0] for result in results), independent_draw()
    assert set(counts) <= {word for word, chance in expected.items() if chance > 0}
    for word, chance in expected.items():
        assert counts[word] / 6000 == pytest.approx(chance, abs=4 * math.sqrt(chance / 6000) + 1e-9)


def test_tf_idf_clips_at_one_and_leaves_equal_scores_alone() -> None:
    chances = AUTHORS.chances(["a", "b", "c"], {"a": 3.0, "b": 3.0, "c": 1.0}, 0)
    assert chances == [0, 0, 1]
    assert augment(AUTHORS, ["정말", "감독 돈 아깝다", "처음 듣는 말"]) == [
        "정말", "감독 돈 아깝다", "처음 듣는 말",
    ]  # fmt: skip
    alike = AUTHORS.build(AugmenterContext(texts=["a b", "a b"]))
    assert alike(["a b b c"], generators(1)) == ["a b b c"]


def test_unigram_replacement_draws_by_frequency() -> None:
    text = "하나 둘 셋 넷"
    results = strings(augment(UnigramReplacement(p=0.25), [text] * 3000))
    drawn = Counter(
        new
        for result in results
        for old, new in zip(text.split(), result.split(), strict=True)
        if old != new
    )  # fmt: skip
    assert drawn.total() / 12000 == pytest.approx(0.25, abs=0.016)
    frequencies = Counter(word for train in TRAIN for word in train.split())
    for word, frequency in frequencies.items():
        assert drawn[word] / drawn.total() == pytest.approx(frequency / frequencies.total(), abs=0.025)


@pytest.mark.parametrize("options", [AUTHORS, UnigramReplacement(p=1)])
def test_without_train_texts_nothing_is_replaced(options: AugmenterOptions) -> None:
    assert options.build(AugmenterContext())(["가 나 나"], generators(1)) == ["가 나 나"]


# --- typing errors --------------------------------------------------------------------------------------------------


def test_every_syllable_is_read_as_it_was_typed() -> None:
    for code in range(ord("가"), ord("힣") + 1):
        assert read_keys(type_keys(chr(code))) == chr(code)


@given(st.text(st.characters(min_codepoint=ord("가"), max_codepoint=ord("힣"))))
def test_words_are_read_as_they_were_typed(word: str) -> None:
    assert read_keys("".join(map(type_keys, word))) == word


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("ㅇㄴㅏㄴㅕㅇ", "ㅇ나녕"), ("ㅇㅏㄴㅕㅇ", "아녕"), ("ㄱㅏㅂㅅㅣ", "갑시"), ("ㄱㅏㅂㅅㅇㅣ", "값이"), ("ㅎㅏㅐㅆㄷㅏ", "하ㅐㅆ다"),
        ("ㅇㅗㅏ", "와"), ("ㄱㄱㅏ", "ㄱ가"), ("ㅏㄱ", "ㅏㄱ"), ("", ""),
    ],
)  # fmt: skip
def test_keys_are_read_as_an_input_method_would(keys: str, expected: str) -> None:
    assert read_keys(keys) == expected


def test_neighbouring_keys_touch_each_other() -> None:
    assert set(NEIGHBOURS["ㅎ"]) == set("ㅅㅛㄹㅗㅍㅠ")
    assert set(NEIGHBOURS["ㅂ"]) == set("ㅈㅁ")
    assert set(NEIGHBOURS["ㅉ"]) == set("ㅃㄸㅁㄴ")
    plain = [key for key in NEIGHBOURS if key not in "ㅃㅉㄸㄲㅆㅒㅖ"]
    assert all(one in NEIGHBOURS[other] for one in plain for other in NEIGHBOURS[one])


@pytest.mark.parametrize(
    ("kind", "text", "possible"),
    [
        ("drop", "안", {"ㅏㄴ", "ㅇㄴ", "아"}),
        ("repeat", "안", {"ㅇ안", "아ㅏㄴ", "안ㄴ"}),
        ("swap", "안", {"ㅏㅇㄴ", "ㅇ나"}),
        ("unshift", "했빠", {"햇바"}),
        ("unshift", "안", {"안"}),
        ("final", "값닭", {"가다"}),
        ("final", "나", {"나"}),
        ("neighbour", "나", set("마아자다카타너니냐내느")),
    ],
)  # fmt: skip
def test_each_mistake_is_the_one_it_is_called(kind: Any, text: str, possible: set[str]) -> None:
    results = strings(augment(CharNoise(p=1, kinds=(kind,)), [text] * 100))
    assert set(results) == possible


def test_syllables_are_mistyped_with_the_stated_probability() -> None:
    syllable = "가 "
    for result in strings(augment(CharNoise(p=0.2, kinds=("repeat",)), [syllable * 5000])):
        assert sum(word != "가" for word in result.split()) / 5000 == pytest.approx(0.2, abs=0.023)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from("가닭값있뷁ㄱㅏㄳ \u1100\u1161\u11a8\u11ab\u0301a")),
    st.integers(0, 99),
    st.sampled_from([*TYPOS]),
)
def test_typos_are_always_valid_nfc(text: str, seed: int, kind: Any) -> None:
    text = unicodedata.normalize("NFC", text)
    for kinds in ((kind,), tuple(TYPOS)):
        (result,) = strings(augment(CharNoise(p=0.7, kinds=kinds), [text], seed))
        assert unicodedata.is_normalized("NFC", result)
        result.encode("utf-8")


def test_decomposed_text_is_mistyped_too() -> None:
    decomposed = unicodedata.normalize("NFD", "안녕하세요")
    (result,) = strings(augment(CharNoise(p=1, kinds=("final",)), [decomposed]))
    assert result == "아녀하세요"


def test_spacing_noise_touches_spaces_alone() -> None:
    text = "이 영화 정말 재미있게 봤습니다 " * 200
    (result,) = strings(augment(SpacingNoise(remove=0.3, insert=0.1, places="any"), [text]))
    assert result.replace(" ", "") == text.replace(" ", "")
    spaces, letters = text.strip().count(" "), len(text.replace(" ", ""))
    assert augment(SpacingNoise(remove=1, insert=0, places="any"), ["가  나\n다 "]) == ["가나다 "]
    assert augment(SpacingNoise(remove=0, insert=1, places="any"), ["가나 다👍🏽"]) == ["가 나 다 👍🏽"]
    removed = spaces - strings(augment(SpacingNoise(remove=0.3, insert=0, places="any"), [text]))[0].strip().count(" ")
    inserted = strings(augment(SpacingNoise(remove=0, insert=0.1, places="any"), [text]))[0].strip().count(" ") - spaces
    assert removed / spaces == pytest.approx(0.3, abs=0.06)
    assert inserted / (letters - 1 - spaces) == pytest.approx(0.1, abs=0.025)
    assert list(SpacingNoise(remove=0, insert=0).problems())


# --- protected words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("이 영화 안 지루하고 재밌다", "안 지루하고"), ("정말 못 보겠다", "못 보겠다"), ("다신 안보려구요 ㅋㅋ", "안보려구요"),
        ("재미있지 않다 정말", "재미있지 않다"), ("절대 보지 마세요", "보지 마세요"), ("절대 보지 마 제발", "보지 마"), ("돈 쓰지말고 자라", "쓰지말고"),
        ("재미 없음 ㅠ", "재미 없음"), ("재미없음 ㅠ", "재미없음"), ("내 취향은 아니다 좀", "취향은 아니다"), ("좋지는않음 별로", "좋지는않음"),
        ("따라가지 못했다 영화가", "따라가지 못했다"), ("이해를 못하겠음 진짜", "이해를 못하겠음"), ("(안) 좋다 흑", "(안) 좋다"),
        ("할 말 다 했다", ""), ("말이 달린다 마당에서", ""), ("이 영화 정말 좋다", ""),
    ],
)  # fmt: skip
def test_negations_are_known_with_what_they_negate(text: str, protected: str) -> None:
    words = text.split()
    expected = [word in protected.split() for word in words]
    assert Guard(True).flags(words) == expected
    assert Guard(True).flags([unicodedata.normalize("NFD", word) for word in words]) == expected
    free = [number for number, flag in enumerate(expected) if not flag]
    assert list(Guard(True).free(text, cut(text, "eojeol"), "eojeol")) == free
    letters = cut(text, "character")[1::2]
    freed = "".join(letters[number] for number in Guard(True).free(text, cut(text, "character"), "character"))
    assert freed == "".join(words[number] for number in free)


@pytest.mark.parametrize(
    "options",
    [
        RandomDeletion(p=0.9, unit="eojeol", protect="negation"),
        RandomDeletion(p=0.9, unit="character", protect="negation"),
        RandomDeletion(p=0.9, unit="eojeol"),
    ],
)
def test_deletion_keeps_negations_unless_told_otherwise(options: RandomDeletion) -> None:
    text = "이 영화 안 지루하고 정말 볼만하지 않다고 못 하겠다"
    for result in strings(augment(options, [text] * 100)):
        assert result.find("안 지루하고") < result.find("볼만하지 않다고 못 하겠다")
        assert "안 지루하고" in result
    bare = options.model_copy(update={"protect": "none"})
    assert any("안 지루하고" not in str(result) for result in augment(bare, [text] * 20))


def test_swap_keeps_negations_where_they_are() -> None:
    text = "이 영화 안 지루하고 정말 볼만하다"
    for result in strings(augment(RandomSwap(share=1, unit="eojeol"), [text] * 100)):
        assert result.split()[2:4] == ["안", "지루하고"]
        assert sorted(result.split()) == sorted(text.split())


def test_words_bound_to_a_label_are_found_by_their_log_odds() -> None:
    texts = ["최고 영화!"] * 12 + ["최악 영화"] * 9 + ["그냥 영화 최고"] * 2
    labels = [1] * 12 + [0] * 9 + [0] * 2
    context = AugmenterContext(texts=[*texts, "그냥 드라마"] * 2, labelled=texts, labels=labels)
    # Monroe et al. 2008 in NumPy: counts of 최고, 영화, 최악, 그냥 and 드라마 here and there.
    words = ["최고", "영화", "최악", "그냥", "드라마"]
    here, there = np.array([12, 12, 0, 0, 0.0]), np.array([2, 11, 9, 2, 0.0])
    prior = np.array([28, 46, 18, 6, 2.0])
    prior *= (here.sum() + there.sum()) / 2 / prior.sum()

    def scores(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        odds = [np.log((y + prior) / (y.sum() + prior.sum() - y - prior)) for y in (one, other)]
        return (odds[0] - odds[1]) / np.sqrt(1 / (one + prior) + 1 / (other + prior))

    for threshold in (0.2, 1.0, 1.5, 1.96, 2.5, 4.0):
        expected = {
            word
            for one, other in ((here, there), (there, here))
            for word, count, score in zip(words, one, scores(one, other), strict=True)
            if count and score >= threshold
        }
        assert label_words(context, threshold) == expected
    assert {"최고", "최악"} <= label_words(context, 1.5)
    assert "영화" not in label_words(context, 1.5)


def test_label_bearing_words_stay() -> None:
    texts = ["최고 하나 둘"] * 30 + ["최악 하나 둘"] * 30
    context = AugmenterContext(texts=texts, labelled=texts, labels=[1] * 30 + [0] * 30)
    augmenter = RandomDeletion(p=0.9, unit="eojeol", protect="negation-and-label").build(context)
    results = strings(augmenter(["하나 최고! 둘 안 셋"] * 50, generators(50)))
    assert all("최고!" in result and "안 셋" in result for result in results)
    assert "최고! 안 셋" in results


def test_label_bearing_words_need_labels() -> None:
    with pytest.raises(KexpError, match="needs labelled rows"):
        RandomSwap(protect="negation-and-label").build(AugmenterContext(texts=TRAIN))
    for labels in ([0, 0], [0, 1]):
        assert label_words(AugmenterContext(labelled=["가", "가"], labels=labels), 0) == frozenset()


# --- combinations ---------------------------------------------------------------------------------------------------


class Append(AugmenterOptions):
    """Append a letter, or reject texts that hold it."""

    letter: str
    reject: bool = False

    def build(self, context: AugmenterContext) -> Augmenter:
        def augment(texts: Sequence[str], generators: Sequence[Random]) -> list[str | Rejected]:
            return [
                Rejected(text, self.letter) if self.reject and self.letter in text else text + self.letter
                for text, _ in zip(texts, generators, strict=True)
            ]

        return augment


class Costly(Append):
    """The same, at a price."""

    costly: ClassVar[bool] = True


def test_compose_applies_in_order_and_stops_at_a_rejection() -> None:
    steps = (Append(letter="a"), Append(letter="b", reject=True), Append(letter="c"))
    assert augment(Compose(steps=steps), ["x", "by", ""]) == ["xabc", Rejected("bya", "b"), "abc"]


def test_compose_hands_on_the_generator() -> None:
    once, step = CharNoise(p=0.5), CharNoise(p=0.5).build(CONTEXT)
    random = generators(1)
    expected = step(strings(step(["안녕하세요 여러분"], random)), random)
    assert augment(Compose(steps=(once, once)), ["안녕하세요 여러분"]) == expected


@pytest.mark.parametrize(("weights", "share"), [(None, 0.5), ((1, 3), 0.75), ((0, 2), 1.0)])
def test_one_of_draws_by_weight(weights: Any, share: float) -> None:
    options = OneOf(choices=(Append(letter="a"), Append(letter="b")), weights=weights)
    results = augment(options, ["x"] * 2000)
    assert set(results) <= {"xa", "xb"}
    assert results.count("xb") / 2000 == pytest.approx(share, abs=0.045)


def test_one_of_says_when_weights_and_choices_differ() -> None:
    choices = (Aeda(), RandomSwap())
    assert [problem.path for problem in OneOf(choices=choices, weights=(1, 2, 3)).problems()] == ["weights"]
    assert [problem.path for problem in OneOf(choices=choices, weights=(0, 0)).problems()] == ["weights"]
    assert not list(OneOf(choices=choices, weights=(0, 1)).problems())


def test_a_combination_is_as_costly_as_its_parts() -> None:
    cheap, costly = Append(letter="a"), Costly(letter="b")
    assert not Compose(steps=(cheap, cheap)).costly
    assert Compose(steps=(cheap, costly)).costly
    assert not OneOf(choices=(cheap,)).costly
    assert OneOf(choices=(cheap, Compose(steps=(costly,)))).costly
    assert MaskFill.costly


def test_combinations_are_stated_in_a_spec_by_name() -> None:
    owner = Owner("kexp", "0")
    catalog = Catalog({("augmenter", name): [Entry("augmenter", name, cls, owner)] for name, cls in AUGMENTERS.items()})
    table = {
        "choices": [
            "aeda",
            {"use": "compose", "steps": [{"use": "random-swap", "share": 0.2}, "char-noise"]},
        ],
        "weights": [1, 2],
    }
    options = OneOf.model_validate(table, context={"catalog": catalog})
    assert options.choices == (Aeda(), Compose(steps=(RandomSwap(share=0.2), CharNoise())))
    dumped = options.model_dump(mode="json", context={"catalog": catalog}, exclude_none=True)
    assert OneOf.model_validate(dumped, context={"catalog": catalog}) == options
    with pytest.raises(ValidationError, match="unknown option of augmenter"):
        OneOf.model_validate({"choices": [{"use": "aeda", "sahre": 1}]}, context={"catalog": catalog})


# --- masked language model ------------------------------------------------------------------------------------------


def test_a_model_must_be_stated_once_and_pinned(tmp_path: Path) -> None:
    assert [problem.path for problem in MaskFill().problems()] == ["id"]
    assert "id" in [problem.path for problem in MaskFill(id="klue/bert-base", path=tmp_path).problems()]
    assert [problem.path for problem in MaskFill(path=tmp_path / "nowhere").problems()] == ["path"]
    assert not list(MaskFill(id="klue/bert-base").problems())
    assert [warning.path for warning in MaskFill(id="klue/bert-base").warnings()] == ["revision"]


def test_views_are_stored_under_the_contents_of_a_local_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("a")
    mask_fill, other = MaskFill(path=tmp_path), AugmenterContext(texts=["다른 글"])
    before = mask_fill.identity(CONTEXT)
    (tmp_path / "README.md").write_text("b")
    assert mask_fill.identity(other) == before
    (tmp_path / "config.json").write_text('{"layers": 2}')
    assert mask_fill.identity(CONTEXT) != before


def test_what_is_made_of_augmenters_is_stored_under_what_they_learn() -> None:
    other = AugmenterContext(texts=["다른 글"])
    for learns, steps in ((False, (RandomDeletion(), Aeda(), CharNoise())), (True, (Aeda(), TfIdfReplacement()))):
        for options in (Compose(steps=steps), OneOf(choices=steps)):
            assert (options.identity(CONTEXT) != options.identity(other)) is learns


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(KexpError, match=r"masked language model folder .* cannot be loaded: "):
        MaskFill(path=tmp_path).build(CONTEXT)
    with pytest.raises(KexpError, match='masked language model "kexp/none"'):
        MaskFill(id="kexp/none").build(CONTEXT)


@pytest.mark.shared
def test_a_model_without_a_head_is_refused(shared: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    source = shared / "models/ko-mini"
    AutoModel.from_pretrained(source).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path)
    with pytest.raises(KexpError, match="no masked-language-model head"):
        MaskFill(path=tmp_path).build(CONTEXT)


@pytest.mark.shared
def test_a_model_that_returns_tuples_fills_masks(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "models/ko-mini", tmp_path / "model")
    config = tmp_path / "model/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "return_dict": False}), "utf-8")
    texts = ["이 영화 정말 재밌게 봤어요"] * 3
    expected, found = (
        MaskFill(path=folder, share=0.4).build(CONTEXT)(texts, generators(3))
        for folder in (shared / "models/ko-mini", tmp_path / "model")
    )
    assert found == expected
    assert found != texts


@pytest.mark.shared
@pytest.mark.parametrize("unit", ["token", "eojeol"])
def test_masks_are_filled_with_letters_and_the_rest_stays(shared: Path, unit: Any) -> None:
    import torch

    texts = [
        "이 영화, 정말  재밌게 봤어요!! ㅋㅋ 10점 👍",
        "배우 연기가 너무 좋았던 영화...",
        "나오는 사람들이 다 안 예쁘다",
    ] * 4
    options = MaskFill(path=shared / "models/ko-mini", unit=unit, share=0.4, batch_size=5)
    before = torch.get_rng_state()
    results = strings(options.build(CONTEXT)(texts, generators(len(texts))))
    assert torch.equal(before, torch.get_rng_state())
    assert results != texts
    for text, result in zip(texts, results, strict=True):
        assert [*filter(lambda letter: not letter.isalpha(), text)] == [
            *filter(lambda letter: not letter.isalpha(), result)
        ]
        assert len(text.split()) == len(result.split())
        assert ("안 예쁘다" in text) == ("안 예쁘다" in result)
        assert "##" not in result
        assert "[" not in result


@pytest.mark.shared
def test_the_share_of_words_is_masked(shared: Path) -> None:
    words = ["정말", "재미있게", "봤습니다", "감동", "최고", "배우", "영화", "연기", "시간", "사람"]
    path = shared / "models/ko-mini"
    options = MaskFill(path=path, unit="eojeol", share=0.3, top_k=2, temperature=5, protect="none")
    results = strings(options.build(CONTEXT)([" ".join(words)] * 8, generators(8)))
    changed = [sum(map(str.__ne__, words, result.split())) for result in results]
    assert max(changed) == 3


@pytest.mark.shared
def test_tokens_are_drawn_from_the_models_distribution(filler: Any) -> None:
    import torch

    vocabulary = len(filler._surfaces)
    logits = torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(1))
    for continuing in (False, True):
        allowed = [
            token
            for token, surface in enumerate(filler._tokenizer.convert_ids_to_tokens(list(range(vocabulary))))
            if surface.removeprefix("##").isalpha() and surface.startswith("##") == continuing
        ]
        values = logits[0].double().numpy()
        best = sorted(sorted(allowed, key=lambda token: values[token])[-50:])
        chances = np.exp(values[best]) / np.exp(values[best]).sum()
        numbers = np.linspace(0, 1, 400, endpoint=False) + 0.001
        flags = torch.full((400,), continuing)
        drawn = filler._draw(logits.expand(400, -1), flags, numbers.tolist())
        assert drawn == [best[int(np.searchsorted(np.cumsum(chances), number))] for number in numbers]


@pytest.mark.shared
def test_what_follows_the_models_length_stays(shared: Path) -> None:
    options = MaskFill(
        path=shared / "models/ko-mini", share=1, max_length=10, protect="none", temperature=10, batch_size=1
    )
    (result,) = strings(options.build(CONTEXT)(["정말 영화 최고 " * 50], generators(1)))
    assert result.split()[8:] == ("정말 영화 최고 " * 50).split()[8:]
    assert result.split()[:8] != ("정말 영화 최고 " * 50).split()[:8]
    longer = options.model_copy(update={"max_length": 9999})
    assert longer.build(CONTEXT)(["정말 영화 최고 " * 300], generators(1))
