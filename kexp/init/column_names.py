"""What the names of columns say: a label, a group, a number of the row, or something about where the row comes from."""

from __future__ import annotations

import re

PLAIN_LABEL_NAMES = {"label", "labels", "라벨", "레이블", "class", "category", "target", "정답", "분류"}
LABEL_NAMES = re.compile(
    r"label|class|categor|target|sentiment|emotion|intent|topic|polarity|^gold|^y$|^hate$|라벨|레이블|감정|감성|분류|유형|정답|주제|의도|클래스|카테고리|긍부정|별점",
    re.IGNORECASE,
)
JUDGEMENT_NAMES = re.compile(
    r"(^|[_ .-])(score|rating|rate|stars?|grade|answer|recommend(ed|ation)?|satisfaction|result|tag)s?($|[_ .-])"
    r"|점수|평점|평가|등급|만족|추천|결과|판정|태그",
    re.IGNORECASE,
)
"""Names of what somebody found of a text, which is a label if nothing else is called one."""
ABOUT_ROWS = re.compile(
    r"(^|[_ .-])(gender|sex|age|region|location|city|country|source|site|store|shop|branch|brand|product|item|platform"
    r"|channel|device|annotator|rater|worker|nick(name)?|like|helpful|vote|view|count|verified|date|year|month|day|hour"
    r"|lang|language)s?($|[_ .-])"
    r"|성별|연령|나이|지역|출처|매장|지점|매체|브랜드|상품|제품|플랫폼|채널|작업자|검수자|닉네임|좋아요|공감|조회|횟수"
    r"|날짜|일자|작성일|연도|언어",
    re.IGNORECASE,
)
"""Names of what is known of a row beside its text: who wrote it, where, and how many read it."""
REPLY_NAMES = re.compile(
    r"(^|[_ .-])(answer|response|reply|system|bot|assistant|agent|translation|translated|summary|output)($|[_ .\d-])"
    r"|답변|응답|답글|시스템|챗봇|상담사|상담원|번역|요약|해설",
    re.IGNORECASE,
)
"""Names of texts that were made of another text of the row, which is the one that labels are about."""
GROUP_NAMES = re.compile(
    r"speaker|user|author|writer|participant|dialog|conversation|session|document|doc_?id|article|thread|group|nick"
    r"|화자|발화자|작성자|사용자|닉네임|대화|문서|기사|그룹|세션",
    re.IGNORECASE,
)
ID_NAMES = re.compile(
    r"^(unnamed.*|index|idx|no|num|g?u?id|번호|순번|연번|아이디)?$|(^|[_ .-])(id|idx|no)$", re.IGNORECASE
)
SPLIT_VALUES = {
    "train",
    "training",
    "valid",
    "validation",
    "dev",
    "test",
    "eval",
    "학습",
    "훈련",
    "검증",
    "평가",
    "테스트",
}
PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("text1", "text2"), ("question1", "question2"))
"""Columns of the two texts of a pair, as data sets call them."""

GUESSED = 3
"""The rank from which on a name does not say that a column is the label."""


def label_rank(name: str) -> int:
    """Return how far the name of a column, or a dotted path, is from that of a label: 0 to 4, 0 is a plain one."""
    leaf = name.rpartition(".")[2]
    if leaf.lower() in PLAIN_LABEL_NAMES:
        return 0
    if LABEL_NAMES.search(leaf):
        return 1
    if JUDGEMENT_NAMES.search(leaf):
        return 2
    return GUESSED + (ABOUT_ROWS.search(leaf) is not None)
