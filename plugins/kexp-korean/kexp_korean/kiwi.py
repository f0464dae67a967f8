"""Eojeol by the morphological analyser Kiwi (kiwipiepy), an extra of this package."""

from __future__ import annotations

import re
from bisect import bisect
from collections import OrderedDict
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Protocol
from unicodedata import normalize

from kexp.errors import KexpError
from kexp.korean import vocabulary as known
from kexp.korean.eojeol import Eojeol, Form, Kind, trimmed

INSTALL: Final = 'analyser = "kiwi" needs kiwipiepy, which is not installed: pip install kiwipiepy'
REMEMBERED: Final = 1 << 17  # Texts whose analysis is kept for the epochs to come.

_MARKS: Final = ("SF", "SP", "SS", "SSO", "SSC", "SE", "SO", "SW", "W_EMOJI")
_JOINING: Final = {"JKS": "subject", "JKC": "subject", "JKO": "object", "JKG": "modifier", "JC": "conjunct"}
_VAGUE: Final = ("있", "없", "같", "그렇", "이렇", "저렇", "어떻", "아니", "머", "뭐")
_NAMED: Final = tuple(noun for noun in known.NOUNS if len(noun) > 1)
_VERBAL: Final = ("VV", "VA", "VX", "VCP", "VCN", "XSV", "XSA")


class Token(Protocol):
    """A morpheme as Kiwi gives it: its form, part of speech (Sejong tags), and place in the text."""

    form: str
    tag: str
    start: int
    len: int


def installed_version() -> str:
    """Return the versions of Kiwi and of its model, "" where it is not installed."""
    try:
        return f"kiwipiepy {version('kiwipiepy')}, model {version('kiwipiepy_model')}"
    except PackageNotFoundError:
        return ""


class KiwiAnalyser:
    """Reads texts with Kiwi, the new ones of a call together; what was read once is remembered."""

    identity = installed_version()

    def __init__(self) -> None:
        if missing := self.missing():
            raise KexpError(missing)
        from kiwipiepy import Kiwi

        self._kiwi = Kiwi()
        self._known: OrderedDict[str, Sequence[Eojeol]] = OrderedDict()

    def __reduce__(self) -> tuple[type[KiwiAnalyser], tuple[()]]:
        """Return how another process makes one: Kiwi itself cannot be copied."""
        return KiwiAnalyser, ()

    @staticmethod
    def missing() -> str:
        """Return what is not installed and how to install it, "" where nothing is missing."""
        return "" if installed_version() else INSTALL

    def __call__(self, texts: Sequence[str]) -> list[Sequence[Eojeol]]:
        """Return the eojeol of each text."""
        keys = [_plain(text) for text in texts]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        # Together they are divided among the processor's cores; one by one the start of each would cost more.
        read = zip(new, self._kiwi.tokenize(new), strict=True) if new else ()
        found = {key: _eojeol(key, tokens) for key, tokens in read}
        result = [found[key] if key in found else self._known[key] for key in keys]
        self._known |= found
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return result


def _plain(text: str) -> str:
    """Return a text with single spaces, in NFC, and without lone surrogates, which Kiwi refuses."""
    text = re.sub("[\ud800-\udfff\0]", "?", " ".join(text.split()))
    return " ".join(normalize("NFC", text).split(" "))


def _eojeol(text: str, tokens: Sequence[Token]) -> Sequence[Eojeol]:
    """Divide the tokens of a text among the words between its spaces."""
    words = text.split(" ") if text else []
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    divided: list[list[Token]] = [[] for _ in words]
    for token in tokens:
        divided[bisect(starts, token.start) - 1].append(token)
    found = [_read(word, start, own) for word, start, own in zip(words, starts, divided, strict=True)]
    return tuple(_in_context(found))


def _read(word: str, start: int, tokens: Sequence[Token]) -> Eojeol:
    """Read one word from its tokens."""
    text, mark = trimmed(word)
    own = [token for token in tokens if not token.tag.startswith(_MARKS)]
    if not own or not re.fullmatch("[가-힣]+", text):
        return Eojeol(text, mark=mark)
    tags = [re.sub("-.*", "", token.tag) for token in own]
    offset = start + word.index(text)
    joints = _joints(text, offset, own, tags)
    kind, form = _kind(text, tags), _form(own, tags)
    stem, ending = _parts(text, offset, own, tags)
    gradable = (tags[0] == "VA" and own[0].form not in _VAGUE) or (tags[0] in ("XR", "NNG") and tags[1:2] == ["XSA"])
    if kind not in ("noun", "bound noun", "predicate", "auxiliary"):
        form, stem, ending = ("modifier" if kind == "determiner" else "bare"), text, ""
    return Eojeol(text, kind, form, stem, ending, joints, mark, gradable and kind == "predicate")


def _kind(text: str, tags: Sequence[str]) -> Kind:
    """Return what a word is by its first morphemes; adverbs by the lists that rules use too."""
    if len(tags) == 1 and tags[0] in ("MAG", "MAJ", "MM", "IC", "NR", "NP", "NNG", "XR"):
        listed = _listed(text, tags[0])
        if listed is not None:
            return listed
    if len(tags) > 1 and text in known.INTENSIFIERS and text != "되게":  # 겁나게, 억수로
        return "intensifier"
    if text in known.ADVERBS and "MAG" not in tags and tags[0].startswith(("N", "MM")):
        return "adverb"
    if tags[0] == "VX":
        return "auxiliary"
    if any(tag in _VERBAL for tag in tags):
        return "predicate"
    if tags[0] == "NNB":
        return "bound noun"
    if tags[0] in ("NNG", "NNP", "NP", "XPN") and all(tag.startswith(("NN", "NP", "XSN", "XPN", "J")) for tag in tags):
        return "noun"
    return "scope" if tags[-1] in ("MAG", "XSM", "XSA") else "other"


def _listed(text: str, tag: str) -> Kind | None:
    if text in ("안", "못"):
        return "negation"
    if tag == "MM":
        return "determiner"
    if tag == "MAJ" or text in known.CONJUNCTIONS:
        return "conjunction"
    if tag == "MAG" and text in known.INTENSIFIERS:
        return "intensifier"
    if tag in ("MAG", "NNG") and text in known.ADVERBS:
        return "adverb"
    return "scope" if tag == "MAG" else None


def _form(tokens: Sequence[Token], tags: Sequence[str]) -> Form:
    """Return what the last morphemes make of a word."""
    last, form = tags[-1], tokens[-1].form
    if last in _JOINING:
        return _JOINING[last]  # type: ignore[return-value]
    if last == "JX":
        return "topic" if form in ("은", "는", "ᆫ") and not (len(tags) > 1 and tags[-2] == "JX") else "focus"
    if last == "JKB":
        if form in ("와", "과", "랑", "이랑", "하고", "에다", "에다가"):
            return "conjunct"
        return "focus" if form in ("보다", "만큼", "대로") else "adverbial"
    if last == "ETM":
        return "modifier"
    if last == "EC":
        return "connective"
    return "final" if last in ("EF", "ETN") else "bare"


def _parts(text: str, offset: int, tokens: Sequence[Token], tags: Sequence[str]) -> tuple[str, str]:
    """Return the stem of a word and what follows it."""
    if any(tag in _VERBAL for tag in tags):
        last = max(number for number, tag in enumerate(tags) if tag in _VERBAL)
        return "".join(token.form for token in tokens[: last + 1]), ""
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("J") and token.len and token.start > offset:
            return text[: token.start - offset], text[token.start - offset :]
    return text, ""


def _joints(text: str, offset: int, tokens: Sequence[Token], tags: Sequence[str]) -> tuple[int, ...]:
    """Return where a writer might part morphemes: before bound nouns, 있다, auxiliaries, 하다 and in compounds."""
    places = set()
    for number in range(1, len(tokens)):
        left, right, tag = tags[number - 1], tags[number], tokens[number]
        place = tag.start - offset
        if not 0 < place < len(text) or not tag.len or _end(tokens[number - 1]) > tag.start:
            continue
        before = tokens[number - 1]
        # Of two nouns one syllable each (별점) nobody makes two words; 생각하다 is often parted, 순수하다 less so.
        compound = left == right == "NNG" and min(before.len, tag.len) > 1
        compound |= left == "NNG" and right == "XSV" and before.len > 1
        denied = left == "MAG" and right.startswith(("VV", "VA"))
        # 이영화, but not the names 지창욱 and 이문열.
        pointed = left == "MM" and right.startswith("N") and text[place:].startswith(_NAMED)
        existing = right == "VA" and tag.form in ("있", "없") and left.startswith("N")
        if right in ("NNB", "VX") or compound or denied or pointed or existing or (right == "VA" and left == "NNB"):
            places.add(place)
    return tuple(sorted(places))


def _end(token: Token) -> int:
    return int(token.start + token.len)


def _in_context(found: list[Eojeol]) -> list[Eojeol]:
    """Correct what depends on the word before: 있다 after 고 is an auxiliary."""
    for number, word in enumerate(found[1:], start=1):
        before = found[number - 1]
        if word.text in ("라는", "이라는"):  # of a quotation: "진짜?" 라는 말
            found[number] = word._replace(kind="bound noun", form="modifier")
        if word.text in ("아는", "사는", "노는") and word.kind == "noun":
            found[number] = word._replace(kind="predicate", form="modifier")
        if word.text == "나는" and before.kind == "noun" and before.form in ("bare", "subject") and not before.mark:
            found[number] = word._replace(kind="predicate", form="modifier")  # 갈매기 나는 하늘
        if (
            word.kind == "predicate"
            and word.stem in ("있", "계시", "싶", "않", "못하", "말")
            and before.form == "connective"
        ):
            found[number] = word._replace(kind="auxiliary")
        if word.kind == "noun" and word.stem in known.BOUND_NOUNS and before.form == "modifier" and len(word.stem) < 2:
            found[number] = word._replace(kind="bound noun")
    return found
