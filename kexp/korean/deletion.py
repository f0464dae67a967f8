"""Which phrases a sentence can do without."""

from __future__ import annotations

from collections.abc import Sequence

from kexp.korean.eojeol import Eojeol
from kexp.korean.meaning import REACH
from kexp.korean.phrases import binds
from kexp.korean.vocabulary import NEEDY, POINTING

_ARGUMENTS = ("topic", "subject", "object", "adverbial")
# They join what stands before them, a quotation or a comparison, to the noun: 뭐죠? 라는 말을.
_QUOTING = ("라는", "이라는", "라던", "란", "이란", "다는", "같은")
# A clause that ends in these is complete; what follows does not say more of it.
_CLOSING = ("지만", "데", "니까", "더니", "므로")


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
            # 그냥 그렇다, 처음에 비해, 지금 봐도, 보는 내내
            bound = _is_elliptic(after) or after.kind in ("bound noun", "auxiliary") or after.text.startswith("봐도")
            return None if bound or _in_modifier(words, start) else range(start, number + 1)
        case "conjunction", _:
            return range(number, number + 1) if not number or words[number - 1].mark else None
        # Without 이런 and 그런 something else is spoken of.
        case "determiner", _ if word.text in POINTING and len(word.text) == 1:
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
    if words[number].text.startswith(_QUOTING):
        return False
    if not start or words[start - 1].mark:
        return True
    return words[start - 1].kind == "determiner" or _opens(words[start - 1])


def _opens(before: Eojeol) -> bool:
    """Return whether what follows an eojeol stands for itself: not in 구워 먹는, 보면 좋은."""
    joined = (before.kind, before.form) == ("predicate", "connective") and before.text.endswith(_CLOSING)
    return before.mark or joined or before.kind == "conjunction"


def _argument(words: Sequence[Eojeol], number: int) -> range | None:
    """Return a noun phrase with all that modifies it, if its clause can do without it."""
    if binds(words, number) or words[number].text.endswith(("께서는", "처럼", "같이", "으로서", "로서")):
        return None
    # Of two topics each says what is true of it and not of the other: 연기는 좋은데 내용은 …
    if words[number].form == "topic" and sum(word.form == "topic" for word in words) > 1:
        return None
    after = words[number + 1]
    relative = (after.kind, after.form) == ("predicate", "modifier") or after.kind == "other"
    if words[number].form == "adverbial" and relative:
        return None  # 관광청에서 만든 다큐
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
