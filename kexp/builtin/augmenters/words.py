"""Units of a text deleted, swapped, or set apart by punctuation."""

from __future__ import annotations

from random import Random

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions
from kexp.word_augmenter import Guard, Unit, WordAugmenterOptions, cut, keep, per_text

MARKS = (".", ";", "?", ":", "!", ",")


class RandomDeletion(WordAugmenterOptions):
    """Delete each unit with probability ``p`` (Wei & Zou 2019, EDA, section 2); one always remains."""

    p: float = Field(0.1, gt=0, lt=1, description="Probability with which a unit is deleted.")
    unit: Unit = Field("eojeol", description="What is deleted: eojeol (words between spaces), or single characters.")

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard = self.guard(context)
        return per_text(lambda text, random: self._delete(text, random, guard))

    def _delete(self, text: str, random: Random, guard: Guard) -> str:
        parts = cut(text, self.unit)
        deleted = {number for number in guard.free(text, parts, self.unit) if random.random() < self.p}
        if not deleted:
            return text
        count = len(parts) // 2
        return keep(parts, [number for number in range(count) if number not in deleted] or [random.randrange(count)])


class RandomSwap(WordAugmenterOptions):
    """Swap two units at random, ``share`` times the text's length (Wei & Zou 2019, EDA, section 2), at least once."""

    share: float = Field(0.1, gt=0, le=1, description="Number of swaps per unit of the text (EDA's alpha).")
    unit: Unit = Field("eojeol", description="What is swapped: eojeol (words between spaces), or single characters.")

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard = self.guard(context)
        return per_text(lambda text, random: self._swap(text, random, guard))

    def _swap(self, text: str, random: Random, guard: Guard) -> str:
        parts = cut(text, self.unit)
        free = guard.free(text, parts, self.unit)
        if len(free) < 2:
            return text
        for _ in range(max(1, int(self.share * (len(parts) // 2)))):
            one, other = random.sample(free, 2)
            parts[2 * one + 1], parts[2 * other + 1] = parts[2 * other + 1], parts[2 * one + 1]
        return "".join(parts)


class Aeda(AugmenterOptions):
    """Put punctuation marks before eojeol at random (Karimi et al. 2021, AEDA); no word is lost or moved."""

    share: float = Field(0.3, gt=0, le=1, description="Most marks per eojeol; their number is uniform from 1 upwards.")

    def identity(self, context: AugmenterContext) -> str:
        """Return "": it learns nothing from the context."""
        return ""

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        return per_text(self._insert)

    def _insert(self, text: str, random: Random) -> str:
        parts = cut(text, "eojeol")
        count = len(parts) // 2
        if not count:
            return text
        marks = random.randint(1, max(1, int(self.share * count)))
        for number in random.sample(range(count), marks):
            parts[2 * number + 1] = f"{random.choice(MARKS)} {parts[2 * number + 1]}"
        return "".join(parts)
