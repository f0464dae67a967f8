"""Which phrases of a clause may change places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kexp.korean.eojeol import Eojeol
from kexp.korean.phrases import phrases
from kexp.korean.vocabulary import ASSURANCES, INTERJECTIONS, SENTENCE_ADVERBS

_ARGUMENTS = ("topic", "subject", "object", "adverbial")
# A noun with these may be a complement (정서에 공감하다), or one of a list (꽃등심에 랍스타에 인삼에).
_COMPLEMENTS = ("에", "으로", "로", "으로서", "로서", "으로써", "로써")
_ENDINGS = tuple("요다음네지고데서면까죠냐며게도함임니나라")


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
    if _is_listed(words, run):
        return False
    adverb = all(words[number].kind in ("adverb", "intensifier") for number in run)
    return adverb or (last.kind == "noun" and last.form in _ARGUMENTS and last.ending not in _COMPLEMENTS)


def _is_listed(words: Sequence[Eojeol], run: range) -> bool:
    """Return whether a phrase stands in a row with its neighbour; after a comma: 평론가, 영화광들은."""
    before = words[run[0] - 1] if run[0] else None
    after = words[run[-1] + 1] if run[-1] + 1 < len(words) else None
    last = words[run[-1]]
    if before is not None and (before.kind, before.form, before.mark) == ("noun", "bare", True):
        return True
    # Two subjects are a whole and its part: 거인이 카리스마가 부족하다.
    return any(one is not None and one.form == last.form == "subject" for one in (before, after))
