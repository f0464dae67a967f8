"""The cleaning that KcBERT's authors publish for texts before their tokenizer (https://github.com/Beomi/KcBERT)."""

from __future__ import annotations

import re

# KcBERT's vocabulary knows Hangul, ASCII and little more; emoji and ideographs become white space.
_FOREIGN = re.compile(r"[^ .,?!/@$%~\uff05·\u223c()\x00-\x7Fㄱ-ㅣ가-힣]+")
_HOST = r"[-a-zA-Z0-9@:%._+~#=]{1,256}\.[a-zA-Z0-9()]{1,6}\b"
_URL = re.compile(rf"https?://{_HOST}[-a-zA-Z0-9()@:%_+.~#?&/=]*")
_REPEATED = re.compile(r"(\w)\1{2,}")


def clean(text: str) -> str:
    """Keep Hangul, ASCII and basic punctuation, drop emoji and URLs, shorten repeats to two."""
    text = _URL.sub("", _FOREIGN.sub(" ", text))
    return repeat_normalize(text)


def repeat_normalize(text: str, repeats: int = 2) -> str:
    """Shorten runs of one letter or digit to ``repeats`` and white space to single spaces, as soynlp does.

    Punctuation keeps its length: "ㅋㅋㅋㅋ!!!!" becomes "ㅋㅋ!!!!".
    """
    return " ".join(_REPEATED.sub(lambda run: run[1] * repeats, text).split())
