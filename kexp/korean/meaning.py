"""Which eojeol carry the meaning of a sentence: negations with all that belongs to them, comparisons, numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from kexp.korean.eojeol import Eojeol
from kexp.korean.vocabulary import JUDGING, QUESTIONS, words

REACH: Final = 12
"""In eojeol: what lies farther off belongs to another clause, also where no punctuation says so."""

# 없다, 아니다, 않다, 못하다, 말다, also within a word: 재미없다, 별로다, 하지않다.
_NEGATIVE: Final = re.compile(
    "없|않|못|^아니|^아닌|^아닐|^아님|^아녔|^아냐|^안$|^안[되돼됐된될됨해했하한할함보봐봤나]|지[마말]|^몰[라랐]|^모[르른를름]"
    "|^별로|노잼"
)
_STOPPING: Final = re.compile("^(?:말[고아자라]?|마[라세시요]?.*)$")
_STOPPED: Final = re.compile("지[는도를]?$")
# 있다 and 없다, 알다 and 모르다 say whether what stands before them is so; so do 싶다, 같다, 되다 and 나다.
_DECIDING: Final = re.compile(
    "^(?:있|없|계시|알|아는|몰|모르|모른|싶|같|아니|아닌|아님|들|드는|든|되|된|될|돼|됐|나|났|난|걸|힘들|어렵|쉽|쉬운|만한|만하)"
)
_EXISTENCE: Final = re.compile("있|없|아니|아닌")
# They are said of a predicate that is denied, wherever that stands.
_WITH_NEGATION: Final = words("""
    전혀 결코 절대 절대로 별로 도저히 도무지 그다지 그닥 하나도 조금도 추호도 아무도 아무것도 한번도 차마 딱히
    여간 아무런 아무
""")
# Comparison, exception and quotation: what stands on either side may not be told apart without them.
_EXCEPT: Final = re.compile(
    "(?:커녕|고사하고|빼고는?|빼면|제외하[고면]|제외한|제외하고는|말고는?|밖에|보다[는도]?|보단|뿐|치고는?|조차|마저|대신"
    "|[라다]더니|[라다]며|인줄|인척|덕분에|때문에?)$"
)
_NUMBER: Final = re.compile(
    "[0-9０-９]|^별$|^(?:한|두|세|네|반|영|빵|만|일|이|삼|사|오|십|백)?[점개편번](?:도|만|이|은|을|짜리|준다|줌|대)?$|[영빵만반십]점"
    "|별점|평점|별[한두세네반]|반개|개반|퍼센트|프로$|배는?$"
)
_QUESTION: Final = re.compile("[?？]")
_JUDGING: Final = re.compile(f"(?:{'|'.join(sorted(set(JUDGING), key=len, reverse=True))})")
_JUDGING_INSIDE: Final = re.compile(
    "재미|재밌|재밋|잼있|꿀잼|노잼|지루|최고|최악|쓰레기|감동|아깝|아까|아쉽|아쉬|실망|낭비|추천|명작|걸작|졸작|망작|수작|짜증|유치|뻔[한하해]"
    "|좋[은다고아네]|싫[은다어고]|훌륭|완벽|허접|억지|막장|사랑|예쁘|이쁘|아름다|멋[진지있]|대박|거품|역대|별로"
)


def is_judging(word: Eojeol) -> bool:
    """Return whether a word speaks for or against something."""
    return _JUDGING.match(word.text) is not None or _JUDGING_INSIDE.search(word.text) is not None


def meaning(read: Sequence[Eojeol], *, judging: bool) -> list[bool]:
    """Return for each eojeol whether it must stay as it is and where it is; ``judging`` counts words that judge."""
    flags = [judging and is_judging(word) for word in read]
    for number, word in enumerate(read):
        for kept in _kept(read, number, word):
            flags[kept] = True
        # 잘 and 더 judge too; another word for them does not turn what is said.
        flags[number] |= judging and word.kind == "scope"
    return flags


def _kept(read: Sequence[Eojeol], number: int, word: Eojeol) -> Iterable[int]:
    """Yield the eojeol that must stay because of one of them."""
    if _NUMBER.search(word.text) or word.text in QUESTIONS:
        yield from (number, min(number + 1, len(read) - 1))
    # 만 is a particle on nouns alone: 연기만, but 좋지만.
    if _EXCEPT.search(word.text) or (word.kind == "noun" and word.ending.endswith(("만", "만은", "만이"))):
        # 커녕, 보다 and 빼고 compare what stands before them with what follows, up to the predicate.
        yield from _phrase_before(read, number)
        yield from _through_predicate(read, number)
    if word.kind == "negation":
        yield from _head(read, number)
    if word.text in _WITH_NEGATION:
        denied = list(_through_predicate(read, number))
        yield from denied
        # 재미가 하나도 없다, 감동은 전혀 없다: what is not there is said before.
        complement = number and read[number - 1].form in ("subject", "object", "bare", "focus")
        if complement or (number and _EXISTENCE.match(read[denied[-1]].text)):
            yield from _before_negated(read, number)
    if (
        _is_negative(read, number)
        or word.kind in ("bound noun", "auxiliary")
        or (number and _DECIDING.match(word.text) and word.kind != "noun")
    ):
        yield number
        yield from _before_negated(read, number)


def _is_negative(read: Sequence[Eojeol], number: int) -> bool:
    word = read[number]
    if number and _STOPPING.match(word.text) and _STOPPED.search(read[number - 1].text):
        return True
    return word.kind not in ("intensifier", "conjunction", "negation") and _NEGATIVE.search(word.text) is not None


def _before_negated(read: Sequence[Eojeol], number: int) -> Iterable[int]:
    """Yield what a negation or 있다 falls upon: 볼 수 (없다), 볼 가치가 (없다), 지루하지 (않다)."""
    place = number - 1
    while place >= max(0, number - REACH) and not read[place].mark:
        before = read[place]
        yield place
        # A bound noun or an auxiliary has something before it; a noun or a verb may have.
        needs = before.kind in ("bound noun", "auxiliary")
        earlier = read[place - 1] if place else None
        if earlier is None or not (
            needs
            or earlier.form in ("modifier", "conjunct")
            or earlier.kind in ("negation", "scope")
            or (earlier.kind == "noun" and earlier.form == "bare")
        ):
            return
        place -= 1


def _phrase_before(read: Sequence[Eojeol], number: int) -> Iterable[int]:
    """Yield an eojeol, and what modifies it."""
    yield number
    # 빼고 and 커녕 may stand apart from their noun.
    apart = read[number].kind != "noun"
    for place in range(number - 1, max(-1, number - REACH), -1):
        if read[place].mark or not (apart or read[place].form in ("modifier", "conjunct", "bare")):
            return
        yield place
        apart = False


def _head(read: Sequence[Eojeol], number: int) -> Iterable[int]:
    """Yield 안 or 못, the word that it denies, and auxiliaries: 못 보고 있다."""
    yield number
    for place in range(number + 1, min(len(read), number + REACH)):
        if place > number + 1 and read[place].kind not in ("auxiliary", "bound noun"):
            return
        yield place


def _through_predicate(read: Sequence[Eojeol], number: int) -> Iterable[int]:
    """Yield the eojeol from one up to the predicate that it belongs to, with its auxiliaries."""
    for place in range(number, min(len(read), number + REACH)):
        word = read[place]
        yield place
        if place > number and (word.kind in ("predicate", "auxiliary") or _is_negative(read, place)):
            following = read[place + 1].kind if place + 1 < len(read) else ""
            if following not in ("auxiliary", "bound noun"):
                return
        if word.mark:
            return
