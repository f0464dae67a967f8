"""The quality gate: what becomes of a paraphrase that is none."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from kexp.errors import Problem
from kexp.options import LocalPath, Section
from kexp.pretrained import folder_problems
from kexp_backtranslation.agreement import Classifier
from kexp_backtranslation.korean import hangul_share, longest_loop, lost_numbers, negations

_NOT_WORD = re.compile(r"[\W_]+")


class Gate(Section):
    """Tests that every paraphrase has to pass. The first two and their bounds are those of UDA's authors."""

    min_characters: int = Field(
        10, ge=0, description="Both texts have at least this many characters; shorter texts are not even translated."
    )
    max_length_difference: float = Field(
        0.5, gt=0, description="Largest difference in characters, as a share of the original."
    )
    unchanged: bool = Field(
        True, description="Reject what differs from the original in spacing, punctuation and case alone."
    )
    max_repeats: int = Field(
        4, ge=2, description="How often a stretch may stand in a row, unless the original repeats one as often."
    )
    min_hangul: float = Field(
        0.5, ge=0, le=1, description="Least Hangul among the letters, relative to the original's share of it."
    )
    numbers: bool = Field(True, description="Reject what lacks a number of the original.")
    negation: bool = Field(True, description="Reject what negates where the original does not, and the reverse.")
    min_chrf: float = Field(
        10, ge=0, le=100, description="Lowest character n-gram F-score (chrF, 0 to 100) against the original."
    )
    classifier: LocalPath | None = Field(
        None, description="Folder of a classifier, such as a run's model/, that has to predict the same for both texts."
    )

    def problems(self) -> Iterable[Problem]:
        """Yield a classifier that cannot be one."""
        if self.classifier is not None:
            yield from (Problem("classifier", message, hint) for message, hint in folder_problems(self.classifier))

    def warnings(self) -> Iterable[Problem]:
        """Yield a bound that hardly anything passes."""
        if self.min_chrf > 60:
            finding = f"{self.min_chrf:g} lets almost nothing pass but copies of the original"
            yield Problem("min_chrf", finding, "paraphrases of one sentence reach about 20 to 50")


@dataclass(slots=True)
class Judge:
    """Applies a gate and counts its verdicts. Hangul and negation are tested where the texts are Korean."""

    gate: Gate
    korean: bool
    device: str = "auto"
    counts: Counter[str] = field(default_factory=Counter)
    """Paraphrases by reason of their rejection; ``accepted`` for the others."""
    _classifier: Classifier | None = None
    _chrf: Any = None

    def hopeless(self, text: str) -> str | None:
        """Return why no paraphrase of this text could pass, or None."""
        return "too short" if len(text) < self.gate.min_characters else None

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[str | None]:
        """Return for each (original, paraphrase) the first test that it fails, or None."""
        verdicts = [self._one(original, paraphrase) for original, paraphrase in pairs]
        if self.gate.classifier is not None:
            if self._classifier is None:
                self._classifier = Classifier(self.gate.classifier, self.device)
            rows = [row for row, verdict in enumerate(verdicts) if verdict is None]
            agrees = self._classifier.agrees([pairs[row] for row in rows])
            for row, agreed in zip(rows, agrees, strict=True):
                verdicts[row] = None if agreed else "another prediction"
        self.counts.update(verdict or "accepted" for verdict in verdicts)
        return verdicts

    def _one(self, original: str, paraphrase: str) -> str | None:
        """Test cheap things first; chrF is by far the dearest."""
        gate = self.gate
        if not _core(paraphrase):
            return "empty"
        if min(len(original), len(paraphrase)) < gate.min_characters:
            return "too short"
        if abs(len(paraphrase) - len(original)) / len(original) > gate.max_length_difference:
            return "other length"
        if gate.unchanged and _core(original) == _core(paraphrase):
            return "unchanged"
        if longest_loop(paraphrase) > max(gate.max_repeats, longest_loop(original)):
            return "repetition"
        if self.korean and hangul_share(paraphrase) < gate.min_hangul * hangul_share(original):
            return "other language"
        if gate.numbers and lost_numbers(original, paraphrase):
            return "lost number"
        return self._negation(original, paraphrase) or self._similarity(original, paraphrase)

    def _negation(self, original: str, paraphrase: str) -> str | None:
        """Compare whether there is any: "재미도 감동도 없다" may well become "재미없고 감동도 없다"."""
        if not (self.gate.negation and self.korean):
            return None
        before, after = negations(original) > 0, negations(paraphrase) > 0
        if before == after:
            return None
        return "lost negation" if before else "added negation"

    def _similarity(self, original: str, paraphrase: str) -> str | None:
        if not self.gate.min_chrf:
            return None
        if self._chrf is None:
            from sacrebleu.metrics.chrf import CHRF

            self._chrf = CHRF()
        score = self._chrf.sentence_score(paraphrase, [original]).score
        return "dissimilar" if score < self.gate.min_chrf else None

    def summary(self) -> str:
        """Say how many passed, and how many failed which test."""
        total, accepted = self.counts.total(), self.counts["accepted"]
        reasons = ", ".join(
            f"{reason} {count:,}" for reason, count in self.counts.most_common() if reason != "accepted"
        )
        return f"{accepted:,} of {total:,} paraphrases accepted" + (f"; rejected: {reasons}" if reasons else "")


def _core(text: str) -> str:
    """Return the letters and digits of a text alone, in one form."""
    return _NOT_WORD.sub("", unicodedata.normalize("NFKC", text).casefold())
