"""Eojeol replaced by others of the train split, without regard to what stands around them."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from random import Random
from typing import Literal

from pydantic import Field

from kexp.contracts import Augmenter, AugmenterContext
from kexp.hangul import agree
from kexp.korean.alike import REPLACEABLE, known_stem, may_be_replaced
from kexp.korean.eojeol import Eojeol
from kexp.word_augmenter import PROTECT_DESCRIPTION, Guard, Protect, WordAugmenterOptions, cut, per_text


class Lottery:
    """Draws words in proportion to their weights, in logarithmic time."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._words = sorted(weights)
        self._bounds = list(accumulate(weights[word] for word in self._words))

    @property
    def empty(self) -> bool:
        """Return whether no word has a weight."""
        return not self._bounds or self._bounds[-1] <= 0

    def draw(self, random: Random) -> str:
        """Draw one word with one number of ``random``."""
        return self._words[bisect(self._bounds, random.random() * self._bounds[-1], hi=len(self._words) - 1)]


class AlikeWords:
    """Draws words that may stand where another one does: of the same class, with the particle in its agreeing form."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        sums: dict[str, float] = {}
        for word, score in scores.items():
            stem = known_stem(word)
            sums[stem] = sums.get(stem, 0.0) + score
        self._lotteries: dict[str, Lottery] = {}
        for members in REPLACEABLE:
            seen = sorted(members & sums.keys())
            for word in seen:
                others = [other for other in seen if other != word]
                # The least telling of two has a weight, though it lies not below the highest of one.
                highest = max((sums[other] for other in seen), default=0.0)
                self._lotteries[word] = Lottery({other: highest - sums[other] + 1e-9 for other in others})

    def draw(self, read: Sequence[Eojeol], number: int, random: Random) -> str | None:
        """Draw what replaces an eojeol, None where nothing may."""
        word = read[number]
        lottery = self._lotteries.get(word.stem)
        if lottery is None or lottery.empty or not may_be_replaced(read, number):
            return None
        new = lottery.draw(random)
        if any(beside.text.startswith(new) for beside in read[max(0, number - 1) : number + 2]):
            return None  # 정말 정말
        return new + agree(new, word.ending) if word.ending else new


@dataclass(frozen=True, slots=True)
class Fitted:
    """What ``TfIdfReplacement`` learns from the train texts; ``unseen`` is the IDF of words that are not in them."""

    idf: Mapping[str, float]
    unseen: float
    any_word: Lottery
    alike: AlikeWords


class TfIdfReplacement(WordAugmenterOptions):
    """Replace uninformative eojeol by uninformative ones, judged by TF-IDF (UDA, Xie et al. 2020).

    In a text of n words, word i is replaced with probability ``p * n * (max - x_i) / sum(max - x)``, at most 1, where
    ``x = tf / n * ln(N / df)``. The new word w is drawn in proportion to ``max S - S(w)``, where S sums x over the N
    train texts. Where all words score alike nothing is replaced. An unseen word counts as seen in one text.

    With ``words = "alike"`` w comes from the words of the train texts that stand for the same kind of thing (people,
    works, parts of a plot, adverbs of degree), and takes over particle and punctuation; what has none stays.
    """

    p: float = Field(0.3, gt=0, le=1, description="Expected share of the eojeol that are replaced.")
    words: Literal["alike", "any"] = Field(
        "alike",
        description="What replaces a word: one of the same part of speech and kind, with agreeing particle, or any "
        "eojeol of the train texts, the authors' way.",
    )

    def identity(self, context: AugmenterContext) -> str:
        """Name the texts that it is fitted on, and the analyser."""
        return context.digest() + self.analysed_by()

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter, fitted on the train texts."""
        idf = inverse_document_frequencies(context.texts)
        scores = corpus_scores(context.texts, idf)
        guard, unseen = self.guard(context), math.log(max(1, len(context.texts)))
        any_word = Lottery(dict(zip(scores, below_highest(list(scores.values())), strict=True)))
        fitted = Fitted(idf, unseen, any_word, AlikeWords(scores))
        return per_text(partial(self._replace, fitted=fitted, guard=guard), guard.read)

    def _replace(self, text: str, random: Random, fitted: Fitted, guard: Guard) -> str:
        parts = cut(text, "eojeol")
        chances = self.chances(parts[1::2], fitted.idf, fitted.unseen)
        if not chances or fitted.any_word.empty:
            return text
        read = guard.eojeol(text) if self.words == "alike" else []
        for number in guard.free(text, parts, "eojeol"):
            if random.random() < chances[number]:
                if not read:
                    parts[2 * number + 1] = fitted.any_word.draw(random)
                elif (new := fitted.alike.draw(read, number, random)) is not None:
                    parts[2 * number + 1] = parts[2 * number + 1].replace(read[number].text, new)
        return "".join(parts)

    def chances(self, words: Sequence[str], idf: Mapping[str, float], unseen: float) -> list[float]:
        """Return the probability of replacement of each word of a text; empty where all words score alike."""
        counts = Counter(words)
        scores = [counts[word] * idf.get(word, unseen) / len(words) for word in words]
        distances = below_highest(scores)
        total = sum(distances)
        return [min(1.0, self.p * len(words) * distance / total) for distance in distances] if total else []


def inverse_document_frequencies(texts: Sequence[str]) -> dict[str, float]:
    """Return ``ln(N / df)`` of every eojeol of N texts."""
    frequencies = Counter(word for text in texts for word in set(text.split()))
    return {word: math.log(len(texts) / frequency) for word, frequency in frequencies.items()}


def corpus_scores(texts: Sequence[str], idf: Mapping[str, float]) -> dict[str, float]:
    """Return the sum over all texts of ``tf / length * idf`` of every eojeol."""
    shares: dict[str, float] = dict.fromkeys(idf, 0.0)
    for text in texts:
        words = text.split()
        for word in words:
            shares[word] += 1 / len(words)
    return {word: share * idf[word] for word, share in shares.items()}


def below_highest(scores: Sequence[float]) -> list[float]:
    """Return how far each score lies below the highest; what rounding alone makes of equal scores is 0."""
    highest = max(scores, default=0.0)
    return [highest - score if highest - score > 1e-9 * highest else 0.0 for score in scores]


class UnigramReplacement(WordAugmenterOptions):
    """Replace eojeol by ones drawn by their frequency in the train texts (Xie et al. 2017, unigram noising)."""

    p: float = Field(0.1, gt=0, le=1, description="Probability with which an eojeol is replaced (their gamma).")
    protect: Protect = Field("none", description=f"{PROTECT_DESCRIPTION} The authors protect none.")

    def identity(self, context: AugmenterContext) -> str:
        """Name the texts that it is fitted on, and the analyser."""
        return context.digest() + self.analysed_by()

    def build(self, context: AugmenterContext) -> Augmenter:
        """Return the augmenter, fitted on the train texts."""
        lottery = Lottery(Counter(word for text in context.texts for word in text.split()))
        guard = self.guard(context)
        return per_text(partial(self._replace, lottery=lottery, guard=guard))

    def _replace(self, text: str, random: Random, lottery: Lottery, guard: Guard) -> str:
        if lottery.empty:
            return text
        parts = cut(text, "eojeol")
        for number in guard.free(text, parts, "eojeol"):
            if random.random() < self.p:
                parts[2 * number + 1] = lottery.draw(random)
        return "".join(parts)
