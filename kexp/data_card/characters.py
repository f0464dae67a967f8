"""What characters the texts are written in: decomposed Hangul, no Hangul, emoji, URLs, characters that were lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kexp.data_card.finding import Finding
from kexp.data_card.rows import CardRows, finding_of_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of characters that a text may hold, or lack: ``absent`` finds the texts without them."""

    name: str
    pattern: re.Pattern[str]
    title: str
    remedy: str
    absent: bool = False


KINDS = (
    Kind(
        "no-hangul",
        re.compile("[가-힣ㄱ-ㆎᄀ-ᇿ]"),
        "without Hangul",
        "cleaning.min_characters drops what is short; a Korean model has little to read in the others",
        absent=True,
    ),
    Kind(
        "emoji",
        re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\u2b1b\u2b1c\u231a\u231b\u23e9-\u23fa]"),
        "with emoji or symbols like them",
        "the tokenizer may not know them: see the share of unknown tokens",
    ),
    Kind(
        "urls",
        re.compile(r"https?://|www\.\w", re.IGNORECASE | re.ASCII),
        "with a URL",
        "a model may learn the label from where a text was found: remove URLs, or put one word for all of them",
    ),
    Kind(
        "replacement-characters",
        re.compile("\ufffd"),
        "with the character U+FFFD, which stands for one that was lost when the file was written",
        "read the text again from where it came, with its right encoding",
    ),
)


def characters(rows: CardRows) -> Iterator[Finding]:
    """Count rows by the kinds of characters that their texts hold, of all splits as read."""
    total = sum(map(len, rows.read.values()))
    found = {split: frame[frame["decomposed"]] for split, frame in rows.read.items()}
    title = "with decomposed Hangul or accents (NFD), as macOS writes file names"
    remedy = "kexp composes every text (NFC)"
    yield from finding_of_splits("decomposed", title, found, total, remedy, handled=True)
    for kind in KINDS:
        found = {split: frame[_of_kind(kind, frame["key"].tolist())] for split, frame in rows.read.items()}
        yield from finding_of_splits(kind.name, kind.title, found, total, kind.remedy)


def _of_kind(kind: Kind, texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return which texts hold such characters, or lack them; one without text lacks none."""
    search, blank = kind.pattern.search, kind.absent
    holds = np.fromiter((search(text) is not None or (blank and not text.strip()) for text in texts), bool, len(texts))
    return ~holds if kind.absent else holds
