"""What licences of data and weights allow of a model that is made from them, read from how they are stated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kexp.errors import KexpError, did_you_mean

UNKNOWN = "unknown"
SHARE_ALIKE = "share-alike"
PERMISSIVE = "permissive"

_FORBIDDING: Mapping[str, str] = {
    "non-commercial": r"\bNC\b|non[- ]?(?:commercial|profit)|\b(?:not|no)\b(?: for)?(?: any)? commercial"
    r"|commercial use(?: is)? (?:not|forbidden|prohibited)|commons clause|비영리|비상업"
    r"|상업(?:적|용)?\s*(?:이용|사용|활용)\S*\s*(?:금|불가|제한)|공공누리\s*제?\s*[24]\s*유형",
    "no derivatives": r"\bND\b|no[- ]?deriv|변경\s*금지|공공누리\s*제?\s*3\s*유형|2차\s*(?:적)?\s*저작물\s*작성\s*금지",
    "research only": r"(?:research|academic|educational)[- ](?:use|purposes?|only)|only for (?:research|academic)"
    r"|for (?:research|academic)|(?:evaluation|personal|internal) (?:use|purposes?) only"
    r"|for (?:evaluation|personal) only|연구\s*(?:용|목적|자)|학술",
    "terms of its own": r"terms of use|AI[- ]?Hub|not be (?:passed on|shared|redistributed)|proprietary"
    r"|all rights reserved|이용\s*약관|재배포\s*금지",
}
"""What forbids that anyone may use a model that was made from data or weights, by its name, the strictest first."""
_SHARE_ALIKE = r"\bSA\b|\bCC[- ]?BY[- ]?SA|share[- ]?alike|동일\s*조건|\b[AL]?GPL|\bODbL\b"
_NAMES_NONE = r"\bnames? none\b"
"""That the authors name none; what others say of their work is not theirs to say."""
_NOT_KNOWN = r"\bunknown\b|\bnot (?:known|stated)\b|\bno licen[cs]e\b"

_CREATIVE_COMMONS = re.compile(r"(?i)\bCC[- ]?BY((?:[- ](?:NC|ND|SA))*)[- ]([1-4]\.0)")
_NAMED: Mapping[str, str] = {
    "cc0-1.0": r"\bCC0\b|cc-?zero",
    "apache-2.0": r"\bapache(?:[- ]licen[cs]e)?,?[- ](?:version )?2(?:\.0)?\b",
    "mit": r"\bMIT\b",
    "bsd-3-clause": r"\bBSD[- ]3(?:-clause)?\b",
    "bsd-2-clause": r"\bBSD[- ]2(?:-clause)?\b",
    "isc": r"\bISC\b",
    "unlicense": r"\bunlicense\b",
    "odc-by": r"\bODC-By\b",
    "odbl": r"\bODbL\b",
    "pddl": r"\bPDDL\b",
    "cdla-permissive-2.0": r"\bCDLA-permissive-2\.0\b",
    "agpl-3.0": r"\bAGPL(?:v|-)?3",
    "lgpl-3.0": r"\bLGPL(?:v|-)?3",
    "gpl-3.0": r"\bGPL(?:v|-)?3",
    "mpl-2.0": r"\bMPL[- ]2",
}
"""Licences by the id that the Hugging Face hub gives them."""
_OTHER_IDS = ("openrail", "bigscience-openrail-m", "afl-3.0", "eupl-1.2", "wtfpl", "ms-pl", "epl-2.0", "other")
_CREATIVE_IDS = [
    f"cc-by{kind}-{version}"
    for kind in ("", "-sa", "-nc", "-nd", "-nc-sa", "-nc-nd")
    for version in ("2.0", "3.0", "4.0")
]


@dataclass(frozen=True, slots=True)
class Licence:
    """The licence of what a model was made from: ``of`` says of what, ``text`` how it is stated, if it is."""

    of: str
    text: str

    @property
    def kind(self) -> str:
        """What it means for a model made from it: a name of what it forbids, unknown, share-alike or permissive."""
        for kind, pattern in _FORBIDDING.items():
            if re.search(f"(?i){pattern}", self.text):
                return kind
        # What follows in brackets is about copies of it.
        own = self.text.partition("(")[0]
        if re.search(f"(?i){_NAMES_NONE}", own):
            return UNKNOWN
        if re.search(f"(?i){_SHARE_ALIKE}", self.text):
            return SHARE_ALIKE
        return PERMISSIVE if self.ids and not re.search(f"(?i){_NOT_KNOWN}", own) else UNKNOWN

    @property
    def ids(self) -> list[str]:
        """Ids of the licences that the text names, as the Hugging Face hub writes them."""
        creative = [
            f"cc-by{found[1].lower().replace(' ', '-')}-{found[2]}" for found in _CREATIVE_COMMONS.finditer(self.text)
        ]
        # The licence itself stands before what it asks for.
        return [*creative, *(name for name, pattern in _NAMED.items() if re.search(f"(?i){pattern}", self.text))]

    @property
    def binding(self) -> list[str]:
        """Ids of the licences among them that a model made from it must have, or that restrict its use."""
        return [name for name in self.ids if re.search(r"\b(?:nc|nd|sa)\b|gpl|odbl", name)]

    def sentence(self) -> str:
        """Return what is stated, and of what."""
        return f"{self.of}: {self.text or 'not known'}"


def refusal(licences: Sequence[Licence], stated: str | None) -> str:
    """Say why a model made from these may not be published under the stated licence; "" where it may.

    ``stated`` is the licence that the user names for the model, which they are free to where nothing is known.
    """
    return "\n".join(_findings(licences, stated))


def _findings(licences: Sequence[Licence], stated: str | None) -> Iterator[str]:
    for licence in licences:
        if licence.kind in _FORBIDDING:
            yield f"{licence.sentence()} ({licence.kind}); if you may publish all the same, say --despite-licence"
        elif licence.kind == UNKNOWN and stated is None:
            remedy = "if you may publish a model made from it, name the model's licence, such as --licence apache-2.0"
            yield f"{licence.sentence()}; {remedy}"
        elif licence.kind == SHARE_ALIKE and (found := stated or inherited(licences)) not in licence.binding:
            yield f"{licence.sentence()} (share-alike); {_asked(licence)}, found {found}"


def _asked(licence: Licence) -> str:
    """Say which licence a model must have, or that the text does not name one that the hub knows."""
    if licence.binding:
        return f"expected --licence {' or '.join(licence.binding)}"
    return "it is not said in which version; if you may publish under another licence, say --despite-licence"


def inherited(licences: Sequence[Licence]) -> str:
    """Return the id of the licence that a model must have because of what it was made from; "unknown" where none is.

    A permissive licence is not passed on by itself: under which one a model is given away is for its owner to say.
    """
    for kind in (*_FORBIDDING, SHARE_ALIKE):
        for licence in licences:
            if licence.kind == kind and licence.binding:
                return licence.binding[0]
    return UNKNOWN


def check_id(name: str) -> str:
    """Return an id of a licence in the hub's spelling; raises ``KexpError`` for a name that is none."""
    found = name.strip().lower().replace(" ", "-")
    known = [*_NAMED, *_CREATIVE_IDS, *_OTHER_IDS]
    if found not in known:
        raise KexpError(f"--licence {name}: unknown; {did_you_mean(found, known)}")
    return found
