"""Synonyms in the place of words, or beside them: what changes, what does not, and on what it depends."""

from __future__ import annotations

import os
import unicodedata
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kexp.contracts import AugmenterContext, Rejected
from kexp.errors import DataError
from kexp.korean.eojeol import AnalyserName
from kexp_korean.synonyms import LexiconOptions, RandomInsertion, SynonymSwap

ANALYSERS: tuple[AnalyserName, ...] = ("rules", "kiwi") if find_spec("kiwipiepy") else ("rules",)
SHARED = Path(os.environ.get("KEXP_SHARED", Path(__file__).parents[4] / "shared"))
REVIEW = "이 영화는 정말 재미있었어요. 배우들의 연기도 훌륭하고 결말이 너무 슬픈 작품!!"


def augment(options: LexiconOptions, text: str, seed: int = 0) -> str:
    (result,) = options.build(AugmenterContext())([text], [Random(seed)])
    assert isinstance(result, str)
    return result


def results(options: LexiconOptions, text: str, seeds: int = 40) -> set[str]:
    made = options.build(AugmenterContext())([text] * seeds, [Random(seed) for seed in range(seeds)])
    return {text for text in made if isinstance(text, str)}


# --- synonym-swap --------------------------------------------------------------------------------------------------


def test_swaps_words_in_their_form_and_leaves_the_rest() -> None:
    assert results(SynonymSwap(), "(음식이  맛있고..ㅋㅋ)") == {"(요리가  맛있고..ㅋㅋ)", "(음식이  맛나고..ㅋㅋ)"}


def test_swaps_every_word_when_asked_to() -> None:
    swapped = augment(SynonymSwap(share=1), "영화는 재미있었지만 결말이 아쉬워요")
    before, after = ["영화는", "재미있었지만", "결말이", "아쉬워요"], swapped.split()
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert after[0] == "작품은"
    assert after[2] == "엔딩이"


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.1, 1), (0.5, 4), (1.0, 8)])
def test_share_is_of_the_eojeol_and_at_least_one(share: float, expected: int) -> None:
    text = " ".join(["영화는", "재미있고"] * 4)
    words = augment(SynonymSwap(share=share), text).split()
    assert sum(one != other for one, other in zip(text.split(), words, strict=True)) == expected


def test_views_are_stored_under_the_contents_of_the_lexicon(tmp_path: Path) -> None:
    lexicon = tmp_path / "lexicon.tsv"
    lexicon.write_text("영화\t작품\n", encoding="utf-8")
    options, context = SynonymSwap(lexicon=lexicon), AugmenterContext()
    before = options.identity(context)
    assert options.identity(AugmenterContext(texts=["다른 글"])) == before
    lexicon.write_text("영화\t필름\n", encoding="utf-8")
    assert options.identity(context) != before


def test_several_words_of_one_eojeol() -> None:
    made = results(SynonymSwap(share=1, parts=("noun",)), "둘 셋 넷 영화,결말!(스토리)")
    assert made == {"둘 셋 넷 작품,엔딩!(줄거리)", "둘 셋 넷 작품,엔딩!(내용)"}


def test_only_the_parts_asked_for() -> None:
    assert results(SynonymSwap(share=1, parts=("noun",)), "정말 영화가 재밌다") == {"정말 작품이 재밌다"}
    assert results(SynonymSwap(share=1, parts=("adverb",)), "영화가 정말 재밌다") == {
        f"영화가 {word} 재밌다" for word in ("진짜", "진짜로", "정말로")
    }


@pytest.mark.parametrize(
    "text",
    [
        "안 재미있다",
        "못 믿는다",
        "재미있지 않다",
        "재미있지는 않았어요",
        "실망하지 마세요",
        "재미 없다",
        "재미없다",
        "영화 아니다",
    ],
)
def test_negations_and_what_they_negate_stay(text: str) -> None:
    assert results(SynonymSwap(share=1), text) == {text}


def test_protection_can_be_switched_off() -> None:
    assert results(SynonymSwap(share=1, protect="none"), "안 예쁘다") == {"안 이쁘다", "안 곱다"}
    assert "정말 따분하다" in results(SynonymSwap(protect="none", parts=("adjective",)), "정말 재미없다")


def test_words_bound_to_a_label_can_be_protected() -> None:
    texts = ["재미있는 영화"] * 30 + ["지루한 영화"] * 30
    context = AugmenterContext(texts, texts, [1] * 30 + [0] * 30)
    augmenter = SynonymSwap(protect="negation-and-label", share=1).build(context)
    assert augmenter(["재미있는 영화"], [Random(0)]) == ["재미있는 작품"]


@pytest.mark.parametrize(
    "text",
    [
        "죽을 뻔했다",
        "거지 같이 놀고",
        "좋아 하는",
        "자신 있게",
        "질문 했으면",
        "그렇기도 하지만",
        "3영화",
        "CG스토리",
        "영화3",
    ],
)
def test_set_phrases_and_parts_of_words_stay(text: str) -> None:
    assert results(SynonymSwap(share=1), text) == {text}


def test_a_synonym_never_repeats_its_neighbour() -> None:
    assert results(SynonymSwap(share=1, parts=("adverb",)), "진짜 정말 재밌다") == {"진짜로 정말로 재밌다"}
    assert results(SynonymSwap(share=1, parts=("noun",)), "영화 작품") == {"영화 작품"}


def test_decomposed_texts_are_read_and_unknown_ones_come_back_as_they_were() -> None:
    assert augment(SynonymSwap(), unicodedata.normalize("NFD", "영화는")) == "작품은"
    odd = unicodedata.normalize("NFD", "가나다라")
    assert augment(SynonymSwap(), odd) == odd


# --- random-insertion ----------------------------------------------------------------------------------------------


def test_an_adverb_of_degree_comes_before_an_adjective_that_has_none() -> None:
    degrees = {"정말", "진짜", "참", "아주", "무척"}
    assert results(RandomInsertion(), "배우 얼굴이 아름답다") == {f"배우 얼굴이 {one} 아름답다" for one in degrees}
    # Synonyms of an adverb of the text, where it has one.
    own = {"아주", "무척", "굉장히", "대단히"}
    made = results(RandomInsertion(), "매우 슬픈 결말에 따뜻한 음악", 80)
    assert made == {f"매우 슬픈 결말에 {one} 따뜻한 음악" for one in own}


@pytest.mark.parametrize(
    "text",
    [
        "더 재미있다",
        "너무 좋아요",
        "안 예쁘다",
        "재미있지 않다",
        "볼 만하다",
        "1점 준다",
        "그저 그렇다",
        "하지만 매력적인 그대",
        "억수로 재밌데이",
        "겁나게 예쁘다",
        "얼굴이 이렇게 아름답다",
        "보기 드문 수작",
        "이렇게 낮 은지 모른다",
        "나이가 어릴수록 운다",
        "어릴때 봤다",
        "지루함의 끝",
        "크게 뜨지는 못했다",
        "봤습니다",
        "갔다",
    ],
)
def test_nothing_comes_where_a_degree_is_or_none_can_be(text: str) -> None:
    for analyser in ANALYSERS:
        assert results(RandomInsertion(share=1, analyser=analyser), text) == {text}


def test_a_pointer_comes_before_a_noun_that_nothing_modifies() -> None:
    assert results(RandomInsertion(parts=("noun",)), "주인공이 죽었다") == {"이 주인공이 죽었다", "그 주인공이 죽었다"}
    for text in ("저 주인공이 죽었다", "착한 주인공이 죽었다", "영화 주인공이 죽었다", "나는 주인공이 되었다"):
        assert results(RandomInsertion(parts=("noun",)), text) == {text}


def test_inserts_as_many_as_the_share_says() -> None:
    text = " ".join(["배우가", "재미있고"] * 10)
    assert len(augment(RandomInsertion(share=0.25), text).split()) == 25


def test_synonyms_of_verbs_and_adjectives_double_them() -> None:
    assert results(RandomInsertion(parts=("verb",)), "봤는데 추천합니다") == {"봤는데 권하고 추천합니다"}
    assert "지루하고 따분한 결말" in results(RandomInsertion(parts=("adjective",)), "따분한 결말")


def test_nothing_comes_between_a_negation_and_its_word() -> None:
    made = results(RandomInsertion(share=1), "주인공이 안 예쁘고 좋다", 60)
    assert len(made) > 1
    assert all("안 예쁘고" in text for text in made)


# --- parts of speech and senses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "불빛을 비추는 등대", "거울에 비추어 보다", "대체 휴일", "대체할 수 있다", "사람의 무지", "무지가 낳은 비극", "수작을 부린다", "허튼 수작",
        "심심한 사과", "심심한 위로", "심심한 위로를 전하다", "점을 찍다", "말도 안 되는 말", "믿는 도끼", "하얀 연기가 피어오른다", "개봉 연기", "믿을 수 없는", "담배 연기", "일정이 연기되었다", "어머니께서", "말을 타다",
    ],
)  # fmt: skip
def test_words_in_another_sense_stay(text: str) -> None:
    for analyser in ANALYSERS:
        swap = SynonymSwap(share=1, parts=("noun", "adverb", "adjective", "verb"), analyser=analyser)
        assert results(swap, text) == {text}


@pytest.mark.parametrize("text", ["이 영화 비추", "무지 재밌다", "심심한 날", "대체 왜"])
def test_words_in_the_sense_of_their_synonyms_change(text: str) -> None:
    first = next(word for word in ("비추", "무지", "심심한", "대체") if word in text.split())
    for analyser in ANALYSERS:
        made = results(SynonymSwap(share=1, analyser=analyser), text)
        assert any(first not in one.split() for one in made), (analyser, made)


def test_particles_agree_with_what_comes_in() -> None:
    for analyser in ANALYSERS:
        made = results(SynonymSwap(share=1, parts=("noun",), analyser=analyser), "영화와 결말을 스토리로")
        assert made == {"작품과 엔딩을 줄거리로", "작품과 엔딩을 내용으로"}


# --- both ----------------------------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize(
    "options", [SynonymSwap(), RandomInsertion(), SynonymSwap(share=1), RandomInsertion(share=1)]
)


@BOTH
def test_a_text_without_known_words_stays(options: LexiconOptions) -> None:
    for text in ("", " ", "\t\n ", "ㅋ", "가", "🤣🤣", "ㅋㅋㅋ ㅠㅠ", "https://a.kr/b", "don't", "\ud800", "\x00"):
        assert augment(options, text) == text


@BOTH
def test_a_result_depends_on_the_text_and_its_generator_alone(options: LexiconOptions) -> None:
    texts = [REVIEW, "", "별로 재미없는 작품 정말 실망", REVIEW]
    augmenter = options.build(AugmenterContext())
    together = augmenter(texts, [Random(seed) for seed in (1, 2, 3, 4)])
    alone = [
        options.build(AugmenterContext())([text], [Random(seed)])[0]
        for text, seed in zip(texts, (1, 2, 3, 4), strict=True)
    ]
    assert together == alone
    assert list(reversed(augmenter(texts[::-1], [Random(seed) for seed in (4, 3, 2, 1)]))) == together


@BOTH
def test_long_texts(options: LexiconOptions) -> None:
    for text in ("영화는 정말 재미있고 " * 800, "영화" * 5000, "재미있" * 3333 + "다", "가" * 10_000):
        assert augment(options, text)


SYLLABLES = st.sampled_from([*"영화재미있는정말좋다안못없이가을를고 .,!ㅋㅠ3A🤣\u1112\u1161\u11ab\u200d\n"])


@given(st.one_of(st.text(max_size=60), st.text(SYLLABLES, max_size=60)), st.integers(0, 9), st.sampled_from([0.1, 1.0]))
def test_odd_texts_never_fail(text: str, seed: int, share: float) -> None:
    for options in (SynonymSwap(share=share), RandomInsertion(share=share)):
        first, second = augment(options, text, seed), augment(options, text, seed)
        assert first == second
        assert len(first.split()) >= len(text.split())


@BOTH
def test_each_text_needs_a_generator(options: LexiconOptions) -> None:
    with pytest.raises(ValueError, match="shorter"):
        options.build(AugmenterContext())(["영화", "영화"], [Random(0)])


def test_options_are_checked() -> None:
    for wrong in (
        {"share": 0},
        {"share": 1.5},
        {"parts": ()},
        {"parts": ("particle",)},
        {"protect": True},
        {"alpha": 1},
    ):
        with pytest.raises(ValidationError):
            SynonymSwap.model_validate(wrong)


def test_a_lexicon_of_the_users(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text("감독\t연출가\n", "utf-8")
    options = SynonymSwap(lexicon=path)
    assert list(options.problems()) == []
    assert augment(options, "감독은 영화를") == "연출가는 영화를"


def test_a_faulty_lexicon_is_a_problem_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    (problem,) = SynonymSwap(lexicon=path).problems()
    assert problem.path == "lexicon"
    assert "cannot be read" in problem.message
    path.write_text("감독\t연출가\n영화\n", "utf-8")
    (problem,) = RandomInsertion(lexicon=path).problems()
    assert f"{path}: line 2: " in problem.message
    with pytest.raises(DataError, match="line 2"):
        RandomInsertion(lexicon=path).build(AugmenterContext())


def test_the_plugin_names_both() -> None:
    from kexp_korean.plugin import kexp_augmenters

    assert kexp_augmenters() == {"synonym-swap": SynonymSwap, "random-insertion": RandomInsertion}


# --- real reviews --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reviews() -> list[str]:
    path = SHARED / "data" / "nsmc" / "ratings_test.txt"
    if not path.is_file():
        pytest.skip(f"needs real reviews: {path} is not there, and KEXP_SHARED names no other folder")
    return [line.split("\t")[1] for line in path.read_text("utf-8").split("\n")[1:] if line.count("\t") == 2]


def changed(options: LexiconOptions, texts: list[str]) -> float:
    made = options.build(AugmenterContext())(texts, [Random(number) for number in range(len(texts))])
    assert not any(isinstance(one, Rejected) for one in made)
    return sum(one != other for one, other in zip(texts, made, strict=True)) / len(texts)


@pytest.mark.shared
def test_most_real_reviews_have_a_word_that_can_be_swapped(reviews: list[str]) -> None:
    assert changed(SynonymSwap(), reviews) > 0.55
    assert changed(SynonymSwap(protect="none"), reviews) > 0.63
    assert changed(RandomInsertion(), reviews) > 0.1


@pytest.mark.shared
def test_real_reviews_keep_their_eojeol_and_negations(reviews: list[str]) -> None:
    made = SynonymSwap(share=1).build(AugmenterContext())(reviews, [Random(number) for number in range(len(reviews))])
    for text, other in zip(reviews, made, strict=True):
        assert isinstance(other, str)
        before, after = text.split(), other.split()
        # A synonym may be of several words; none takes a place away.
        assert len(before) <= len(after)
        negations = [sum(bool(set(word) & set("않없")) for word in words) for words in (before, after)]
        assert negations[0] <= negations[1], (text, other)
