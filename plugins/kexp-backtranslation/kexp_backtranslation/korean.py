"""What a paraphrase of a Korean text must not change, as far as characters show it: script, numbers, negation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from math import prod

from kexp.korean.negation import negations

__all__ = ["hangul_share", "longest_loop", "lost_numbers", "negations"]

_HANGUL = re.compile(r"[ㄱ-ㅎㅏ-ㅣ가-힣]")


def hangul_share(text: str) -> float:
    """Return the share of Hangul among the letters of a text, jamo included; 1 for a text without letters."""
    letters = [character for character in text if character.isalpha()]
    return sum(bool(_HANGUL.match(letter)) for letter in letters) / len(letters) if letters else 1.0


# --- numbers -------------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?)\s?([십백천만억조]*)")
_UNITS = {"십": 10, "백": 100, "천": 1000, "만": 10**4, "억": 10**8, "조": 10**12}
# A native numeral opens an eojeol and stands for itself or before a counter: 두 번, 세 명, 하나는, 첫 번째.
_NATIVE = {
    "첫": 1, "한": 1, "하나": 1, "두": 2, "둘": 2, "세": 3, "셋": 3, "네": 4, "넷": 4, "다섯": 5, "여섯": 6,
    "일곱": 7, "여덟": 8, "아홉": 9, "열": 10,
}  # fmt: skip
_COUNTERS = "번|명|개|살|시|시간|달|권|편|마리|잔|장|대|가지|사람|곳|배|분|벌|켤레|송이|병|쪽|판|차례|자리|줄|마디|그릇"
_NATIVE_NUMBER = re.compile(
    rf"(?<![가-힣])(?:(첫|하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉)|(한|두|세|네|열)(?=\s?(?:{_COUNTERS})))"
)


def lost_numbers(original: str, paraphrase: str) -> list[str]:
    """Return the numbers of the original that the paraphrase lacks, in digits or in words.

    10만 and 100,000 are the same, and so are 3번 and 세 번. A number that occurs twice needs to come once: a paraphrase
    may name it once.
    """
    found = {value for _, values in _numbers(paraphrase) for value in values}
    found |= {_NATIVE[match[1] or match[2]] for match in _NATIVE_NUMBER.finditer(paraphrase)}
    return [written for written, values in _numbers(original) if not found.intersection(values)]


def _numbers(text: str) -> Iterator[tuple[str, set[float]]]:
    """Yield each number as it is written and the values that it may have.

    These are the digits alone (3 천 may be three streams), the digits with the units behind them, and the sum with what
    follows at once (3만 5천); a paraphrase that has any of them is believed.
    """
    group: list[tuple[str, float, float]] = []
    end = 0
    text = unicodedata.normalize("NFKC", text)
    for match in _NUMBER.finditer(text):
        digits = float(match[1].replace(",", ""))
        unit = prod(_UNITS[unit] for unit in match[2])
        joined = group and group[-1][2] > group[-1][1] and not text[end : match.start()].strip()
        if not joined:
            yield from _valued(group)
            group = []
        group.append((match[0].strip(), digits, digits * unit))
        end = match.end()
    yield from _valued(group)


def _valued(group: list[tuple[str, float, float]]) -> Iterator[tuple[str, set[float]]]:
    total = sum(value for _, _, value in group)
    for written, digits, value in group:
        yield written, {digits, value, total}


# --- loops ---------------------------------------------------------------------------------------------------------

LONGEST_UNIT = 40
"""Characters: the longest loops that a decoder falls into repeat about a clause."""
_SPACE = re.compile(r"\s+")


def longest_loop(text: str) -> int:
    """Return how often some stretch of 1 to 40 characters stands in a row at most; 1 where nothing is repeated."""
    text = _SPACE.sub(" ", text).strip() + " "  # so that the last word of a loop ends like the others
    repeats = 1
    for unit in range(1, min(LONGEST_UNIT, len(text) // 2) + 1):
        run = 0  # characters in a row that equal the one a unit later
        for here, later in zip(text, text[unit:], strict=False):
            run = run + 1 if here == later else 0
            if run >= unit * repeats:
                repeats = run // unit + 1
    return repeats
