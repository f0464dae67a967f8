"""The marks of AI-Hub's dialect transcripts, and what was said without them.

(혼저)/(어서)      dialect and standard      the form of the side
{laughing}        a sound                   dropped
&name&            an anonymised name        dropped
*그, #그           heard with doubt          the word
((그)), (())       heard with doubt, or not  the word, or nothing
-그-, 그-, 하-하지만  stuttered, broken off    as transcribed, or dropped (disfluencies = "drop")
(아)/()           said in one form alone    the form of the side, or dropped
xx                not understood            as transcribed, or its eojeol dropped
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Literal

Side = Literal["dialect", "standard"]

_MARK = re.compile(r"[*#&{}()]")
_SOUND = re.compile(r"\{[^{}]*\}")
_ANONYMISED = re.compile(r"&[\w-]+&")
_UNCERTAIN = str.maketrans("", "", "*#")
# What was heard with doubt stands in double parentheses, nothing between them if nothing was understood. Beside a
# slash they belong to an inline pair.
_DOUBTFUL = re.compile(r"(?<!/)\(\(([^()]*)\)\)(?!\s*/)")
_INLINE_PAIR = re.compile(r"\(+([^()]*)\)+\s*/\s*\(+([^()]*)\)+")
_PARENTHESES = str.maketrans("", "", "(){}")


# What was said twice or broken off has a hyphen behind it, what was stuttered often one before it too.
_BROKEN_OFF = re.compile(r"(?<!\S)(?:-[가-힣ㄱ-ㅣ]+-?|[가-힣ㄱ-ㅣ]+-)(?=[\s.,?!]|$)")
_REPEATED = re.compile(r"(?<![가-힣])([가-힣]+)-(?=\1)")
_ONE_SIDED = re.compile(r"\(+([^()/]+)\)+\s*/\s*\(\s*\)|\(\s*\)\s*/\s*\(+([^()/]+)\)+")
_UNCLEAR = re.compile(r"\S*(?<![A-Za-z])[xX]{2,}(?![A-Za-z])\S*")

DROPPED = {"stuttered or broken off": (_REPEATED, _BROKEN_OFF), "not understood": (_UNCLEAR,)}
SAID_ONCE = "said in one form alone"


def spoken(text: str, side: Side) -> str:
    """Return one form of a transcript without marks, in NFC, with single spaces.

    An inline pair ``(dialect)/(standard)`` gives the form of ``side``; ``{laughing}``, ``&name&``, ``*``, ``#`` and
    ``(())`` are dropped, ``((word))`` gives the word. Stutters and what was not understood stay as transcribed.
    """
    if _MARK.search(text):
        text = _ANONYMISED.sub("", _SOUND.sub(" ", text)).translate(_UNCERTAIN)
        text = _DOUBTFUL.sub(r"\1", text)
        text = _INLINE_PAIR.sub(r"\1" if side == "dialect" else r"\2", text)
        text = text.translate(_PARENTHESES)
    return unicodedata.normalize("NFC", " ".join(text.split()))


def fluent(text: str, side: Side, dropped: Counter[str]) -> str:
    """Return one form as ``spoken`` does, without stutters, sounds of one form alone and words not understood.

    ``dropped`` counts them by kind.
    """
    text, count = _ONE_SIDED.subn(" ", unicodedata.normalize("NFC", text))
    dropped[SAID_ONCE] += count
    text = spoken(text, side)
    for kind, patterns in DROPPED.items():
        for pattern in patterns:
            text, count = pattern.subn("", text)
            dropped[kind] += count
    return " ".join(text.split())
