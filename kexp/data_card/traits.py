"""Traits of a text that are cheap to see: its length, what it contains, begins and ends with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["eojeol", "characters", "first eojeol", "last eojeol", "property"]

EMOJI = "\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff"

PROPERTIES: Mapping[str, re.Pattern[str]] = {
    "a punctuation mark at the end": re.compile(r"[.!?…~,;:]\s*\Z"),
    "a full stop at the end": re.compile(r"\.\s*\Z"),
    "a question mark at the end": re.compile(r"\?\s*\Z"),
    "an exclamation mark at the end": re.compile(r"!\s*\Z"),
    "a digit": re.compile(r"\d"),
    "a Latin letter": re.compile(r"[A-Za-z]"),
    "a Hangul syllable": re.compile("[가-힣]"),
    "a single jamo such as ㅋ or ㅠ": re.compile("[ㄱ-ㅣ]"),
    "an emoji": re.compile(f"[{EMOJI}]"),
    "a URL": re.compile(r"https?://|www\."),
    "a line break": re.compile(r"[\r\n]"),
    "several spaces in a row": re.compile(r"[ \t\u3000]{2,}"),
    "white space at an end": re.compile(r"\A\s|\s\Z"),
}
"""What a text contains, by name."""

ARTEFACTS = ("a URL", "a line break", "several spaces in a row", "white space at an end")
"""Properties that say how a text was collected rather than what it says."""

_EXPRESSION = re.compile(f"[\\w\\s.,!?~^;:'\"…·\\-ㅋㅎㅠㅜㅡ♥♡❤★☆“”‘’{EMOJI}]")

ENDS = 500
"""Characters at both ends of a text that are looked at, besides its length."""

LONGEST = 40
"""Characters of a marker that is shown."""


@dataclass(frozen=True, slots=True)
class Trait:
    """A trait of some texts: they contain an eojeol or characters, begin or end with an eojeol, or have a property."""

    kind: Kind
    value: str

    @property
    def is_marker(self) -> bool:
        """Whether it has a symbol that belongs to no word, and that people do not write to express themselves."""
        if self.kind == "property":
            return self.value in ARTEFACTS
        return any(not _EXPRESSION.match(letter) for letter in self.value)

    def of(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return which texts have it."""
        import numpy as np

        if self.kind == "property":
            found = (PROPERTIES[self.value].search(text) is not None for text in texts)
        elif self.kind == "characters":
            found = (self.value in text for text in texts)
        elif self.kind == "eojeol":
            found = (self.value in text and self.value in text.split() for text in texts)
        else:
            place = 0 if self.kind == "first eojeol" else -1
            found = (self.value in text and text.split()[place] == self.value for text in texts)
        return np.fromiter(found, bool, len(texts))

    def __str__(self) -> str:
        if self.kind == "property":
            return self.value
        shown = "".join(letter if letter.isprintable() else f"<U+{ord(letter):04X}>" for letter in self.value)
        return f'"{shown}"' + {"first eojeol": " at the beginning", "last eojeol": " at the end"}.get(self.kind, "")


def traits(text: str) -> set[tuple[Kind, str]]:
    """Return the traits of a text: its eojeol, one to three characters in a row within them, and its properties."""
    words = text.split()
    found: set[tuple[Kind, str]] = {("property", name) for name, pattern in PROPERTIES.items() if pattern.search(text)}
    for word in set(words):
        found.add(("eojeol", word))
        for size in (1, 2, 3):
            found.update(("characters", word[start : start + size]) for start in range(len(word) - size + 1))
    if words:
        found |= {("first eojeol", words[0]), ("last eojeol", words[-1])}
    return found


def completed(trait: Trait, texts: Sequence[str], share: float = 0.98) -> Trait:
    """Return characters with those beside them that nearly all texts have, from texts that contain them all.

    "[광" becomes "[광고]"; it ends where an eojeol does. Other traits are returned as they are.
    """
    value = trait.value
    while trait.kind == "characters" and len(value) < LONGEST:
        longer = Counter(part for text in texts for part in _one_longer(value, text))
        best, count = max(longer.items(), key=lambda item: (item[1], item[0]), default=(value, 0))
        if count < share * len(texts):
            break
        value = best
    return Trait(trait.kind, value)


def _one_longer(value: str, text: str) -> set[str]:
    """Return the places of a value in a text with one character more of its eojeol, before it or after it."""
    found, start = set(), text.find(value)
    while start >= 0:
        end = start + len(value)
        if start and not text[start - 1].isspace():
            found.add(text[start - 1 : end])
        if end < len(text) and not text[end].isspace():
            found.add(text[start : end + 1])
        start = text.find(value, start + 1)
    return found


@dataclass(frozen=True, slots=True)
class Length:
    """A bound on the length of a text; ``at_most`` or above it."""

    unit: str
    at_most: bool
    bound: int

    def of(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return which texts keep to it."""
        return self.among(lengths(texts))

    def among(self, of_length: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Return which texts keep to it, given the lengths of all by unit."""
        short: NDArray[np.bool_] = of_length[self.unit] <= self.bound
        return short if self.at_most else ~short

    def __str__(self) -> str:
        return f"a length {'of at most' if self.at_most else 'above'} {self.bound:,} {self.unit}"


def lengths(texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return the length of every text by unit."""
    import numpy as np

    return {
        "characters": np.fromiter(map(len, texts), np.int64, len(texts)),
        "eojeol": np.fromiter((len(text.split()) for text in texts), np.int64, len(texts)),
    }


def shortened(texts: Sequence[str]) -> list[str]:
    """Return both ends of every text that is long."""
    return [f"{text[:ENDS]} {text[-ENDS:]}" if len(text) > 2 * ENDS else text for text in texts]
