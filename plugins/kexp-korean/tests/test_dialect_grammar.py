"""The synthetic utterances: reproducible, well formed, varied, and hard enough to tell apart."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest

from kexp_korean.dialect_grammar import REGIONS, Utterance, clauses, lexicon, situations, utterances
from kexp_korean.dialect_grammar.dice import Dice
from kexp_korean.dialect_grammar.endings import STANDARD
from kexp_korean.dialect_grammar.regional_endings import ENDINGS
from kexp_korean.dialect_grammar.rendering import Copula, Phrase, Sentence, Speaker, Verb, Word
from kexp_korean.dialect_grammar.words import STEMS


@pytest.mark.parametrize("region", REGIONS)
def test_a_shorter_list_begins_a_longer_one(region: str) -> None:
    assert utterances(region, 40, seed=3) == utterances(region, 90, seed=3)[:40]
    assert utterances(region, 0, seed=3) == []


def test_seeds_differ_and_the_marker_rate_changes_dialect_forms_only() -> None:
    assert utterances("jeju", 20, seed=1) != utterances("jeju", 20, seed=2)
    plain = utterances("jeju", 50, seed=1, marker_rate=0.0)
    full = utterances("jeju", 50, seed=1, marker_rate=1.0)
    assert all(u.standard == u.dialect for u in plain)
    assert [u.standard for u in plain] == [u.standard for u in full]
    assert sum(u.standard != u.dialect for u in full) >= 48


def test_the_draws_are_the_same_everywhere() -> None:
    dice = Dice("dialect-sample/1/jeju")
    expected = random.Random("dialect-sample/1/jeju")
    assert [dice.between(0, 9) for _ in range(20)] == [int(expected.random() * 10) for _ in range(20)]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown region 'seoul'.*gyeongsang, jeolla, jeju"):
        utterances("seoul", 1, seed=0)
    with pytest.raises(ValueError, match="negative"):
        utterances("jeju", -1, seed=0)
    with pytest.raises(ValueError, match="marker_rate"):
        utterances("jeju", 1, seed=0, marker_rate=1.5)


@pytest.mark.parametrize("region", REGIONS)
def test_utterances_are_well_formed(region: str) -> None:
    sample = utterances(region, 1500, seed=5)
    for utterance in sample:
        assert re.fullmatch(rf"{region}-\d{{4}}", utterance.recording)
        for text in (utterance.standard, utterance.dialect):
            assert unicodedata.is_normalized("NFC", text)
            assert re.fullmatch(r"[가-힣]+( [가-힣]+)*[.?]", text), text
            assert 3 <= len(text.split()) <= 14
    assert len({u.standard for u in sample}) >= 0.9 * len(sample)
    assert len(sample) / 14 <= len({u.recording for u in sample}) <= len(sample) / 6 + 1


# What is said in one variety and, of these five, in no other.
MARKS = {
    "gyeongsang": "와 |억수로|아입니꺼|다 아이가[.]|니더|니꺼|다카이|카더라|카데예|이까네|하모 |디기|단디 |얼라|정구지|소풀|퍼뜩|아지매|데이[.]"
    "|쪼매|[어네지데]예[.?]|는교|[가-힣]노[?]|이소[.]|히야|누부 ",
    "jeolla": "[^ ]당께|랑께|허벌나게|솔찬히|싸게 |싸목싸목|아따|오메|쪼까|[^ ]당가|[^돼손]지라[.]|어라우|항꾸네|겁나게|구만이라",
    "jeju": "하르방|할망|어멍|아방|무사 |수다|쿠다|마씀|수과|수꽈|하영|혼저|감저|지슬|신디|촌촌이|몬딱|덴[.]|엄서",
    "chungcheong": "유[.?]|는겨|개갈|[가-힣]댜[.]|구먼유|오지게|숱하게",
    "gangwon": "드래요|우야[.]|[다네]야[.]|좋지야[.]|소꼴기|분추|왜서|얼푼|옥시기|뜨데기|할아버이|할머이",
}


@pytest.mark.parametrize("region", REGIONS)
def test_a_variety_has_no_mark_of_another(region: str) -> None:
    others = re.compile("|".join(f"(?:{marks})" for other, marks in MARKS.items() if other != region))
    own = re.compile(MARKS[region])
    sample = utterances(region, 3000, seed=7)
    for utterance in sample:
        assert not own.search(utterance.standard), utterance.standard
        assert not others.search(utterance.standard), utterance.standard
        assert not others.search(utterance.dialect), (others.search(utterance.dialect), utterance.dialect)
    assert sum(bool(own.search(utterance.dialect)) for utterance in sample) > len(sample) / 8


@pytest.mark.parametrize("region", REGIONS)
def test_words_that_mean_something_else_are_not_said(region: str) -> None:
    for utterance in utterances(region, 3000, seed=8):
        assert not re.search("맨치로|어치냑", utterance.dialect)  # "like", "last evening"
        # A question word belongs to the variety like its endings: 와, 워째, 무사.
        if utterance.dialect != utterance.standard and " 왜 " in f" {utterance.dialect} ":
            assert region in ("chungcheong",), utterance.dialect


def test_jeju_tells_what_is_going_on_by_its_endings() -> None:
    for job in (
        "say",
        "tell",
        "exclaim",
        "confirm",
        "explain",
        "remind",
        "recall",
        "trail",
        "insist",
        "realise",
        "hear",
    ):
        for ending in (*ENDINGS["jeju"][job], *ENDINGS["jeju"].get(f"{job}_p", ())):
            assert ending.verb.startswith("엄"), (job, ending)
    verb = Verb("돕다", "recall_p", STANDARD["recall_p"][0], "ongoing", honorific=True)
    said = {Speaker(Dice(str(seed)), "jeju", 1.0).say(Sentence((verb,), ".")) for seed in range(20)}
    assert said == {"도우셤서라마씀.", "도우셤더라고양."}


@pytest.mark.parametrize(
    ("lemma", "expected"),
    [("놀다", "놀고 계세요"), ("입다", "입고 계세요"), ("돕다", "돕고 계세요"), ("굽다", "굽고 계세요"), ("듣다", "듣고 계세요"),
     ("먹다", "드시고 계세요"), ("자다", "주무시고 계세요"), ("만들다", "만들고 계세요")],
)  # fmt: skip
def test_honoured_actions_go_on_with_the_plain_stem(lemma: str, expected: str) -> None:
    verb = Verb(lemma, "say_p", STANDARD["say_p"][0], "ongoing", honorific=True)
    assert Speaker(Dice("x")).say(Sentence((verb,), ".")) == f"{expected}."


@pytest.mark.parametrize("region", REGIONS)
def test_only_lasting_actions_are_going_on(region: str) -> None:
    for utterance in utterances(region, 3000, seed=9):
        assert not re.search("(?:만나|보내|빌리|가져가|잃어버리|다치|일어나)고 (?:있|계)", utterance.standard), (
            utterance.standard
        )
        assert not re.search("어제부터", utterance.standard)


def test_every_written_clause_can_be_filled_and_said() -> None:
    dice = Dice("clauses")
    tables = (situations.SITUATIONS, situations.SEQUENCES, situations.CONDITIONS, situations.ERRANDS,
              situations.INTENTIONS, situations.CONTRASTS)  # fmt: skip
    texts = [text for table in tables for s in table for text in (*s.causes, *s.responses)]
    texts += [text.replace("/", " ") for text in (*lexicon.STATES, *lexicon.QUALITIES)]
    texts += [action.clause for action in lexicon.ACTIONS]
    for text in texts:
        clause = clauses.fill(dice, text, {})
        verb = Verb(clause.lemma, "say_p", STANDARD["say_p"][0])
        for region in (None, *REGIONS):
            spoken = Speaker(dice, region, 1.0).say(Sentence((*clause.before, verb), "."))
            assert re.fullmatch(r"[가-힣 ]+\.", spoken), spoken


def test_the_varieties_do_the_jobs_of_the_standard() -> None:
    for region in REGIONS:
        assert ENDINGS[region].keys() <= STANDARD.keys()
        assert all(lemma.endswith("다") for lemma in STEMS[region])


@pytest.mark.parametrize(
    ("region", "parts", "expected"),
    [
        ("gyeongsang", [Phrase("할아버지", "가"), "먹다", "ask_what"], "(할배|할아부지)가 묵노."),
        ("jeju", [Phrase("고구마", "를"), "먹다", "ask_p"], "감저를 먹엄수(과|꽈)."),
        ("jeju", [Phrase("어머니", "는"), "오다", "because"], "어멍은 오난."),
        ("jeolla", [Phrase("비", "가"), "오다", "because"], "비가 (옹께|오니께|옹께로)."),
        ("chungcheong", [Word("빨리"), "오다", "do_p"], "(얼릉|후딱|얼른) 오(슈|세유)."),
        ("gangwon", [Phrase("감자", "는"), "좋다", "remind"], "감재는 좋(잖나|장가|잖소)."),
        ("jeolla", [Phrase("부추", "를"), "먹다", "if"], "솔을 묵으(믄|먼)."),
        ("gyeongsang", [Word("왜"), "춥다", "say_p"], "와 춥어예."),
    ],
)
def test_regional_forms_conjugate_and_agree(region: str, parts: list[Word | Phrase | str], expected: str) -> None:
    first, lemma, job = parts
    assert isinstance(first, (Word, Phrase))
    assert isinstance(lemma, str)
    assert isinstance(job, str)
    sentence = Sentence((first, Verb(lemma, job, STANDARD[job][0])), ".")
    for number in range(10):
        assert re.fullmatch(expected, Speaker(Dice(str(number)), region, 1.0).say(sentence))


def test_the_copula_agrees_with_the_regional_noun() -> None:
    sentence = Sentence((Phrase("이거", "는"), Copula("고구마", "be_p", STANDARD["be_p"][0])), ".")
    assert Speaker(Dice("x")).say(sentence) == "이거는 고구마예요."
    assert Speaker(Dice("x"), "jeju", 1.0).say(sentence) in ("이거는 감저우다.", "이거는 감저마씀.")


def test_telling_the_varieties_apart_is_neither_trivial_nor_hopeless() -> None:
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = four_classes(seed=1, per_class=1200)
    held_out = {recording for recording in {r for _, _, r in rows} if Dice(f"split/{recording}").chance(0.2)}
    train = [row for row in rows if row[2] not in held_out]
    test = [row for row in rows if row[2] in held_out]
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=4.0, tol=1e-3)
    model.fit(vectors.fit_transform([text for text, _, _ in train]), [label for _, label, _ in train])
    accuracy = model.score(vectors.transform([text for text, _, _ in test]), [label for _, label, _ in test])
    assert 0.80 <= accuracy <= 0.95


def four_classes(seed: int, per_class: int) -> list[tuple[str, str, str]]:
    """Return (text, class, recording) rows of three regions and the standard, from differing pairs."""
    kept: list[Utterance] = []
    rows: list[tuple[str, str, str]] = []
    for region in ("gyeongsang", "jeju", "jeolla"):
        differing = [u for u in utterances(region, 2 * per_class, seed=seed) if u.standard != u.dialect]
        rows += [(u.dialect, region, u.recording) for u in differing[:per_class]]
        kept += differing
    standard = random.Random(seed).sample(kept, per_class)
    return rows + [(u.standard, "standard", u.recording) for u in standard]
