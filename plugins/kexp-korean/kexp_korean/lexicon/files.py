"""Reading lexicon files: a line for each word or group of words, with cells that a tab parts.

    noun        영화        작품, 필름                             a word, and words that may stand for it
    adverb      정말 = 정말로                                      words that all may stand for one another
    noun        드라마      작품        previous: 이, 그, 이런        only after such eojeol

The part of speech may be left out. Cells after the words say where the line holds: ``endings``, ``previous``,
``not previous``, ``next`` and ``not next``, each with a colon and a list, and ``homograph``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Final
from unicodedata import normalize

from kexp.errors import DataError, did_you_mean
from kexp.files import read_text
from kexp.hangul import is_syllable
from kexp_korean.lexicon.entries import PARTS, Context, Entry, Part
from kexp_korean.lexicon.lookup import Lexicon, is_lemma

BUNDLED: Final = Path(__file__).parent
"""Folder of the lexicon that comes with this package."""

CONDITIONS: Final = tuple(field.name.replace("_", " ") for field in fields(Context))
_VERB: Final = " (verb)"
_SHAPE: Final = "write word, tab, synonyms, or word = word; a part of speech and a tab may come first"


@cache
def bundled() -> Lexicon:
    """Return the lexicon that comes with this package."""
    return Lexicon(entry for path in sorted(BUNDLED.glob("*.tsv")) for entry in read_lexicon(path))


def read_lexicon(path: Path) -> list[Entry]:
    """Read a lexicon (UTF-8): a word, a tab, its synonyms with commas between them; a part of speech may come first.

    ``word = word`` makes each stand for the others; further cells say where the line holds. Empty lines and lines that
    begin with # are skipped. Raises ``DataError`` with all faulty lines (the first five of them told), each with what
    is wrong and what to do.
    """
    entries: list[Entry] = []
    lines: dict[tuple[Part | None, str, Context], int] = {}
    faults: list[str] = []
    for number, line in enumerate(normalize("NFC", read_text(path)).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            found = list(_entries(line))
        except ValueError as error:
            faults.append(f"{path}: line {number}: {error}")
            continue
        for entry in found:
            known = lines.setdefault((entry.part, entry.word, entry.context), number)
            if known != number:
                faults.append(
                    f'{path}: line {number}: "{entry.word}" stands in line {known} already; join the two lines'
                )
        entries += found
    if faults:
        more = [f"{path}: {len(faults) - 5} more lines are faulty"] if len(faults) > 5 else []
        raise DataError("\n".join(faults[:5] + more))
    if not entries:
        raise DataError(f"{path}: no entries; write one line per word: word, a tab, its synonyms with commas between")
    return entries


def _entries(line: str) -> Iterator[Entry]:
    """Read one line; raises ``ValueError`` with the finding and the remedy."""
    cells = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
    count = next((number for number, cell in enumerate(cells) if number and _is_condition(cell)), len(cells))
    words, conditions = cells[:count], cells[count:]
    homograph = "homograph" in conditions
    context = _context([cell for cell in conditions if cell != "homograph"])
    grouped = "=" in words[-1]
    if len(words) not in ((1, 2) if grouped else (2, 3)):
        raise ValueError(f"{len(words)} cells; {_SHAPE}")
    part = _part(words[0]) if len(words) == (2 if grouped else 3) else None
    if grouped:
        group = _listed(words[-1], "=")
        pairs = [(word, [other for other in group if other != word]) for word in group]
    else:
        pairs = [(words[-2], _listed(words[-1], ","))]
    for word, listed in pairs:
        synonyms = tuple(dict.fromkeys(one.removesuffix(_VERB) for one in listed))
        verbs = tuple(one.removesuffix(_VERB) for one in listed if one.endswith(_VERB))
        _check(part, word, synonyms)
        yield Entry(part, word, synonyms, context, verbs, homograph)


def _listed(cell: str, mark: str) -> list[str]:
    return [word for one in cell.split(mark) if (word := one.strip()) != ""]


def _is_condition(cell: str) -> bool:
    return ":" in cell or cell == "homograph"


def _context(cells: Sequence[str]) -> Context:
    found: dict[str, tuple[str, ...]] = {}
    for cell in cells:
        name, _, listed = cell.partition(":")
        name = name.strip()
        if name not in CONDITIONS:
            raise ValueError(f'"{name}" is no condition; {did_you_mean(name, [*CONDITIONS, "homograph"])}')
        values = tuple(_listed(listed, ","))
        if not values or name in found:
            raise ValueError(f'"{name}" {"stands twice" if values else "names nothing"}; write one list after it')
        found[name] = values
    return Context(**{name.replace(" ", "_"): values for name, values in found.items()})


def _check(part: Part | None, word: str, synonyms: Sequence[str]) -> None:
    if not word or not all(map(is_syllable, word)):
        raise ValueError(f'"{word}" is not one word in Hangul syllables and would never be found; remove the line')
    if not synonyms or word in synonyms:
        raise ValueError(
            f'"{word}" has {"itself" if synonyms else "nothing"} as a synonym; name other words, or remove it'
        )
    for one in (word, *synonyms) if part in ("adjective", "verb") else ():
        if not is_lemma(one):
            raise ValueError(f'"{one}" is no dictionary form of the {part}; write the form that ends in 다')


def _part(cell: str) -> Part:
    for part in PARTS:
        if cell == part:
            return part
    raise ValueError(f'"{cell}" is no part of speech; {did_you_mean(cell, PARTS)}')
