"""Conjugated forms against tables written by hand."""

from __future__ import annotations

import pytest

from kexp_korean.conjugation import Kind, conjugate, honorific, past, predicate, progressive

POLITE = """
가다 가요      서다 서요      보내다 보내요    세다 세요      켜다 켜요      오다 와요      보다 봐요
배우다 배워요  주다 줘요      마시다 마셔요    치다 쳐요      되다 돼요      쉬다 쉬어요    띄다 띄어요
먹다 먹어요    잡다 잡아요    얇다 얇아요      좋다 좋아요    있다 있어요    없다 없어요    살다 살아요
하다 해요      피곤하다 피곤해요
덥다 더워요    춥다 추워요    돕다 도와요      곱다 고와요    가깝다 가까워요  입다 입어요  좁다 좁아요
걷다 걸어요    듣다 들어요    깨닫다 깨달아요  받다 받아요    믿다 믿어요
짓다 지어요    낫다 나아요    붓다 부어요      웃다 웃어요    씻다 씻어요
모르다 몰라요  부르다 불러요  서두르다 서둘러요  다르다 달라요  따르다 따라요  푸르다 푸르러요
파랗다 파래요  하얗다 하얘요  그렇다 그래요    어떻다 어때요  누렇다 누레요  놓다 놓아요    많다 많아요
쓰다 써요      크다 커요      바쁘다 바빠요    예쁘다 예뻐요  모으다 모아요  담그다 담가요  푸다 퍼요
"""

BECAUSE = """
가다 가니까    먹다 먹으니까  살다 사니까      덥다 더우니까  돕다 도우니까  걷다 걸으니까  짓다 지으니까
파랗다 파라니까  모르다 모르니까  하다 하니까  많다 많으니까  좋다 좋으니까  놓다 놓으니까  입다 입으니까
"""


def pairs(table: str) -> list[tuple[str, str]]:
    words = table.split()
    return list(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize(("lemma", "expected"), pairs(POLITE))
def test_vowel_endings(lemma: str, expected: str) -> None:
    assert conjugate(predicate(lemma), "어요") == expected


@pytest.mark.parametrize(("lemma", "expected"), pairs(BECAUSE))
def test_eu_endings(lemma: str, expected: str) -> None:
    assert conjugate(predicate(lemma), "으니까") == expected


@pytest.mark.parametrize(
    ("lemma", "ending", "expected"),
    [
        ("살다", "습니다/ㅂ니다", "삽니다"), ("가다", "습니다/ㅂ니다", "갑니다"),
        ("먹다", "습니다/ㅂ니다", "먹습니다"), ("덥다", "습니다/ㅂ니다", "덥습니다"),
        ("먹다", "는다/ㄴ다", "먹는다"), ("놀다", "는다/ㄴ다", "논다"), ("살다", "네", "사네"),
        ("살다", "고", "살고"), ("살다", "으면", "살면"), ("만들다", "음", "만듦"), ("힘들다", "음이", "힘듦이"), ("먹다", "음", "먹음"), ("살다", "을까", "살까"),
        ("살다", "으세요", "사세요"), ("살다", "는데", "사는데"), ("멀다", "은데", "먼데"),
        ("크다", "은데", "큰데"), ("춥다", "은데", "추운데"), ("듣다", "을게", "들을게"),
        ("잇다", "을게", "이을게"), ("빨갛다", "은", "빨간"), ("부르다", "으러", "부르러"),
        ("만들다", "으려고", "만들려고"), ("걷다", "는", "걷는"), ("짓다", "고", "짓고"),
        ("먹다", "읍시다", "먹읍시다"), ("팔다", "읍시다", "팝시다"), ("좋다", "지", "좋지"),
        ("춥다", "지", "춥지"),
    ],
)  # fmt: skip
def test_other_endings(lemma: str, ending: str, expected: str) -> None:
    assert conjugate(predicate(lemma), ending) == expected


@pytest.mark.parametrize(
    ("lemma", "ending", "expected"),
    [
        ("가다", "응께", "강께"), ("묵다", "응께", "묵응께"), ("먹다", "엄수다", "먹엄수다"),
        ("가다", "엄수다", "감수다"), ("하다", "엄수다", "햄수다"), ("마시다", "엄수다", "마셤수다"),
        ("크다", "수다/우다", "크우다"), ("좋다", "수다/우다", "좋수다"), ("오다", "으이소", "오이소"),
        ("놀다", "으이소", "노이소"), ("먹다", "언", "먹언"), ("보다", "언", "봔"),
        ("가다", "으쿠다", "가쿠다"), ("허다", "어라", "혀라"),
    ],
)  # fmt: skip
def test_regional_endings(lemma: str, ending: str, expected: str) -> None:
    assert conjugate(predicate(lemma), ending) == expected


@pytest.mark.parametrize(
    ("lemma", "kind", "expected"),
    [
        ("묻다", "regular", "묻어요"),
        ("묻다", None, "물어요"),
        ("이르다", "러", "이르러요"),
        ("춥다", "regular", "춥어요"),
    ],
)
def test_a_given_kind_is_kept(lemma: str, kind: Kind | None, expected: str) -> None:
    assert conjugate(predicate(lemma, kind), "어요") == expected


@pytest.mark.parametrize(
    ("lemma", "expected"),
    [
        ("가다", "갔다"), ("오다", "왔다"), ("하다", "했다"), ("덥다", "더웠다"), ("짓다", "지었다"),
        ("모르다", "몰랐다"), ("아프다", "아팠다"), ("그렇다", "그랬다"), ("되다", "됐다"),
    ],
)  # fmt: skip
def test_past(lemma: str, expected: str) -> None:
    assert past(predicate(lemma)).lemma == expected


def test_past_stems_take_eo_and_open_their_syllable() -> None:
    went = past(predicate("가다"))
    assert [conjugate(went, e) for e in ("어요", "으니까", "습니다/ㅂ니다", "지만")] == [
        "갔어요", "갔으니까", "갔습니다", "갔지만",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lemma", "polite", "casual", "former", "formal"),
    [
        ("가다", "가세요", "가셔", "가셨다", "가십니다"),
        ("앉다", "앉으세요", "앉으셔", "앉으셨다", "앉으십니다"),
        ("만들다", "만드세요", "만드셔", "만드셨다", "만드십니다"),
        ("먹다", "드세요", "드셔", "드셨다", "드십니다"),
        ("걷다", "걸으세요", "걸으셔", "걸으셨다", "걸으십니다"),
        ("돕다", "도우세요", "도우셔", "도우셨다", "도우십니다"),
    ],
)
def test_honorific(lemma: str, polite: str, casual: str, former: str, formal: str) -> None:
    word = honorific(predicate(lemma))
    assert conjugate(word, "어요") == polite
    assert conjugate(word, "어") == casual
    assert past(word).lemma == former
    assert conjugate(word, "습니다/ㅂ니다") == formal


def test_progressive() -> None:
    assert progressive(predicate("먹다")).lemma == "먹고 있다"
    assert progressive(predicate("가다"), honored=True).lemma == "가고 계시다"
    assert progressive(predicate("자다"), honored=True).lemma == "주무시고 계시다"
    assert progressive(predicate("놀다"), honored=True).lemma == "놀고 계시다"


@pytest.mark.parametrize("text", ["", "다", "먹", "eatda"])
def test_only_dictionary_forms_are_predicates(text: str) -> None:
    with pytest.raises(ValueError, match="not a dictionary form"):
        predicate(text)
