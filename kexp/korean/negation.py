"""Negations in Korean texts, as far as characters show them."""

from __future__ import annotations

import re
import unicodedata

# Two negations that make a must or a yes (않을 수 없다, 안 하면 안 된다), and words that contain one and negate nothing
# (어이없다, 끊임없이, 안간힘, the interjection 아니). Nothing below matches 잖 and 찮
# (tag questions, 괜찮다), which contain a negation that is none any more.
_NOT_NEGATION = re.compile(
    r"지\s?않을\s?수\s?(?:가\s?)?없|밖에\s?없|(?:지\s?않|안\s?\S+|못\s?\S+|없)으?면\s?안\s?[되돼된됩됐될]|없지\s?않|"
    r"(?:어이|어처구니|틀림|끊임|끝|변함|다름|거침|아낌|하염|영락)\s?없|못지\s?않|못\s?말리|안간힘|다름\s?아닌|"
    r"아니나\s?다를까|(?<![가-힣])아니[,!~]?\s"
)
_NEGATION = re.compile(
    # 지 않다, 지 못하다, 지 마라, with the particles that may stand between
    r"않|(?:지[는도를가]?|[진질])\s?못|지[는도를가]?\s?(?:말[고아자라]|마[라세요시십]|마(?![가-힣]))|"
    # 안 간다, 못 본다
    r"(?<![가-힣])[안못]\s+(?=[가-힣])|"
    # without the space that spelling requires; 안내, 안전, 안경 and their like are nouns
    r"(?<![가-힣])안(?=[가갔간갑갈되돼된됩됐될하했해한합할좋먹봤봐들맞웃]|보[고여는지면]|나[오와]|어울|재[미밌])|"
    r"(?<![가-힣])못(?=[하했해한합할가갔간갑갈봤봐먹참]|보[고는지])|"
    # 아니다, 없다, 별로다
    r"아니[다었에예라고며지야죠]|아닌|아닙|아님|아녔|아냐|없|(?<![가-힣])별로"
)


def negations(text: str) -> int:
    """Return how many negations a Korean text has, by its grammar; words such as 비공식 or 싫다 are not counted."""
    return len(_NEGATION.findall(_NOT_NEGATION.sub(" ", unicodedata.normalize("NFC", text))))
