"""Where an adverb of degree, or a word that points, may come in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kexp.korean.eojeol import Eojeol
from kexp.korean.vocabulary import NOUN_CLASSES

# 어릴수록, 어릴때, and what is a noun with particles: 지루함의.
_NO_DEGREE = re.compile("수록$|^어[릴렸]|[함음움쁨픔](?:[의이은을과에도만]|으로|이[다고라].*)$")
_DENIED = re.compile("지[는도를]?$")
_KNOWN = frozenset().union(*NOUN_CLASSES)


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
    if _NO_DEGREE.search(word.text) or _is_of_denied(words, number):
        return False
    if _begins(before):
        return True
    # 이렇게 and 겁나게 measure too, and 보기 드문 is one expression.
    if before.text.endswith(("게", "기")) or word.form == "bare":
        return False
    # 더 좋다 and 꽤 좋다 are measured already; 배우 좋다 may be one word.
    return before.kind not in ("intensifier", "scope", "negation", "determiner", "other", "bound noun") and (
        before.form not in ("bare", "conjunct", "modifier") or before.kind in ("adverb", "conjunction")
    )


def _is_of_denied(words: Sequence[Eojeol], number: int) -> bool:
    """Return whether an adverb in -게 says how something is not: 크게 다루지 않다."""
    after = words[number + 1].text if number + 1 < len(words) else ""
    return words[number].text.endswith("게") and (after in ("안", "못") or _DENIED.search(after) is not None)


def takes_pointer(words: Sequence[Eojeol], number: int) -> bool:
    """Return whether 이 or 그 may come before an eojeol: a noun that nothing modifies."""
    word, before = words[number], words[number - 1] if number else Eojeol("", mark=True)
    if word.kind != "noun" or word.stem not in _KNOWN or word.form not in ("topic", "subject", "object"):
        return False
    if _begins(before):
        return True
    # After another topic a pointer would point to that, after a modifier it would stand in its way.
    return before.kind == "conjunction" or (before.kind, before.form) == ("predicate", "connective")
