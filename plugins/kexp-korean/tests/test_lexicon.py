"""The lexicon: its content, files of users, and words looked up as they stand in texts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import pytest

from kexp.contracts import AugmenterContext
from kexp.errors import DataError
from kexp.hangul import is_syllable
from kexp_korean.lexicon import BUNDLED, Lexicon, bundled, read_lexicon
from kexp_korean.synonyms import SynonymSwap

# None of these pairs may ever be in one group.
OPPOSITES = """
좋다 형편없다    재미있다 지루하다   재밌다 재미없다   흥미롭다 따분하다   예쁘다 추하다      아름답다 흉하다
훌륭하다 형편없다  뛰어나다 부족하다   완벽하다 미흡하다  탄탄하다 엉성하다   자연스럽다 어색하다  신선하다 식상하다
참신하다 뻔하다   독특하다 평범하다   따뜻하다 싸늘하다  즐겁다 슬프다      유쾌하다 불쾌하다   통쾌하다 답답하다
똑똑하다 멍청하다  현명하다 어리석다   착하다 못되다      친절하다 무례하다   편하다 불편하다     쉽다 힘들다
비싸다 저렴하다   빠르다 느리다       깨끗하다 더럽다     깔끔하다 지저분하다  안타깝다 통쾌하다   고맙다 밉다
맛있다 싱겁다     강하다 나약하다     조용하다 시끄럽다  차분하다 산만하다   공정하다 불공정하다  섬세하다 투박하다
치밀하다 허술하다  풍부하다 빈약하다   유익하다 해롭다     무겁다 하찮다       멋지다 촌스럽다     만족스럽다 아쉽다
감격스럽다 허무하다 뿌듯하다 부끄럽다  뜻깊다 무의미하다   익숙하다 낯설다     고급스럽다 천박하다  유용하다 쓸모없다
좋아하다 싫어하다  사랑하다 미워하다   추천하다 욕하다     칭찬하다 비난하다   극찬하다 비판하다    기대하다 실망하다
감동하다 실망하다  늘어나다 줄어들다   믿다 속이다         즐거워하다 화나다    설레다 질리다        돋보이다 망치다
흥행하다 망치다   쩔다 구역질나다     견디다 포기하다     결혼하다 헤어지다    응원하다 헐뜯다      성취하다 포기하다
너무 약간         가장 조금           항상 가끔            절대 꼭              빨리 천천히          혼자 함께
이미 아직         갑자기 천천히       아주 다소            자주 가끔            일부러 우연히        대충 열심히
명작 졸작         걸작 망작           꿀잼 노잼            강추 비추            장점 단점            감동 짜증
기쁨 슬픔         희망 걱정           칭찬 비난            영웅 악당            이득 피해            참신함 식상함
여자 남자         엄마 아빠           초반 후반            속편 전작            독창적 현실적        긍정적 부정적
"""


def opposites() -> list[tuple[str, str]]:
    words = OPPOSITES.split()
    return list(zip(words[::2], words[1::2], strict=True))


def read(lexicon: Lexicon, word: str) -> list[str]:
    reading = lexicon.find(word)
    return [] if reading is None else list(reading.forms)


# --- what is in it -------------------------------------------------------------------------------------------------


def test_the_bundled_lexicon_is_large_and_each_word_stands_once() -> None:
    entries = bundled().entries
    assert len({(entry.part, entry.word, entry.context) for entry in entries}) == len(entries)
    counts = {part: sum(entry.part == part for entry in entries) for part in ("adjective", "verb", "adverb", "noun")}
    assert all(count >= 300 for count in counts.values()), counts


def test_files_have_one_part_of_speech_and_at_most_300_lines() -> None:
    for path in BUNDLED.glob("*.tsv"):
        assert len({entry.part for entry in read_lexicon(path)}) == 1, path
        assert len(path.read_text("utf-8").splitlines()) <= 300, path


def test_groups_are_symmetrical() -> None:
    entries = Lexicon(read_lexicon(BUNDLED / "determiners.tsv")).entries
    of = {(entry.word, entry.context): entry.synonyms for entry in entries}
    (context,) = {context for word, context in of if word == "저런"}
    assert of["저런", context] == ("저러한",)
    assert of["저러한", context] == ("저런",)


def test_verbs_and_adjectives_are_dictionary_forms() -> None:
    for entry in bundled().entries:
        assert entry.part is not None
        if entry.part in ("adjective", "verb"):
            assert entry.word.endswith("다"), entry.word


@pytest.mark.parametrize(("one", "other"), opposites())
def test_opposites_share_no_group(one: str, other: str) -> None:
    for entry in bundled().entries:
        assert not {one, other} <= {entry.word, *entry.synonyms}, entry


def test_the_files_say_what_they_are() -> None:
    for path in BUNDLED.glob("*.tsv"):
        first = path.read_text("utf-8").splitlines()[0]
        assert first.startswith("#")
        assert "kexp" in first


# --- intensity, register, homographs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "weaker"),
    [("좋은", "괜찮은"), ("좋다", "괜찮다"), ("재밌는", "볼만한"), ("재미있다", "괜찮다"), ("최고다", "괜찮음"), ("노잼", "핵노잼"),
     ("핵노잼", "노잼"), ("명작", "수작"), ("최악의", "나쁜"), ("유치하다", "유치찬란하다"), ("좋아하는", "사랑하는")],
)  # fmt: skip
def test_intensity_is_kept(word: str, weaker: str) -> None:
    for before in ("", "영화가", "정말"):
        for after in ("", "영화", "작품"):
            found = bundled().find(word, before, after)
            assert found is None or weaker not in found.forms


@pytest.mark.parametrize(
    ("before", "word", "after", "expected"),
    [
        ("내", "최고다", "", "으뜸이다"), ("", "최고의", "영화", "최상의"), ("", "최악의", "영화", "최하의"),
        ("", "연기가", "좋다", "연기력이"), ("이", "감독은", "왜", "연출자는"), ("", "감동이", "있는", "울림이"),
        ("", "내용도", "없고", "줄거리도"), ("이런", "쓰레기를", "왜", "허접쓰레기를"), ("이", "드라마", "정말", "작품"),
        ("1점도", "아깝다", "", "과분하다"), ("시간이", "아까웠다", "", "낭비였다"), ("", "완전", "재밌다", "정말"),
        ("스토리가", "별로", "없다", "그다지"), ("영화", "봤는데", "재밌다", "감상했는데"), ("연기가", "좋았다", "", "마음에 들었다"),
        ("", "내", "인생", "나의"), ("", "지렸다", "", "지렸음"), ("", "맛봤습니다", "", "맛봤어요"), ("연기", "최고", "", "짱"), ("사랑에", "대한", "영화", "관한"), ("누가", "만든", "영화냐", "제작한"), ("보는", "것은", "처음", "건"),
    ],
)  # fmt: skip
def test_frequent_words_of_reviews_are_found(before: str, word: str, after: str, expected: str) -> None:
    found = bundled().find(word, before, after)
    assert found is not None
    assert expected in found.forms


@pytest.mark.parametrize(
    ("before", "word", "after"),
    [
        ("", "비추는", "거울"), ("", "비추고", ""), ("", "심심한", "사과를"), ("점을", "찍고", ""), ("", "믿을", "수"),
        ("", "대체", "에너지"), ("그들의", "무지", ""), ("뻔한", "수작", "부리지"), ("", "연기를", "잘한다"), ("", "연기", "나는"),
        ("봉준호", "감독의", "영화"), ("생각해", "봤는데", ""), ("알고", "보니", ""), ("눈물이", "나왔다", ""), ("화가", "난", "사람"),
        ("", "완전", "히트"), ("안젤리나", "졸리는", "여전사"), ("", "더", "이상"), ("하기", "전", "세계"),
        ("이에", "반해", ""), ("바다가", "피로", "물든다"), ("", "합니까", ""), ("", "친구나", ""), ("", "바라는", "것"),
    ],
)  # fmt: skip
def test_homographs_and_set_phrases_are_not_read(before: str, word: str, after: str) -> None:
    found = bundled().find(word, before, after)
    assert found is None or found.entry.part == "ending"


@pytest.mark.parametrize(
    ("word", "expected"),
    [("추천하시는", "권하시는"), ("만나신", ""), ("말씀하셨다", "이야기하셨다"), ("드세요", "잡수세요"), ("드시고", "잡수시고"),
     ("주무셨어요", "잠드셨어요"), ("재미있으셨다면", "재밌으셨다면"), ("고르셨네요", "선택하셨네요"), ("멋지십니다", "근사하십니다")],
)  # fmt: skip
def test_honorific_forms_are_found(word: str, expected: str) -> None:
    assert expected in (read(bundled(), word) or [""])


SHARED = Path(os.environ.get("KEXP_SHARED", Path(__file__).parents[4] / "shared"))
REVIEWS = SHARED / "data" / "nsmc" / "ratings_test.txt"


@pytest.mark.skipif(not REVIEWS.is_file(), reason="needs the shared reviews")
def test_share_of_eojeol_of_reviews_with_a_word_that_can_be_swapped() -> None:
    lines = REVIEWS.read_text("utf-8").splitlines()[1:4001]
    eojeol = hangul = found = 0
    for line in lines:
        words = line.split("\t")[1].split()
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
            runs = re.findall("(?<![0-9A-Za-z가-힣])[가-힣]++(?![0-9A-Za-z])", word)
            eojeol += 1
            hangul += any(map(is_syllable, word))
            found += any(bundled().find(run, before, after) is not None for run in runs)
    assert found / eojeol >= 0.37
    assert found / hangul >= 0.38


# --- particles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("영화는", "작품은"), ("작품은", "영화는"), ("음식이", "요리가"), ("요리가", "음식이"), ("영화를", "작품을"),
        ("작품과", "영화와"), ("영화와", "작품과"), ("작품으로", "영화로"), ("영화로", "작품으로"), ("결말로", "엔딩으로"),
        ("엔딩으로", "결말로"), ("영화다", "작품이다"), ("작품이었다", "영화였다"), ("영화였어요", "작품이었어요"),
        ("영화예요", "작품이에요"), ("영화에요", "작품이에요"), ("작품입니다", "영화입니다"), ("영화에서는", "작품에서는"),
        ("영화들이", "작품들이"), ("영화라서", "작품이라서"), ("작품이네요", "영화네요"), ("영화", "작품"),
        ("극장부터", "영화관부터"), ("영화처럼", "작품처럼"), ("매력적인", "매혹적인"), ("마음에", "맘에"),
    ],
)  # fmt: skip
def test_particles_agree_with_the_new_noun(word: str, expected: str) -> None:
    assert read(bundled(), word) == [expected]


@pytest.mark.parametrize(
    "word", ["영화은", "작품는", "음식가", "영화제", "감상하고", "배우고", "배우면", "이유식", "가", ""]
)
def test_what_only_looks_like_a_noun_with_particles_is_not_read(word: str) -> None:
    reading = bundled().find(word)
    assert reading is None or reading.entry.part != "noun"


# --- conjugation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("재미있었어요", "흥미로웠어요"), ("재미있는", "흥미로운"), ("흥미로운데", "재밌는데"), ("예쁜", "고운"),
        ("예뻐서", "고와서"), ("고운", "예쁜"), ("좋지만", "마음에 들지만"), ("좋은", "마음에 드는"), ("좋네요", "마음에 드네요"),
        ("슬펐다", "가슴 아팠다"), ("감동적이었다", "감명 깊었다"), ("감동적인", "감명 깊은"), ("힘든", "힘겨운"), ("힘겨워서", "힘들어서"), ("커다란", "거대한"), ("빨라서", "신속해서"),
        ("고르는", "선택하는"), ("선택했다", "골랐다"), ("골라서", "선택해서"), ("선택한다", "고른다"), ("추천합니다", "권합니다"),
        ("감사합니다", "고맙습니다"), ("귀엽고", "깜찍하고"), ("지루함", "따분함"), ("지루하였다", "따분했다"),
        ("헤매는", "방황하는"), ("떠올라", "기억나"), ("깨닫게", "깨우치게"), ("깨우쳤다", "깨달았다"), ("어설퍼요", "엉성해요"),
        ("끝내줘요", "쩔어요"), ("끝내주는", "쩌는"), ("엉성하니까", "어설프니까"), ("신신하고", ""), ("독특하면", "특이하면"),
    ],
)  # fmt: skip
def test_replacements_take_the_ending(word: str, expected: str) -> None:
    assert expected in (read(bundled(), word) or [""])


def test_present_tense_of_verbs_and_adjectives_differs() -> None:
    lexicon = bundled()
    assert "만끽하는" in read(lexicon, "즐기는")
    assert "만끽한다" in read(lexicon, "즐긴다")
    assert "따분하다" in read(lexicon, "지루하다")
    assert read(lexicon, "지루한다네") == []


def test_adverbs_are_read_as_they_stand() -> None:
    assert set(read(bundled(), "정말")) == {"진짜", "정말로", "진짜로"}
    assert read(bundled(), "정말을") == []
    # An intensifier in a review, although it is a form of 더럽다 too.
    assert read(bundled(), "더럽게") == ["드럽게"]


# --- files of users ------------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> Path:
    path = folder / "words.tsv"
    path.write_text(text, "utf-8")
    return path


def test_reads_two_and_three_columns(tmp_path: Path) -> None:
    text = "# mine\n\n영화\t작품, OST\r\nadverb\t정말\t진짜\nverb\t먹다\t섭취하다\n예쁘다\t곱다\n바다\t해양\n"
    lexicon = Lexicon(read_lexicon(write(tmp_path, text)))
    assert read(lexicon, "영화는") == ["작품은", "OST는"]
    assert read(lexicon, "먹는다") == ["섭취한다"]
    assert read(lexicon, "정말") == ["진짜"]
    # Without a part of speech, words in 다 take the endings that verbs and adjectives share.
    assert read(lexicon, "예뻤어요") == ["고왔어요"]
    assert read(lexicon, "예쁜") == []
    assert read(lexicon, "바다를") == ["해양을"]
    assert read(lexicon, "진짜") == []


def test_reads_groups_and_where_they_hold(tmp_path: Path) -> None:
    text = (
        "noun\t영화 = 작품\n값 = 가격\n드라마\t작품, 극\tprevious: 이, 그\tnot next: 장르\n"
        "noun\t연기\t연기력\tendings: 이/가, -\nadverb\t무지\t엄청\thomograph\nadjective\t좋다\t마음에 들다 (verb), 멋지다\n"
        "ending\t에게\t한테\n"
    )
    lexicon = Lexicon(read_lexicon(write(tmp_path, text)))
    assert read(lexicon, "영화는") == ["작품은"]
    assert read(lexicon, "작품은") == ["영화는"]
    assert read(lexicon, "가격이") == ["값이"]
    assert read(lexicon, "드라마는") == []
    found = lexicon.find("드라마는", "이", "재밌다")
    assert found is not None
    assert found.forms == ("작품은", "극은")
    assert lexicon.find("드라마는", "이", "장르가") is None
    assert (read(lexicon, "연기가"), read(lexicon, "연기"), read(lexicon, "연기를")) == (["연기력이"], ["연기력"], [])
    assert read(lexicon, "좋다") == ["마음에 든다", "멋지다"]
    assert read(lexicon, "좋은데") == ["마음에 드는데", "멋진데"]
    assert read(lexicon, "친구에게") == ["친구한테"]
    homograph = lexicon.find("무지")
    assert homograph is not None
    assert homograph.entry.homograph


def test_homographs_are_not_swapped_without_more_knowledge(tmp_path: Path) -> None:
    path = write(tmp_path, "adverb\t무지\t엄청\thomograph\nnoun\t영화\t작품\n")
    swap = SynonymSwap(lexicon=path, share=1).build(AugmenterContext())
    assert swap(["무지 좋은 영화"], [Random(1)]) == ["무지 좋은 작품"]


def test_reads_decomposed_syllables_and_a_byte_order_mark(tmp_path: Path) -> None:
    import unicodedata

    path = write(tmp_path, "\ufeff" + unicodedata.normalize("NFD", "영화\t작품\n"))
    assert read(Lexicon(read_lexicon(path)), "영화") == ["작품"]


@pytest.mark.parametrize(
    ("line", "finding", "remedy"),
    [
        ("영화", "1 cells", "write word, tab, synonyms"),
        ("a\tb\tc\td", "4 cells", "write word, tab, synonyms"),
        ("nuon\t영화\t작품", '"nuon" is no part of speech', 'did you mean "noun"?'),
        ("film\t영화", '"film" is not one word in Hangul', "remove the line"),
        ("두 말\t한 말", '"두 말" is not one word', "remove the line"),
        ("\t작품", '"" is not one word', "remove the line"),
        ("영화\t , ", '"영화" has nothing as a synonym', "name other words"),
        ("영화\t작품,영화", '"영화" has itself as a synonym', "name other words"),
        ("verb\t먹다\t섭취", '"섭취" is no dictionary form of the verb', "write the form that ends in 다"),
        ("noun\t영화\t작품\tprevios: 이", '"previos" is no condition', 'did you mean "previous"?'),
        ("noun\t영화\t작품\tnext:", '"next" names nothing', "write one list"),
        ("noun\t영화\t작품\tnext: 가\tnext: 나", '"next" stands twice', "write one list"),
        ("noun\t영화 =", '"영화" has nothing as a synonym', "name other words"),
        ("감독\t연출자", '"감독" stands in line 2 already', "join the two lines"),
    ],
)
def test_faulty_lines_are_told_with_file_and_line(tmp_path: Path, line: str, finding: str, remedy: str) -> None:
    path = write(tmp_path, f"# words\n감독\t제작자\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_lexicon(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: line 3: ")
    assert finding in message
    assert remedy in message


def test_all_faulty_lines_are_told_at_once_but_not_more_than_five(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_lexicon(write(tmp_path, "영화\n" * 8))
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    assert lines[-1].endswith("3 more lines are faulty")


@pytest.mark.parametrize(("text", "finding"), [("", "the file is empty"), ("# nothing\n", "no entries")])
def test_refuses_files_without_entries(tmp_path: Path, text: str, finding: str) -> None:
    with pytest.raises(DataError, match=finding):
        read_lexicon(write(tmp_path, text))


def test_a_form_of_two_verbs_is_not_read(tmp_path: Path) -> None:
    lexicon = Lexicon(read_lexicon(write(tmp_path, "verb\t날다\t비행하다\nverb\t나다\t생기다\n")))
    assert read(lexicon, "나는") == []
    assert read(lexicon, "날면") == ["비행하면"]
