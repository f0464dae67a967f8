"""Texts cut into sentences: translation models are trained on single ones and drop parts of longer inputs."""

from __future__ import annotations

import re

# A line end, or white space after the marks that close a sentence and the quotation marks and brackets behind them.
_BOUNDARY = re.compile(r"\s*\n\s*|(?<=[.!?…。！？])[\"'”’)\]]*\s+")
_LETTER = re.compile(r"[^\W_]")


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text in order, without surrounding space.

    A piece without letters or digits (a lone mark, an emoticon) stays with the sentence before it.
    """
    sentences: list[str] = []
    start = 0
    for boundary in [*_BOUNDARY.finditer(text), None]:
        end = boundary.end() if boundary else len(text)
        piece = text[start:end].strip()
        start = end
        if not piece:
            continue
        if sentences and not _LETTER.search(piece):
            sentences[-1] += f" {piece}"
        else:
            sentences.append(piece)
    return sentences
