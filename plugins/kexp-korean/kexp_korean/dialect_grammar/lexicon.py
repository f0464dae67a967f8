"""What the speakers talk about: nouns by class, and the clauses that are made of them.

A clause is written as its words in order, closed by a predicate in its dictionary form.  A noun and
its particle are joined by "+"; ``{food}`` stands for any noun of that class, and "_" for a space inside
a noun.  Which noun goes with which predicate is said here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    """Split a written list; "_" stands for a space."""
    return tuple(word.replace("_", " ") for word in text.split())


NOUNS: Final[dict[str, tuple[str, ...]]] = {
    name: _words(text)
    for name, text in {
        "food": "밥 국수 떡 고기 생선 미역국 비빔밥 수제비 칼국수 라면 두부 누룽지 옥수수 고구마 감자 만두",
        "cooked": "떡 미역국 비빔밥 수제비 칼국수 두부 누룽지 만두 된장찌개 나물 식혜 깍두기",
        "dish": "김치 미역국 된장찌개 국수 나물 생선 깍두기 비빔밥 수제비 칼국수",
        "spicy": "김치 깍두기 된장찌개 비빔밥 고추 마늘",
        "soup": "미역국 된장찌개 국수 수제비 칼국수 라면",
        "drink": "물 커피 막걸리 식혜 우유 보리차 소주",
        "crop": "고구마 감자 고추 마늘 파 배추 무 콩 옥수수 상추 부추 깨 호박 오이",
        "root": "고구마 감자 마늘 당근 도라지 냉이 더덕",
        "fruit": "감 귤 사과 배 복숭아 포도 대추 살구",
        "fish": "고등어 갈치 오징어 명태 조기",
        "goods": "사과 생선 고기 두부 계란 배추 무 부추 신발 양말 수건 쌀 소금 고등어 상추 마늘 떡 그릇",
        "clothes": "바지 치마 잠바 한복 양복 내복 외투 새_옷",
        "outer": "두꺼운_옷 잠바 외투 내복 긴_바지",
        "laundry": "이불 양말 수건 바지 옷 걸레",
        "washed": "손 발 그릇 상추 배추 무 쌀",
        "thing": "열쇠 지갑 안경 휴대폰 우산 가방 가위 호미 리모컨 모자 장갑 수건 신발 도장",
        "machine": "자전거 냉장고 경운기 텔레비전 보일러 세탁기 선풍기 지붕 대문",
        "vehicle": "버스 기차 택시 배",
        "animal": "개 고양이 닭 소 돼지 염소 강아지 병아리 토끼",
        "body": "머리 배 허리 다리 무릎 어깨 눈 팔",
        "show": "드라마 뉴스 영화 야구 씨름 노래자랑",
        "skill": "한글 노래 컴퓨터 장구 서예 민요",
        "home": "집 마당 방 부엌 마루",
        "shop": "시장 마트 가게 읍내 농협",
        "field": "밭 논 텃밭 뒷산",
        "outdoors": "공원 바다 학교 마을회관 동네 산 길",
        "goal": "병원 시장 학교 읍내 밭 바다 은행 우체국 미용실 목욕탕 마을회관 경로당 서울 보건소 도서관 산",
        "far": "병원 학교 시장 바다 읍내 우체국 서울",
        "elder": "할머니 할아버지 아버지 어머니 이모 고모 삼촌 선생님 이장님 아주머니 아저씨",
        "peer": "형 누나 언니 동생 친구 조카 손자 며느리 사위 아이 민수 영희 순자 철수 미경이 옆집_아이",
        "feast": "제사 잔치 생일 추석 설 돌잔치",
    }.items()
}
NOUNS["person"] = NOUNS["elder"] + NOUNS["peer"]

ADJECTIVES: Final = frozenset(
    _words(
        "춥다 덥다 맵다 짜다 싱겁다 달다 뜨겁다 맛있다 비싸다 싸다 좋다 아프다 크다 작다 예쁘다 바쁘다"
        " 멀다 가깝다 많다 없다 있다 무섭다 무겁다 가볍다 시끄럽다 피곤하다 넓다 좁다 어둡다"
        " 미끄럽다 고프다 흐리다 시원하다 따뜻하다 어렵다 귀엽다 깨끗하다 힘들다 시원찮다 싱싱하다"
        " 착하다 급하다 빨갛다 심심하다 부지런하다 얇다 서투르다"
    )
)

# Adverbs that fit any action, and words of degree that fit any quality.
MANNER: Final = _words("빨리 천천히 같이 혼자 먼저 다시 또 많이 조금 다 계속 잘")
DEGREE: Final = _words("너무 아주 정말 진짜 참 조금 좀 많이 되게 엄청")

PAST_TIMES: Final = _words("어제 아까 그저께 지난주에 어젯밤에 작년에 저번에 아침에 금방 엊그제 지난_장날에")
ONGOING_TIMES: Final = _words("지금 아직 요즘 아침부터 아까부터")
HABIT_TIMES: Final = _words("요즘 매일 항상 요새 맨날 아침마다 가끔")
FUTURE_TIMES: Final = _words("내일 모레 나중에 이따가 저녁에 다음_주에 주말에 이제 내일_아침에 오후에 점심에")
OPENERS: Final = _words("아이고 그런데 근데 그래서 그러니까 글쎄 아니 참 그래 야 있잖아 그거")
PERIODS: Final = {"past": PAST_TIMES, "present": HABIT_TIMES, "ongoing": ONGOING_TIMES}
SAYABLE_WHILE_ONGOING: Final = frozenset(_words("같이 혼자 계속 천천히 많이 조금"))
FORBIDDABLE: Final = frozenset(_words("같이 혼자 계속 먼저 또 다"))  # 혼자 가지 마, but not 조금 가지 마
FILLERS: Final = _words("그 뭐 인자 막 어 이제 그냥 좀 음 인제")  # heard everywhere, so never a marker


@dataclass(frozen=True, slots=True)
class Action:
    """Something people do; ``places`` are where, ``asked`` is the interrogative of its object."""

    clause: str
    places: tuple[str, ...] = ()
    adverbs: tuple[str, ...] = MANNER
    asked: str = "뭐"
    wilful: bool = True  # can be commanded, suggested and intended
    lasting: bool = True  # can be going on: 먹고 있다, but not 만나고 있다


_MOMENTARY: Final = _words(
    "사다 입다 잃어버리다 가져오다 닫다 만나다 전화하다 보내다 말하다 가다 타다 일어나다 가져가다 다치다 빌리다 걷다"
)


def _action(clause: str, places: str = "", adverbs: str = "", asked: str = "뭐", *, wilful: bool = True) -> Action:
    lasting = clause.rpartition(" ")[2] not in _MOMENTARY
    return Action(clause, _words(places), _words(adverbs) or MANNER, asked, wilful, lasting)


ACTIONS: Final = (
    _action("{food}+를 먹다", "{home}+에서 식당+에서 시장+에서", "많이 천천히 같이 혼자 다 조금 실컷 또"),
    _action("{drink}+를 마시다", "{home}+에서 식당+에서", "많이 천천히 같이 혼자 다 조금"),
    _action("{cooked}+를 만들다", "부엌+에서 집+에서", "많이 같이 혼자 조금 빨리"),
    _action("{goods}+를 사다", "{shop}+에서", "많이 조금 같이 또 다시 먼저"),
    _action("{crop}+를 팔다", "시장+에서 읍내+에서", "많이 조금 다 같이"),
    _action("{crop}+를 심다", "{field}+에", "많이 조금 같이 혼자 다 빨리"),
    _action("{root}+를 캐다", "{field}+에서", "많이 조금 같이 혼자 다"),
    _action("{fruit}+를 따다", "과수원+에서 마당+에서", "많이 조금 같이 혼자 다"),
    _action("{fish}+를 굽다", "마당+에서 부엌+에서", "많이 같이 조금 천천히"),
    _action("{clothes}+를 입다", "", "먼저 따뜻하게 빨리 다시 또"),
    _action("{laundry}+를 빨다", "마당+에서 집+에서", "빨리 혼자 같이 다 깨끗이"),
    _action("{washed}+를 씻다", "부엌+에서 마당+에서", "깨끗이 빨리 먼저 잘 다시"),
    _action("{thing}+를 찾다", "{home}+에서 {outdoors}+에서", "빨리 같이 계속 다시 혼자"),
    _action("{thing}+를 잃어버리다", "{shop}+에서 {outdoors}+에서", "또 다", wilful=False),
    _action("{thing}+를 가져오다", "", "빨리 먼저 다시 다"),
    _action("{machine}+를 고치다", "", "빨리 혼자 다시 같이 다 잘"),
    _action("{animal}+를 찾다", "마당+에서 {outdoors}+에서", "빨리 같이 계속 다시 혼자"),
    _action("{animal}+한테 밥+을 주다", "", "빨리 먼저 많이 조금 같이", asked=""),
    _action("{show}+를 보다", "집+에서 방+에서 마을회관+에서", "같이 혼자 계속 다 또"),
    _action("노래+를 듣다", "집+에서 방+에서", "같이 혼자 계속 또"),
    _action("노래+를 부르다", "마을회관+에서 방+에서", "같이 혼자 계속 잘 크게"),
    _action("{skill}+를 배우다", "학교+에서 마을회관+에서", "같이 혼자 다시 천천히 계속"),
    _action("김치+를 담그다", "집+에서 마당+에서", "많이 같이 혼자 조금"),
    _action("고추+를 말리다", "마당+에서", "잘 많이 다 같이"),
    _action("마당+을 쓸다", "", "깨끗이 빨리 같이 혼자 다", asked=""),
    _action("방+을 치우다", "", "깨끗이 빨리 같이 혼자 다", asked=""),
    _action("문+을 닫다", "", "단단히 빨리 다 잘", asked=""),
    _action("{person}+를 만나다", "{shop}+에서 {outdoors}+에서", "같이 혼자 먼저 또 다시", asked="누구"),
    _action("{person}+를 기다리다", "{shop}+에서 {outdoors}+에서", "같이 혼자 계속", asked="누구"),
    _action("{person}+를 돕다", "{field}+에서 집+에서", "같이 많이 또 잘", asked="누구"),
    _action("{person}+한테 전화하다", "", "빨리 먼저 또 다시", asked=""),
    _action("{person}+한테 {fruit}+를 보내다", "", "먼저 많이 또 조금 빨리"),
    _action("{person}+한테 말하다", "", "먼저 다시 잘 또 빨리 다", asked=""),
    _action("{person}+하고 이야기하다", "{home}+에서 {outdoors}+에서", "계속 또 다시 많이 같이", asked=""),
    _action("{person}+하고 놀다", "{home}+에서 {outdoors}+에서", "계속 같이 많이 잘", asked=""),
    _action("{goal}+에 가다", "", "같이 혼자 먼저 빨리 또 다시", asked="어디"),
    _action("{goal}+까지 걷다", "", "같이 혼자 천천히 빨리", asked="어디"),
    _action("{vehicle}+를 타다", "읍내+에서 학교_앞+에서", "같이 혼자 먼저 빨리 또"),
    _action("{home}+에서 쉬다", "", "같이 혼자 조금 많이 좀 잘", asked=""),
    _action("{home}+에서 자다", "", "같이 혼자 먼저 많이 잘", asked=""),
    _action("{field}+에서 일하다", "", "같이 혼자 많이 계속 조금", asked=""),
    _action("일찍 일어나다", "", "먼저 다", asked=""),
    _action("쌀+을 가져가다", "", "많이 조금 먼저 다 또"),
    _action("{body}+를 다치다", "{field}+에서 {outdoors}+에서", "또 많이 조금", wilful=False),
    _action("{person}+한테 {thing}+를 빌리다", "", "또 먼저 다시 같이"),
    _action("{feast}+를 준비하다", "집+에서", "같이 혼자 미리 빨리"),
    _action("나물+을 무치다", "부엌+에서 집+에서", "많이 조금 같이 빨리"),
    _action("콩+을 줍다", "{field}+에서 마당+에서", "많이 조금 같이 다 혼자"),
)

# Passing states and lasting qualities, each with what it is said of; "/" separates the words.
STATES: Final = _words(
    "날씨+가/춥다 날씨+가/덥다 날씨+가/좋다 바람+이/시원하다 방+이/춥다 방+이/따뜻하다 방+이/어둡다"
    " {spicy}+가/맵다 {dish}+가/짜다 {dish}+가/싱겁다 {dish}+가/맛있다 {soup}+가/뜨겁다"
    " {fruit}+가/달다 {fruit}+가/싱싱하다 {fruit}+가/비싸다 {goods}+가/비싸다 {goods}+가/싸다"
    " {crop}+가/싸다 {crop}+가/비싸다 {crop}+가/좋다 {crop}+가/시원찮다 {crop}+가/많다 {fish}+가/싱싱하다"
    " {body}+가/아프다 {thing}+가/없다 {clothes}+가/작다 {clothes}+가/비싸다 {shop}+이/시끄럽다"
    " {home}+이/깨끗하다 길+이/미끄럽다 길+이/어둡다 일+이/많다 일+이/어렵다 일+이/힘들다 쌀+이/없다"
    " {peer}+가/바쁘다 {elder}+가/바쁘다 {elder}+가/피곤하다 {peer}+가/심심하다 사람+이/많다"
    " 가방+이/무겁다 가방+이/가볍다 보따리+가/무겁다 {fruit}+가/없다 {crop}+가/없다 {vehicle}+가/없다"
    " {far}+에/사람+이/많다 {shop}+에/{goods}+가/없다"
)
QUALITIES: Final = _words(
    "{goal}+가/멀다 {goal}+가/가깝다 마당+이/넓다 방+이/좁다 부엌+이/좁다 마루+가/넓다 {animal}+가/귀엽다"
    " {animal}+가/크다 {animal}+가/많다 {peer}+가/착하다 {peer}+가/부지런하다 {elder}+가/무섭다"
    " {spicy}+가/맵다 {clothes}+가/예쁘다 {clothes}+가/얇다 {thing}+가/작다 {thing}+가/좋다 {dish}+가/맛있다"
    " {fruit}+가/달다"
)
STATE_TIMES: Final = _words("오늘 요즘 지금 요새 오늘은 올해는")
QUALITY_OWNERS: Final = _words("여기는 거기는 우리_동네는 그_집은 옆집은 저_집은")
