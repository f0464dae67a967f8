"""An analyser of rules and word lists: what it is not sure of is "other", which no augmenter moves or removes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from kexp.hangul import LEADS, VOWELS, compose, final_of
from kexp.korean import vocabulary as known
from kexp.korean.eojeol import Eojeol, Form, trimmed

_HANGUL: Final = re.compile("[가-힣]+")

_PARTICLES: Final[dict[str, Form]] = {
    **dict.fromkeys(known.SUBJECT, "subject"),
    **dict.fromkeys(known.OBJECT, "object"),
    **dict.fromkeys(known.TOPIC, "topic"),
    **dict.fromkeys(known.GENITIVE, "modifier"),
    **dict.fromkeys(known.CONJUNCT, "conjunct"),
    **dict.fromkeys(known.ADVERBIAL, "adverbial"),
    **dict.fromkeys(known.FOCUS, "focus"),
}
# Particles that are nothing else, whatever noun they stand on.
_CERTAIN: Final[dict[str, Form]] = {
    one: _PARTICLES[one]
    for one in (
        "들에게",
        "들한테",
        "들은",
        "들이",
        "들을",
        "들의",
        "들도",
        "들과",
        "에서",
        "에게",
        "한테",
        "까지",
        "부터",
        "처럼",
        "를",
    )
}
_COPULA: Final = re.compile(
    "(?:이|였|이었|입|인|임|이에|예|이라|라|이고|이지|이네|이야|이자|이죠|지요|이지요|네요|네|죠|이며|이다|다|일|이던|이더|이구|이군|이란|인데|인가|인지).*"
)

# Syllables of past stems (갔, 봤) and of those that 다 follows in the present (간다, 본다).
_PAST: Final = "".join(compose(lead, vowel, "ㅆ") for lead in LEADS for vowel in VOWELS)
_PRESENT: Final = "".join(compose(lead, vowel, "ㄴ") for lead in LEADS for vowel in VOWELS)

# Endings of the predicates of which rules are sure enough to take them for the head of what stands before them.
_MODIFIER: Final = re.compile(
    ".*(?:[있없하되보주드오가사치키리르싶않받먹듣읽찍끌느]는|나오는|해지는|어지는|던|같은|많은|좋은|높은|낮은|깊은|작은|싫은|은건|"
    "않은|[한된온본든쁜픈운른빈친킨준린진쓴간긴]|스런|로운|다운)"
)
# Verbs end in these more often than nouns do: 바뀌는, 춤추는.
_STEM_ENDS: Final = tuple("뀌쥐추우쓰끄뜨크서펴켜나내지시기이리르치키하되보주드오가사있없않")
_ADNOMINAL_L: Final = re.compile("(?:.*[할될볼줄살갈올날쓸알믿]|.*[있없않웃참찾남낫좋많먹읽받잊]을|.*었을|.*았을)")
_CONNECTIVE: Final = re.compile(
    f".*(?:[{_PAST}](?:고|지만|는데|으나|으면|다가|어도|더니|기에|는지|으니|으니까)"
    "|지만|[는은한운인던]데|[아어여해와워]서|[으하되보나오]면|으니까|니까|면서|려고|도록|다가|거나|더니|자마자|느라"
    "|[있없하되겠않보지나오가]고|[아어해]도|려면|든지|길래|므로|며|없이|더라도)"
)
_FINAL: Final = re.compile(
    f".*(?:[{_PAST}](?:다|음|네|네요|어|어요|습니다|지|죠|나|나요|냐|구나|군|군요|더라|던데|을까|을까요|거든)|[{_PRESENT}]다"
    "|니다|[어아여해워]요|[하되있없좋않싶는겠]다|[있없같]음|[하되]네|네요|군요|구나|세요|죠|[을는]까|까요|더라|더군|겠지|냐|습니까"
    "|하자|함|됨|거든|럽다|롭다|답다)"
)
_ADVERBIAL: Final = re.compile(".*(?:[하있없롭럽답좋쁘프히르]게|하고도|히)")
_GRADABLE: Final = re.compile(
    "(?:재미[있없]|재밌|잼있|재밋|좋[은고다아네지았습]|싫[은다어었]|슬[프픈퍼펐]|예[쁘쁜뻐뻤]|이[쁘쁜뻐뻤]|아름[다답]|지루[하한해했함]|지겹|지겨"
    "|무섭|무서|귀엽|귀여|멋[지진져졌있]|훌륭[하한해했]|감동적|잔잔[하한해했]|따[뜻듯][하한해했]|유치[하한해했]|허접[하한해했]|아쉽|아쉬"
    "|아깝|아까[워웠운]|웃[기긴겨겼]|즐거|즐겁|행복[하한해했]|뻔[하한해했]|신선[하한해했]|참신[하한해했]|완벽[하한해했]|대단[하한해했]"
    "|어색[하한해했]|답답[하한해했]|불쌍[하한해했]|안타[까깝]|황당[하한해했]|식상[하한해했]|진부[하한해했]|허술[하한해했]|엉성[하한해했]|흥미로|높|낮|많|쉽|어렵).*"
)
_AUXILIARY: Final = re.compile(
    "(?:않|못하|못한|못할|못해|못했|못함|싶|말[고아자라]|마라|마세|마시|마요|버리|버린|버렸|버려|있[다는었을어고지네습음]|계[시신셨])"
)
_AFTER_STEM: Final = re.compile(
    "(?:주[는고세시지]|[줬준줄줘]|보[고니면세시자]|봤|봐|봄|가[는고]|갔|오는|왔|온|놓|두|뒀|둔|드[리립])"
)
_SERIAL: Final = re.compile(".*[아어여해와워려져춰줘봐가켜내]$")
_BOUND: Final = re.compile(
    f"(?:{'|'.join(sorted(known.BOUND_NOUNS, key=len, reverse=True))})"
    "(?:[은는이가을를도의만에로]|에서|으로|에는|부터|까지|같.*|이다|이었.*|였.*|다|임|인데|인|입니다|이고|라|야|이야|라고|이라|이네|이지.*)?"
)
# Where writers often put a space: before a bound noun, 있다 and 없다, an auxiliary verb, after 안 and 잘.
_JOINTS: Final = (
    re.compile("(?<=[는은던])(?=(?:것|거|게|건|걸|줄|듯|중|만큼))"),
    re.compile("(?<=[한된본할될볼줄갈올을든온쁜운])(?=(?:것|거|게|건|걸|수(?!록)|줄|적|때|만큼|정도|만[한하]|듯))"),
    re.compile("(?<=수)(?=[있없])"),
    re.compile("(?<=재미|관심|상관|필요|어이|개념|의미)(?=[있없])"),
    re.compile("(?<=[해봐어아])(?=(?:주[는고세시]|준|줬|버리|버렸|버린|보고|봤))"),
    re.compile("^(?<![가-힣])[안잘못](?=(?:만든|본|봤|되|됐|하|했|좋|나온|보))"),
    re.compile("^[이그저](?=(?:영화|작품|드라마|배우|감독|정도|사람|장면))"),
)


class RuleAnalyser:
    """Reads each word by lists and endings, then looks at its neighbours."""

    identity = "rules"

    @staticmethod
    def missing() -> str:
        """Return "": it needs nothing."""
        return ""

    def __call__(self, texts: Sequence[str]) -> list[Sequence[Eojeol]]:
        """Return the eojeol of each text."""
        return [_in_context([_read(word) for word in text.split()]) for text in texts]


@lru_cache(maxsize=1 << 16)
def _read(word: str) -> Eojeol:
    """Read one word without regard to the others."""
    text, mark = trimmed(normalize("NFC", word))
    if not _HANGUL.fullmatch(text):
        return Eojeol(text, mark=mark)
    return _read_hangul(text)._replace(joints=_joints(text), mark=mark)


def _read_hangul(text: str) -> Eojeol:
    if text in ("안", "못"):
        return Eojeol(text, "negation", stem=text)
    if text in known.CONJUNCTIONS:
        return Eojeol(text, "conjunction", stem=text)
    if text in known.INTENSIFIERS:
        return Eojeol(text, "intensifier", stem=text)
    if text in known.DETERMINERS:
        return Eojeol(text, "determiner", "modifier", text)
    if text in known.SCOPE_ADVERBS:
        return Eojeol(text, "scope", stem=text)
    if text in known.ADVERBS:
        return Eojeol(text, "adverb", stem=text)
    return _noun(text) or _predicate(text) or _unknown_noun(text) or Eojeol(text)


def _noun(text: str) -> Eojeol | None:
    """Read a noun of the list with its particles, or with forms of 이다."""
    for length in range(len(text), 0, -1):
        stem, tail = text[:length], text[length:]
        if stem not in known.NOUNS:
            continue
        if not tail:
            return Eojeol(text, "noun", "bare", stem)
        if tail in _PARTICLES and _agrees(stem, tail):
            return Eojeol(text, "noun", _PARTICLES[tail], stem, tail)
        if length > 1 and _COPULA.fullmatch(tail):
            return Eojeol(text, "predicate", _copula_form(tail), stem, tail)
    return None


def _agrees(stem: str, particle: str) -> bool:
    """Return whether a particle that depends on the final consonant stands where it may."""
    closed = final_of(stem) != ""
    if particle in ("이", "은", "을", "과", "이랑", "이나"):
        return closed
    return not (closed and particle in ("가", "는", "를", "와", "랑", "나"))


def _copula_form(tail: str) -> Form:
    if tail in ("인", "이라는", "라는", "이던", "일"):
        return "modifier"
    return "connective" if re.search("(?:고|지만|인데|라서|며|면|니까|자|는데)$", tail) else "final"


def _predicate(text: str) -> Eojeol | None:
    """Read what ends as predicates do."""
    if len(text) < 2 and text not in ("본", "볼", "할", "한", "된", "될", "온", "쓴", "간", "든", "줄"):
        return None
    for pattern, form in (
        (_MODIFIER, "modifier"),
        (_ADNOMINAL_L, "modifier"),
        (_CONNECTIVE, "connective"),
        (_FINAL, "final"),
    ):
        if pattern.fullmatch(text):
            gradable = _GRADABLE.fullmatch(text) is not None
            return Eojeol(text, "predicate", form, text, gradable=gradable)  # type: ignore[arg-type]
    if _ADVERBIAL.fullmatch(text):
        return Eojeol(text, "scope", stem=text)
    return Eojeol(text, "predicate", "final", text, gradable=True) if _GRADABLE.fullmatch(text) else None


def _unknown_noun(text: str) -> Eojeol | None:
    """Read a noun that no list has by a particle that is nothing else."""
    for particle, form in _CERTAIN.items():
        stem = text.removesuffix(particle)
        if len(stem) > 1 and stem != text:
            return Eojeol(text, "noun", form, stem, particle)
    return None


def _before_adverb(word: Eojeol) -> Eojeol:
    """Read an unknown word before an adverb: a modifier would stand before a noun, so 은 and 는 are particles there."""
    if word.kind != "other" or word.mark:
        return word
    stem, particle = word.text[:-1], word.text[-1:]
    verbal = particle == "는" and stem.endswith(_STEM_ENDS)
    if len(stem) > 1 and not verbal and particle in ("이", "가", "은", "는") and _agrees(stem, particle):
        return word._replace(kind="noun", form=_PARTICLES[particle], stem=stem, ending=particle)
    return word


def _joints(text: str) -> tuple[int, ...]:
    return tuple(
        sorted({match.end() for joint in _JOINTS for match in joint.finditer(text) if 0 < match.end() < len(text)})
    )


def _in_context(found: list[Eojeol]) -> list[Eojeol]:
    """Tell bound nouns, auxiliaries and unknown nouns by what stands beside them."""
    for number in range(len(found)):
        after = found[number + 1] if number + 1 < len(found) else None
        if after is not None and after.kind in ("intensifier", "adverb"):
            found[number] = _before_adverb(found[number])
        if number and not found[number - 1].mark:
            found[number] = _after(found[number], found[number - 1])
        if number and found[number].kind == "bound noun" and found[number - 1].kind == "other":
            found[number - 1] = found[number - 1]._replace(kind="predicate", form="modifier")
    return found


def _after(word: Eojeol, before: Eojeol) -> Eojeol:
    """Read a word anew by what stands before it."""
    if word.text == "나는" and (before.form == "subject" or before.kind == "other"):  # 느낌이 나는, not the pronoun
        return word._replace(kind="predicate", form="modifier", stem="나", ending="는")
    quoting = before.kind == "predicate" and before.text.endswith(("다고", "라고", "냐고", "자고", "려고"))
    if word.text in ("한", "온", "본", "든") and (quoting or before.form in ("subject", "object", "adverbial")):
        return word._replace(kind="predicate", form="modifier")
    adnominal = before.kind != "determiner" and (
        before.form == "modifier" or (before.kind != "noun" and final_of(before.text) in ("ㄴ", "ㄹ"))
    )
    if adnominal and _BOUND.fullmatch(word.text):
        # 것은 may be an argument, 것이다 ends a sentence.
        ends: Form = "final" if len(word.text) > 2 else "bare"
        return word._replace(kind="bound noun", form=word.form if word.kind == "noun" else ends)
    joined = _AUXILIARY.match(word.text) and re.search("(?:지[는도를]?|고|[아어여해워져])$", before.text)
    serial = _AFTER_STEM.match(word.text) and before.kind != "noun" and _SERIAL.match(before.text)
    return word._replace(kind="auxiliary") if word.kind != "noun" and (joined or serial) else word
