"""What an analyser says of each eojeol of a text, and the analysers by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pkgutil import resolve_name
from typing import Final, Literal, NamedTuple, Protocol

from kexp.errors import KexpError, Problem

Kind = Literal[
    "noun",
    "bound noun",  # 수, 것, 적, 때문
    "predicate",
    "auxiliary",  # 않다 after -지, 보다 and 버리다 after -어
    "adverb",
    "intensifier",  # 너무, 정말
    "scope",  # adverbs that decide what the predicate says: 잘, 더, 별로, 전혀
    "negation",  # 안, 못
    "determiner",
    "conjunction",
    "other",
]
Form = Literal[
    "bare",  # no particle and no ending
    "modifier",  # before a noun: 본, 재미있는, 배우의
    "conjunct",  # before another noun: 배우와
    "topic",
    "subject",
    "object",
    "adverbial",
    "focus",  # 도, 만, 까지: what is said depends on it
    "connective",
    "final",
]


class Eojeol(NamedTuple):
    """One word between spaces: what it is, what its ending makes of it, its stem, and the particle or ending.

    ``text`` is it without the punctuation around it, in NFC; ``joints`` are the places in ``text`` between morphemes
    where writers often put a space, ``mark`` is whether punctuation stands around or within it, and ``gradable``
    whether it is an adjective of which there is more or less.
    """

    text: str
    kind: Kind = "other"
    form: Form = "bare"
    stem: str = ""
    ending: str = ""
    joints: tuple[int, ...] = ()
    mark: bool = False
    gradable: bool = False


_CORE: Final = re.compile(r"([^0-9A-Za-z가-힣]*)(.*?)([^0-9A-Za-z가-힣]*)", re.DOTALL)
_PAUSE: Final = re.compile(r"[.,!?;:~…ㅋㅎㅠㅜ/]")


def trimmed(word: str) -> tuple[str, bool]:
    """Return a word without the punctuation around it, and whether there was any, or a pause within it."""
    match = _CORE.fullmatch(word)
    before, text, after = match.groups() if match else ("", word, "")
    return text, bool(before or after) or _PAUSE.search(text) is not None


class Analyser(Protocol):
    """Reads texts: for each the list of its eojeol, one per word that ``str.split`` gives. Equal texts, equal lists."""

    def __call__(self, texts: Sequence[str]) -> list[Sequence[Eojeol]]:
        """Return the eojeol of each text."""


class AnalyserClass(Protocol):
    """Makes an analyser."""

    identity: str
    """Name and version: with another one texts may be read otherwise."""

    def __call__(self) -> Analyser:
        """Return the analyser; raises ``KexpError`` where a package is missing."""

    def missing(self) -> str:
        """Return what is not installed and how to install it, "" where nothing is missing."""


AnalyserName = Literal["rules", "kiwi"]
ANALYSER_DESCRIPTION: Final = (
    "What tells parts of speech: rules and word lists, or the morphological analyser Kiwi "
    "(kexp-korean with its extra, morphology)."
)
_CLASSES: Final[dict[AnalyserName, str]] = {
    "rules": "kexp.korean.rules:RuleAnalyser",
    # It is part of another package, which is not needed without it.
    "kiwi": "kexp_korean.kiwi:KiwiAnalyser",
}
_EXTRA: Final = (
    'analyser = "kiwi" needs kexp-korean with its extra: '
    "pip install -e 'plugins/kexp-korean[morphology]' in the repository of kexp"
)


def _class(name: AnalyserName) -> AnalyserClass:
    try:
        found: AnalyserClass = resolve_name(_CLASSES[name])
    except ImportError:
        raise KexpError(_EXTRA) from None
    return found


@cache
def analyser(name: AnalyserName) -> Analyser:
    """Return an analyser, made once per process; raises ``KexpError`` where a package is missing."""
    return _class(name)()


def analyser_identity(name: AnalyserName) -> str:
    """Return the name and version of an analyser: what texts that depend on it are stored under."""
    return _class(name).identity


def analyser_problems(name: AnalyserName) -> Iterable[Problem]:
    """Yield what an analyser lacks."""
    try:
        missing = _class(name).missing()
    except KexpError as error:
        missing = str(error)
    if missing:
        yield Problem("analyser", missing)
