"""Pairs of clauses that make sense together: why, in what order, on what condition, against what.

The clauses are written as in ``lexicon``; a class named in both clauses stands for the same noun.  A
predicate marked with "<" has happened before ("약+을 <먹다": 약을 먹었는데).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Situation:
    """Causes, and the things people then do; any cause goes with any response."""

    causes: tuple[str, ...]
    responses: tuple[str, ...]


def _situation(causes: str, responses: str) -> Situation:
    return Situation(tuple(causes.split(", ")), tuple(responses.split(", ")))


SITUATIONS: Final = (
    _situation(
        "날씨+가 춥다, 바람+이 많이 불다, 눈+이 오다, 방+이 춥다, 밖+이 너무 춥다",
        "{outer}+를 입다, 문+을 단단히 닫다, 보일러+를 켜다, 집+에서 쉬다, 따뜻한 보리차+를 마시다",
    ),
    _situation(
        "비+가 오다, 비+가 많이 오다, 하늘+이 흐리다, 소나기+가 오다",
        "우산+을 가져가다, 고추+를 치우다, {home}+에서 쉬다, 창문+을 닫다, 버스+를 타다, 집+에 일찍 가다",
    ),
    _situation(
        "날씨+가 덥다, 햇볕+이 뜨겁다, 방+이 덥다, 낮+에는 너무 덥다",
        "모자+를 쓰다, 물+을 많이 마시다, 그늘+에서 쉬다, 수박+을 먹다, 선풍기+를 켜다, 창문+을 열다",
    ),
    _situation(
        "배+가 고프다, 아침+을 못 <먹다, 점심+을 조금 <먹다, 배+가 너무 고프다",
        "{food}+를 먹다, 밥+을 하다, 식당+에 가다, {food}+를 시키다, 라면+을 끓이다, {cooked}+를 만들다",
    ),
    _situation(
        "{body}+가 아프다, 감기+에 <걸리다, 열+이 나다, 몸+이 시원찮다, {body}+를 <다치다",
        "병원+에 가다, 약+을 먹다, 집+에서 쉬다, 일찍 자다, 보건소+에 가다, 조심하다",
    ),
    _situation(
        "시간+이 없다, 벌써 <늦다, 버스+가 오다, 일+이 급하다, 금방 해+가 지다",
        "빨리 가다, 택시+를 타다, 먼저 출발하다, {person}+한테 전화하다, 빨리 준비하다",
    ),
    _situation(
        "손님+이 오다, {elder}+가 오다, 집+에 잔치+가 있다, 곧 추석+이 오다",
        "방+을 치우다, {cooked}+를 만들다, {fruit}+를 사다, 마당+을 쓸다, 상+을 차리다, {fish}+를 굽다",
    ),
    _situation(
        "{crop}+가 싸다, {crop}+가 좋다, {crop}+가 싱싱하다, {crop}+가 많다",
        "{crop}+를 많이 사다, {crop}+를 조금 사다, {crop}+를 {person}+한테 보내다, 나물+을 무치다",
    ),
    _situation(
        "{fruit}+가 다 <익다, {fruit}+가 빨갛다, {fruit}+가 달다",
        "{fruit}+를 따다, {fruit}+를 팔다, {person}+한테 보내다, 같이 먹다, 시장+에 가져가다",
    ),
    _situation(
        "피곤하다, 힘+이 없다, 잠+이 오다, 어젯밤+에 못 <자다, 일+이 힘들다",
        "일찍 자다, {home}+에서 쉬다, 커피+를 마시다, 먼저 자다, 집+에 가다",
    ),
    _situation(
        "길+이 미끄럽다, 길+이 어둡다, 차+가 많다, 눈+이 많이 <오다",
        "조심하다, 천천히 걷다, {person}+하고 같이 가다, 버스+를 타다, 집+에서 자다",
    ),
    _situation(
        "돈+이 없다, 값+이 비싸다, {goods}+가 비싸다, {goods}+가 시원찮다",
        "다음+에 사다, 조금 사다, 집+에서 먹다, {person}+한테 물어보다, 시장+에 가다",
    ),
    _situation(
        "심심하다, 일+이 없다, 날씨+가 좋다, 일+이 다 <끝나다",
        "{goal}+에 가다, {person}+를 만나다, {show}+를 보다, {person}+하고 놀다, {root}+를 캐다",
    ),
)

# First one, then the other: -어서.
SEQUENCES: Final = (
    _situation(
        "{shop}+에 가다, {shop}+까지 걸어가다",
        "{goods}+를 사다, {clothes}+를 사다, {food}+를 먹다, {person}+를 만나다",
    ),
    _situation("{field}+에 가다", "{root}+를 캐다, {crop}+를 심다, 일하다, {crop}+를 보다"),
    _situation("{person}+를 만나다", "{food}+를 먹다, 이야기하다, {goal}+에 가다, {drink}+를 마시다"),
    _situation(
        "집+에 가다, 방+에 들어가다",
        "쉬다, 자다, 밥+을 먹다, {show}+를 보다, {washed}+를 씻다",
    ),
    _situation("{cooked}+를 만들다, {food}+를 사다", "{person}+한테 주다, {person}+하고 먹다, 같이 먹다"),
    _situation(
        "{fruit}+를 따다, {fruit}+를 사다",
        "{person}+한테 보내다, {person}+하고 먹다, {person}+한테 주다",
    ),
    _situation(
        "일찍 일어나다",
        "{goal}+에 가다, 마당+을 쓸다, {animal}+한테 밥+을 주다, {machine}+를 고치다",
    ),
    _situation("{fish}+를 사다", "굽다, {person}+한테 보내다, 집+에서 먹다"),
    _situation("{crop}+를 팔다", "{goods}+를 사다, {clothes}+를 사다"),
)

# If this, then that: -으면.
CONDITIONS: Final = (
    _situation(
        "비+가 오다, 눈+이 오다, 바람+이 불다",
        "밭+에 못 가다, {home}+에서 쉬다, {show}+를 보다, {cooked}+를 만들다",
    ),
    _situation(
        "시간+이 있다, 일+이 끝나다, 날씨+가 좋다",
        "{goal}+에 가다, {person}+한테 전화하다, {person}+를 만나다",
    ),
    _situation(
        "돈+이 있다, 돈+이 생기다",
        "{clothes}+를 사다, {machine}+를 고치다, {goods}+를 많이 사다",
    ),
    _situation(
        "{elder}+가 오다, {peer}+가 오다",
        "같이 {food}+를 먹다, {goal}+에 가다, {drink}+를 마시다, 말하다",
    ),
    _situation("{goal}+에 가다", "{goods}+를 사다, {person}+를 만나다, {person}+한테 전화하다"),
    _situation("{body}+가 아프다, 감기+에 걸리다", "병원+에 가다, 약+을 먹다, 집+에서 쉬다"),
    _situation("배+가 고프다", "{food}+를 먹다, {food}+를 시키다, 먼저 먹다"),
)

# To go and do something: -으러.
ERRANDS: Final = (
    _situation("{root}+를 캐다, {crop}+를 심다, {crop}+를 보다, 일하다", "{field}+에 가다"),
    _situation(
        "{goods}+를 사다, {crop}+를 팔다, {clothes}+를 사다",
        "시장+에 가다, 읍내+에 가다, 농협+에 가다",
    ),
    _situation("{person}+를 만나다, {person}+하고 놀다", "{goal}+에 가다, {far}+에 가다"),
    _situation("{food}+를 먹다, {drink}+를 마시다", "식당+에 가다, {person} 집+에 가다, 시장+에 가다"),
    _situation("{show}+를 보다, {skill}+를 배우다", "마을회관+에 가다, 읍내+에 가다, 학교+에 가다"),
)

# Meaning to do something: -으려고.
INTENTIONS: Final = (
    _situation("{cooked}+를 만들다, 김치+를 담그다", "{goods}+를 사다, {crop}+를 심다, {washed}+를 씻다"),
    _situation(
        "{person}+한테 주다, {person}+하고 먹다",
        "{cooked}+를 만들다, {fruit}+를 따다, {fish}+를 굽다",
    ),
    _situation(
        "{goal}+에 가다, {person}+를 만나다",
        "일찍 일어나다, {vehicle}+를 타다, {clothes}+를 입다",
    ),
    _situation("{clothes}+를 사다, {machine}+를 고치다", "돈+을 모으다, {crop}+를 팔다, 읍내+에 가다"),
)

# This, and yet that: -는데 and -지만, as (first, second).
CONTRASTS: Final = (
    _situation(
        "{soup}+는 맛있다, {soup}+는 싸다",
        "너무 짜다, 조금 싱겁다, 너무 뜨겁다, {spicy}+는 시원찮다",
    ),
    _situation("약+을 <먹다, 병원+에 <가다, 며칠 <쉬다", "아직 {body}+가 아프다, {body}+가 더 아프다"),
    _situation("날씨+는 춥다, 날씨+는 덥다", "일+이 많다, 하늘+은 깨끗하다, {goal}+에 사람+이 많다"),
    _situation("집+은 작다, 방+은 좁다", "마당+은 넓다, 깨끗하다, {home}+은 따뜻하다"),
    _situation("{thing}+를 <찾다, {thing}+를 다시 <찾다", "아무 데+도 없다, {home}+에 없다, 못 <찾다"),
    _situation("일찍 <일어나다, 빨리 <걷다", "버스+를 <놓치다, 벌써 사람+이 많다, 많이 <늦다"),
    _situation("{crop}+를 많이 <심다", "비+가 안 오다, 시원찮다, 값+이 너무 싸다, 다 <죽다"),
    _situation(
        "{person}+한테 <전화하다, {person}+를 <기다리다",
        "안 <오다, 안 <받다, 아직 소식+이 없다",
    ),
    _situation("{goal}+에 <가다", "문+을 <닫다, 아무+도 없다, 사람+이 너무 많다, {peer}+를 못 <만나다"),
    _situation(
        "{peer}+는 착하다, {peer}+는 부지런하다",
        "돈+이 없다, 너무 바쁘다, 말+이 없다, 일+이 서투르다",
    ),
    _situation("{goods}+는 비싸다, {clothes}+는 비싸다", "좋다, {crop}+는 싸다, 다 <사다"),
    _situation("{goal}+는 멀다", "경치+가 좋다, 자주 가다, 사람+이 많다"),
)

# Who or what something is: (topic, what it may be).
IDENTITIES: Final = (
    _situation(
        "이거+는, 그거+는, 저거+는",
        "{crop}, {fruit}, {fish}, {thing}, {elder} {thing}, {food}",
    ),
    _situation(
        "저_사람+이, 저_사람+은, 그_사람+이",
        "우리 {elder}, 우리 {peer}, 옆집 {elder}, 새 이장님, {peer} 친구",
    ),
    _situation(
        "여기+가, 저기+가, 거기+는",
        "우리 밭, 우리 집, {elder} 집, {peer} 집, 마을회관, 옛날 학교",
    ),
    _situation(
        "오늘+이, 내일+이, 모레+가",
        "장날, {elder} 생신, {peer} 생일, {elder} 제사, {peer} 결혼식, 제사",
    ),
    _situation("저_{animal}+는, 이_{animal}+는", "우리 {animal}, {elder} {animal}, 옆집 {animal}"),
)
QUESTIONS_OF_IDENTITY: Final = (
    _situation(
        "이거+는 도대체, 저거+는 대체, 이_{crop}+는 전부, {elder}+가 말씀하신 거+는",
        "뭐, 얼마, 누구 거",
    ),
    _situation("저_사람+은 대체, 저_{animal}+는 정말, 옆집 {peer}+는", "누구, 누구 집 손자, 어디 사람"),
    _situation("{elder} 생신+은, {peer} 생일+은, {elder} 제사+는 올해", "언제, 며칠"),
    _situation("{elder} 집+은, {peer} 집+은, {peer} 학교+는", "어디, 대체 어디, 정확히 어디"),
)
