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
    "non-commercial": r"\bNC\b|non[- ]?commercial|\b(?:not|no)\b(?: for)?(?: any)? commercial|commercial use is"
    r" (?:not|forbidden|prohibited)|비영리|비상업|상업적\s*(?:이용|사용)\s*(?:금지|불가)",
    "no derivatives": r"\bND\b|no[- ]?deriv|변경\s*금지|2차\s*(?:적)?\s*저작물\s*작성\s*금지",
    "research only": r"(?:research|academic|educational)[- ](?:use|purposes?|only)|only for (?:research|academic)"
    r"|for (?:research|academic)|연구\s*(?:용|목적|자)|학술",
    "terms of its own": r"terms of use|AI-?Hub|not be (?:passed on|shared|redistributed)|proprietary"
    r"|all rights reserved|이용\s*약관|재배포\s*금지",
}
"""What forbids that anyone may use a model that was made from data or weights, by its name, the strictest first."""
_SHARE_ALIKE = r"\bSA\b|share[- ]?alike|동일\s*조건|\b[AL]?GPL|\bODbL\b"
_NAMES_NONE = r"\bnames? none\b|\bunknown\b|\bnot (?:known|stated)\b|\bno licen[cs]e\b"

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
        if not self.ids or re.search(f"(?i){_NAMES_NONE}", self.text.partition("(")[0]):
            return UNKNOWN
        return SHARE_ALIKE if re.search(f"(?i){_SHARE_ALIKE}", self.text) else PERMISSIVE

    @property
    def ids(self) -> list[str]:
        """Ids of the licences that the text names, as the Hugging Face hub writes them."""
        creative = [
            f"cc-by{found[1].lower().replace(' ', '-')}-{found[2]}" for found in _CREATIVE_COMMONS.finditer(self.text)
        ]
        # The licence itself stands before what it asks for.
        return [*creative, *(name for name, pattern in _NAMED.items() if re.search(f"(?i){pattern}", self.text))]

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
        elif licence.kind == SHARE_ALIKE and stated is not None and stated not in licence.ids:
            asked = " or ".join(name for name in licence.ids if re.search("sa|gpl|odbl", name))
            yield f"{licence.sentence()} (share-alike); expected --licence {asked}, found {stated}"


def inherited(licences: Sequence[Licence]) -> str:
    """Return the id of the licence that a model must have because of what it was made from; "unknown" where none is.

    A permissive licence is not passed on by itself: under which one a model is given away is for its owner to say.
    """
    for kind in (*_FORBIDDING, SHARE_ALIKE):
        for licence in licences:
            if licence.kind == kind and (
                binding := [name for name in licence.ids if re.search("nc|nd|sa|gpl|odbl", name)]
            ):
                return binding[0]
    return UNKNOWN


def check_id(name: str) -> str:
    """Return an id of a licence in the hub's spelling; raises ``KexpError`` for a name that is none."""
    found = name.strip().lower().replace(" ", "-")
    known = [*_NAMED, *_CREATIVE_IDS, *_OTHER_IDS]
    if found not in known:
        raise KexpError(f"--licence {name}: unknown; {did_you_mean(found, known)}")
    return found
