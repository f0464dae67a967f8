"""Phrases: which eojeol belong together, which may be left out, and which may change places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kexp.korean.eojeol import Eojeol
from kexp.korean.meaning import REACH
from kexp.korean.vocabulary import ASSURANCES, INTERJECTIONS, LIGHT, NEEDY, NOUN_CLASSES, POINTING, SENTENCE_ADVERBS

_ARGUMENTS = ("topic", "subject", "object", "adverbial")
# Verbs that have become particles: 영화를 통해서.
_POSTPOSED = (
    "통해",
    "통하",
    "통한",
    "위해",
    "위하",
    "위한",
    "향해",
    "향한",
    "비롯",
    "둘러",
    "두고",
    "가지고",
    "갖고",
    "하",
    "해",
    "한",
)
_ENDINGS = tuple("요다음네지고데서면까죠냐며게도함임니나라")
_KNOWN = frozenset().union(*NOUN_CLASSES)


def binds(words: Sequence[Eojeol], number: int) -> bool:
    """Return whether an eojeol cannot be parted from the next one."""
    if number + 1 >= len(words):
        return False
    word, after = words[number], words[number + 1]
    if after.kind in ("bound noun", "auxiliary"):
        return True
    if word.mark:
        return False
    if word.form == "object" and after.form == "adverbial" and binds(words, number + 1):
        return True  # 소설을 원작으로 한
    if word.form in ("modifier", "conjunct") or word.kind in (
        "intensifier",
        "scope",
        "negation",
        "determiner",
        "other",
    ):
        return True
    if word.form == "subject" and after.kind == "adverb":
        return False
    if word.kind == "noun" and after.kind in ("predicate", "scope", "negation", "other", "intensifier"):
        return _completes(word, after)
    return word.form == "bare" and word.kind in ("noun", "bound noun")


def _completes(word: Eojeol, after: Eojeol) -> bool:
    """Return whether a predicate says little without the noun before it."""
    match word.form:
        case "topic":
            light = after.kind != "predicate" or any(after.stem.startswith(one) for one in LIGHT)
            return after.kind != "intensifier" and (light or word.stem not in _KNOWN)
        case "adverbial":
            return after.kind != "intensifier" and word.ending not in ("에서", "에선", "에서는")
        case "object":
            loose = after.kind == "predicate" and word.stem in _KNOWN and not after.text.startswith(_POSTPOSED)
            return after.kind != "intensifier" and not loose
    return True


def phrases(words: Sequence[Eojeol]) -> list[range]:
    """Cut a text into runs of eojeol that belong together."""
    found, start = [], 0
    for number in range(len(words)):
        if not binds(words, number):
            found.append(range(start, number + 1))
            start = number + 1
    return found


# --- what may be left out --------------------------------------------------------------------------------------------


def removable(words: Sequence[Eojeol], kept: Sequence[bool]) -> list[range]:
    """Return the phrases without which a text is still a text; none of ``kept`` is among their eojeol."""
    runs = [run for number in range(len(words)) if (run := _removable_at(words, number)) is not None]
    return [run for run in runs if len(run) < len(words) and not any(kept[number] for number in run)]


def _removable_at(words: Sequence[Eojeol], number: int) -> range | None:
    """Return the phrase that ends with an eojeol, if it may be left out."""
    word = words[number]
    after = words[number + 1] if number + 1 < len(words) else None
    if word.mark or after is None:
        return None
    start = number
    while start > max(0, number - REACH) and words[start - 1].kind == "intensifier" and not words[start - 1].mark:
        start -= 1
    match word.kind, word.form:
        case "intensifier", _:
            # "정말이지", "너무 해" and a lone "너무" before a noun are none.
            good = after.kind in ("predicate", "intensifier", "adverb", "scope") or after.form == "modifier"
            return range(number, number + 1) if good and not _is_elliptic(after) else None
        case "adverb", _:
            # 그냥 그렇다, 처음에 비해
            return (
                None if _is_elliptic(after) or after.kind in ("bound noun", "auxiliary") else range(start, number + 1)
            )
        case "conjunction", _:
            return range(number, number + 1) if not number or words[number - 1].mark else None
        case "determiner", _ if word.text in POINTING:
            stands = after.kind == "noun" and after.stem not in NEEDY and len(after.stem) > 1
            return range(number, number + 1) if stands and not _in_modifier(words, number) else None
        case "predicate", "modifier":
            return range(start, number + 1) if _is_plain_modifier(words, start, number) else None
        case "noun", "topic" | "adverbial":
            return _argument(words, number)
    return None


def _is_elliptic(word: Eojeol) -> bool:
    """Return whether a predicate points to what was said: 그렇다, 그래."""
    return word.text.startswith(("그렇", "그래", "그런", "그럭", "그럼", "이렇", "저렇", "해", "하", "한", "했"))


def _in_modifier(words: Sequence[Eojeol], number: int) -> bool:
    return number > 0 and words[number - 1].form == "modifier" and not words[number - 1].mark


def _is_plain_modifier(words: Sequence[Eojeol], start: int, number: int) -> bool:
    """Return whether a modifier has nothing else before it that belongs to it, and its noun can do without it."""
    head = words[number + 1]
    if head.kind != "noun" or head.stem in NEEDY or len(head.stem) < 2 or head.form not in _ARGUMENTS:
        return False
    if not start or words[start - 1].mark:
        return True
    return words[start - 1].kind == "determiner" or _opens(words[start - 1])


def _opens(before: Eojeol) -> bool:
    """Return whether what follows an eojeol stands for itself: after a clause, but not after a quotation (-라고)."""
    joined = (before.kind, before.form) == ("predicate", "connective") and not before.text.endswith("고")
    return before.mark or joined or before.kind == "conjunction"


def _argument(words: Sequence[Eojeol], number: int) -> range | None:
    """Return a noun phrase with all that modifies it, if its clause can do without it."""
    if binds(words, number) or words[number].text.endswith(("께서는", "처럼", "같이", "으로서", "로서")):
        return None
    start = number
    while start > max(0, number - REACH) and binds(words, start - 1):
        start -= 1
    if start and binds(words, start - 1):
        return None
    clause = any(word.kind in ("predicate", "other") for word in words[start : number + 1])
    if clause and start and not _opens(words[start - 1]):
        return None  # What stands before a relative clause may belong to that.
    # Something must be said after it, and not of it alone: 배우는 …
    rest = words[number + 1 : number + 1 + REACH]
    return range(start, number + 1) if any(word.kind == "predicate" for word in rest) else None


# --- what may change places ------------------------------------------------------------------------------------------


def movable(words: Sequence[Eojeol], kept: Sequence[bool]) -> list[list[range]]:
    """Return, clause by clause, neighbouring phrases whose order is free; the predicate stays behind them."""
    words = [_loosened(words, number) for number in range(len(words))]
    groups = []
    for clause in _clauses(words):
        group: list[range] = []
        for run in _joined(words, clause):
            # Before a relative clause only a topic is sure not to be taken for a part of it.
            closed = group and _holds_clause(words, group[-1]) and words[run[-1]].form != "topic"
            if closed or not _may_move(words, run, kept):
                groups.append(group)
                group = []
            if _may_move(words, run, kept):
                group.append(run)
        groups.append(group)
    groups = [group for group in groups if len(group) > 1]
    taken = {number for group in groups for run in group for number in run}
    fronted = [pair for number in range(len(words)) if (pair := _fronted(words, number, kept)) is not None]
    return groups + [pair for pair in fronted if not taken & {number for run in pair for number in run}]


def _fronted(words: Sequence[Eojeol], number: int, kept: Sequence[bool]) -> list[range] | None:
    """Return what stands before a sentence adverb in its clause, and the adverb: it may come before all of that."""
    if words[number].text not in SENTENCE_ADVERBS or words[number].kind != "adverb" or words[number].mark:
        return None
    start = number
    while start and _may_follow(words[start - 1]):
        start -= 1
    # A clause that begins with something else, or is long, may hold another one.
    begins = not start or words[start - 1].mark or words[start - 1].kind == "conjunction"
    if number + 1 < len(words) and words[number + 1].form == "modifier":
        return None
    if not begins or not 0 < number - start <= 4 or any(kept[start:number]) or words[number - 1].form == "modifier":
        return None
    return [range(start, number), range(number, number + 1)]


def _may_follow(word: Eojeol) -> bool:
    """Return whether a word may come after a sentence adverb: what may be a predicate or an exclamation may not."""
    if word.mark or word.text in INTERJECTIONS:
        return False
    return word.kind in ("noun", "determiner") or (word.kind == "other" and not word.text.endswith(_ENDINGS))


def _loosened(words: Sequence[Eojeol], number: int) -> Eojeol:
    """Read 정말 and 진짜 before a predicate as adverbs of the sentence: they say that all of it is true."""
    word, after = words[number], words[number + 1] if number + 1 < len(words) else None
    loose = word.text in ASSURANCES and after is not None and after.kind == "predicate" and after.form != "modifier"
    return word._replace(kind="adverb") if loose else word


def _clauses(words: Sequence[Eojeol]) -> Iterator[list[range]]:
    """Yield the phrases of each clause before its predicate."""
    clause: list[range] = []
    for run in phrases(words):
        last = words[run[-1]]
        if last.kind in ("predicate", "auxiliary", "bound noun", "other", "conjunction") or last.mark:
            # What stands before a relative clause may belong to that: 지금 + 누리는 행복이다.
            while clause and _holds_clause(words, run) and words[clause[-1][-1]].form != "topic":
                clause.pop()
            yield clause
            clause = []
        else:
            clause.append(run)


def _holds_clause(words: Sequence[Eojeol], run: range) -> bool:
    return any(
        words[number].kind != "noun" and words[number].form == "modifier" and words[number].kind != "determiner"
        for number in run
    )


def _joined(words: Sequence[Eojeol], clause: Sequence[range]) -> list[range]:
    """Join a phrase that holds a relative clause with what may belong to that: 내가 + 어제 본 영화를."""
    joined: list[range] = []
    for run in clause:
        start = run[0]
        if _holds_clause(words, run):
            while joined and words[joined[-1][-1]].form != "topic":
                start = joined.pop()[0]
        joined.append(range(start, run[-1] + 1))
    return joined


def _may_move(words: Sequence[Eojeol], run: range, kept: Sequence[bool]) -> bool:
    if any(kept[number] or words[number].mark or words[number].kind == "other" for number in run):
        return False
    last = words[run[-1]]
    adverb = all(words[number].kind in ("adverb", "intensifier") for number in run)
    return adverb or (last.kind == "noun" and last.form in _ARGUMENTS)


# --- where writers leave a space out ---------------------------------------------------------------------------------


def loose_gaps(words: Sequence[Eojeol]) -> list[int]:
    """Return the numbers of the eojeol after which writers often leave the space out: 볼 수, 해 주다, 안 본."""
    return [number for number in range(len(words) - 1) if _is_loose(words[number], words[number + 1])]


def _is_loose(word: Eojeol, after: Eojeol) -> bool:
    if word.mark or "other" in (word.kind, after.kind):
        return False
    if after.kind in ("bound noun", "auxiliary"):
        return True
    short = len(word.text) == 1
    match word.kind:
        case "negation" | "scope":
            return short and after.kind == "predicate"
        case "intensifier":
            return after.kind == "predicate"
        case "determiner":
            return short and after.kind == "noun"
        case "noun":
            return word.form == "bare" and after.kind in ("noun", "predicate")
    return False


# --- where something may come in -------------------------------------------------------------------------------------


def _begins(before: Eojeol) -> bool:
    """Return whether a sentence or a clause begins after an eojeol; after "(정말" or "좋다..넘" none does."""
    plain = not before.text or before.text.isalnum()
    return before.mark and plain and before.kind not in ("intensifier", "scope", "negation", "determiner")


def takes_degree(words: Sequence[Eojeol], number: int) -> bool:
    """Return whether an adverb of degree may come before an eojeol: an adjective that has none."""
    word, before = words[number], words[number - 1] if number else Eojeol("", mark=True)
    if (
        not word.gradable
        or word.kind != "predicate"
        or word.text.startswith(("그런", "그렇", "이런", "어떤", "새로", "수많", "진정", "심심한"))
    ):
        return False
    if _begins(before):
        return True
    # 더 좋다 and 꽤 좋다 are measured already; 배우 좋다 may be one word.
    return before.kind not in ("intensifier", "scope", "negation", "determiner", "other", "bound noun") and (
        before.form not in ("bare", "conjunct", "modifier") or before.kind in ("adverb", "conjunction")
    )


def takes_pointer(words: Sequence[Eojeol], number: int) -> bool:
    """Return whether 이 or 그 may come before an eojeol: a noun that nothing modifies."""
    word, before = words[number], words[number - 1] if number else Eojeol("", mark=True)
    if word.kind != "noun" or word.stem not in _KNOWN or word.form not in ("topic", "subject", "object"):
        return False
    if _begins(before):
        return True
    # After another topic a pointer would point to that, after a modifier it would stand in its way.
    return before.kind == "conjunction" or (before.kind, before.form) == ("predicate", "connective")
