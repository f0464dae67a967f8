"""Synthetic film reviews for examples and tests: nothing has to be downloaded."""

from __future__ import annotations

import itertools
import random
from functools import cache

_SUBJECTS = ("이 영화는", "그 배우의 연기는", "음악이", "이야기가", "마지막 장면은", "전작보다", "화면이", "대사가")
_ADVERBS = ("정말", "너무", "생각보다", "끝까지", "", "처음부터")
_GOOD = ("재미있었다", "감동적이에요!", "좋았습니다.", "지루하지 않아요 ㅋㅋ", "훌륭하네요 ^^")
_BAD = ("지루했다", "별로예요...", "재미없었습니다.", "안 좋았어요 ㅠㅠ", "실망이네요")


@cache
def korean_reviews(count: int = 300, seed: int = 0) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return different synthetic film reviews and their labels, 1 for good ones and 0 for bad ones."""
    made = [
        (" ".join(filter(None, (subject, adverb, verdict))), label)
        for label, verdicts in enumerate((_BAD, _GOOD))
        for subject, adverb, verdict in itertools.product(_SUBJECTS, _ADVERBS, verdicts)
    ]
    chosen = random.Random(seed).sample(made, count)
    return tuple(text for text, _ in chosen), tuple(label for _, label in chosen)
