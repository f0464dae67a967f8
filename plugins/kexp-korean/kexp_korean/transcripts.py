"""The marks of AI-Hub's dialect transcripts, and what was said without them."""

from __future__ import annotations

import re
import unicodedata
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


def spoken(text: str, side: Side) -> str:
    """Return one form of a transcript without marks, in NFC, with single spaces.

    An inline pair ``(dialect)/(standard)`` gives the form of ``side``; ``{laughing}``, ``&name&``, ``*``, ``#`` and
    ``(())`` are dropped, ``((word))`` gives the word.
    """
    if _MARK.search(text):
        text = _ANONYMISED.sub("", _SOUND.sub(" ", text)).translate(_UNCERTAIN)
        text = _DOUBTFUL.sub(r"\1", text)
        text = _INLINE_PAIR.sub(r"\1" if side == "dialect" else r"\2", text)
        text = text.translate(_PARENTHESES)
    return unicodedata.normalize("NFC", " ".join(text.split()))
