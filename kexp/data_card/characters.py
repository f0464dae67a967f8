"""What characters the texts are written in: decomposed Hangul, no Hangul, emoji, URLs, characters that were lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kexp.data_card.finding import EXAMPLES, Finding
from kexp.data_card.rows import CardRows, by_split, counted, examples


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
    if count := sum(map(len, found.values())):
        said = by_split({split: len(frame) for split, frame in found.items()})
        title = f"{counted(count)} with decomposed Hangul or accents (NFD), as macOS writes file names ({said})"
        shown = [one for frame in found.values() for one in examples(frame)]
        remedy = "kexp composes every text (NFC)"
        yield Finding("decomposed", title, count, total, tuple(shown[:EXAMPLES]), remedy, handled=True)
    for kind in KINDS:
        counts, shown = {}, []
        for split, frame in rows.read.items():
            search, blank = kind.pattern.search, kind.absent
            holds = np.fromiter(
                (search(text) is not None or (blank and not text.strip()) for text in frame["key"].tolist()),
                bool,
                len(frame),
            )
            rows_of = frame[~holds if kind.absent else holds]
            counts[split] = len(rows_of)
            shown += examples(rows_of)
        if count := sum(counts.values()):
            title = f"{counted(count)} {kind.title} ({by_split(counts)})"
            yield Finding(kind.name, title, count, total, tuple(shown[:EXAMPLES]), kind.remedy)
