"""Synthetic everyday Korean in the standard and in five regional varieties.

The sentences are composed from a grammar, not collected: they stand in for recorded dialect where the
real corpora may not be passed on.  Every utterance is a pair, the same sentence in standard Korean and
in the speaker's variety.
"""

from __future__ import annotations

from dataclasses import dataclass

from .dice import Dice
from .rendering import Speaker
from .sentences import compose
from .words import REGIONS

__all__ = ["REGIONS", "Utterance", "utterances"]

_FEWEST_WORDS, _MOST_WORDS = 3, 14
_SHORTEST_RECORDING, _LONGEST_RECORDING = 6, 14


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence of a recording, in its standard and in its regional form."""

    recording: str
    region: str
    standard: str
    dialect: str


def utterances(region: str, count: int, *, seed: int, marker_rate: float = 0.8) -> list[Utterance]:
    """Return ``count`` utterances of a region.

    ``marker_rate`` is the probability with which each possible marker of the region, be it a word or
    an ending, is realised.  It changes the dialect forms only: the sentences and their standard forms
    follow from region and seed.  A shorter list is always the beginning of a longer one.
    """
    if region not in REGIONS:
        raise ValueError(f"unknown region {region!r}; known are {', '.join(REGIONS)}")
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    if not 0.0 <= marker_rate <= 1.0:
        raise ValueError(f"marker_rate must lie between 0 and 1, got {marker_rate}")
    contents = Dice(f"dialect-sample/{seed}/{region}")
    markers = f"dialect-sample/{seed}/{region}/markers"
    result: list[Utterance] = []
    recording, left = 0, 0
    while len(result) < count:
        if left == 0:
            recording, left = recording + 1, contents.between(_SHORTEST_RECORDING, _LONGEST_RECORDING)
        standard, dialect = _pair(contents, f"{markers}/{len(result)}", region, marker_rate)
        result.append(Utterance(f"{region}-{recording:04d}", region, standard, dialect))
        left -= 1
    return result


def _pair(contents: Dice, markers: str, region: str, marker_rate: float) -> tuple[str, str]:
    """Compose one sentence of the right length and say it both ways."""
    while True:
        sentence = compose(contents)
        standard = Speaker(contents).say(sentence)
        if _FEWEST_WORDS <= len(standard.split()) <= _MOST_WORDS:
            return standard, Speaker(Dice(markers), region, marker_rate).say(sentence)
