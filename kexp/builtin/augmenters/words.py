"""Units of a text deleted, swapped, or set apart by punctuation."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext, AugmenterOptions
from kexp.korean.deletion import removable
from kexp.korean.word_order import movable
from kexp.word_augmenter import Guard, Unit, WordAugmenterOptions, cut, keep, per_text

ChangedUnit = Literal["phrase", "eojeol", "character"]
MARKS = (".", ";", "?", ":", "!", ",")


class RandomDeletion(WordAugmenterOptions):
    """Delete each unit with probability ``p`` (Wei & Zou 2019, EDA, section 2); one always remains.

    Of phrases only those are deleted without which a sentence is still one: adverbs of degree and time, modifiers of a
    noun, places and topics with all that modifies them; a noun never without its modifiers, never a predicate, and
    no more than half of the eojeol.
    """

    p: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Probability with which a unit is deleted; with phrases the expected share of the eojeol deleted.",
    )
    unit: ChangedUnit = Field(
        "phrase",
        description="What is deleted: phrases, eojeol (words between spaces; EDA's way), or single characters.",
    )

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard = self.guard(context)
        if self.unit == "phrase":
            return per_text(partial(self._delete_phrases, guard=guard), guard.read)
        return per_text(partial(self._delete, guard=guard, unit=self.unit), guard.read)

    def _delete_phrases(self, text: str, random: Random, guard: Guard) -> str:
        parts = cut(text, "eojeol")
        found = removable(guard.eojeol(text), guard.flags(parts[1::2]))
        count, total = len(parts) // 2, sum(map(len, found))
        chosen = [run for run in found if random.random() < self.p * count / total]
        deleted: set[int] = set()
        # In an order of its own, so that no phrase is favoured where not all may go.
        for run in random.sample(chosen, len(chosen)):
            if 2 * len(deleted | set(run)) <= count:
                deleted |= set(run)
        if not deleted:
            return text
        return keep(parts, [number for number in range(count) if number not in deleted])

    def _delete(self, text: str, random: Random, *, guard: Guard, unit: Unit) -> str:
        parts = cut(text, unit)
        deleted = {number for number in guard.free(text, parts, unit) if random.random() < self.p}
        if not deleted:
            return text
        count = len(parts) // 2
        return keep(parts, [number for number in range(count) if number not in deleted] or [random.randrange(count)])


class RandomSwap(WordAugmenterOptions):
    """Swap two units at random, ``share`` times the text's length (Wei & Zou 2019, EDA, section 2), at least once.

    Phrases change places within a clause, where their order is free: a noun with its particle and all that modifies
    it, adverbs of time. The predicate stays last, with what it cannot be parted from.
    """

    judging: ClassVar[bool] = False

    share: float = Field(0.1, gt=0, le=1, description="Number of swaps per unit of the text (EDA's alpha).")
    unit: ChangedUnit = Field(
        "phrase",
        description="What is swapped: phrases, eojeol (words between spaces; EDA's way), or single characters.",
    )

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter."""
        guard = self.guard(context)
        if self.unit == "phrase":
            return per_text(partial(self._swap_phrases, guard=guard), guard.read)
        return per_text(partial(self._swap, guard=guard, unit=self.unit), guard.read)

    def _swap_phrases(self, text: str, random: Random, guard: Guard) -> str:
        parts = cut(text, "eojeol")
        groups = movable(guard.eojeol(text), guard.flags(parts[1::2]))
        if not groups:
            return text
        count = max(1, int(self.share * sum(map(len, groups))))
        # One swap per clause: a second one of two phrases would undo the first.
        for group in random.sample(groups, min(count, len(groups))):
            one, other = sorted(random.sample(range(len(group)), 2))
            group[one], group[other] = group[other], group[one]
        # A group covers neighbouring eojeol, so that its phrases in their new order fill the same places.
        for group in groups:
            moved = [parts[2 * number + 1] for run in group for number in run]
            first = min(run[0] for run in group)
            for place, word in enumerate(moved, start=first):
                parts[2 * place + 1] = word
        return "".join(parts)

    def _swap(self, text: str, random: Random, *, guard: Guard, unit: Unit) -> str:
        parts = cut(text, unit)
        free = guard.free(text, parts, unit)
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
