"""Filling the written clauses of the lexicon with nouns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import lexicon
from .dice import Dice
from .rendering import Part, Phrase, Word
from .situations import Situation


@dataclass(frozen=True, slots=True)
class Clause:
    """A filled clause: what goes before the predicate, the predicate, and whether it is over."""

    before: tuple[Part, ...]
    lemma: str
    over: bool = False


def fill(dice: Dice, text: str, bound: dict[str, str]) -> Clause:
    """Fill the slots of a written clause; ``bound`` keeps each class to one noun."""
    *before, lemma = text.split(" ")
    parts = tuple(fill_word(dice, word, bound) for word in before)
    return Clause(parts, lemma.removeprefix("<"), lemma.startswith("<"))


def fill_word(dice: Dice, text: str, bound: dict[str, str]) -> Part:
    """Fill one word of a clause."""
    noun, joint, particle = fill_noun(dice, text, bound).partition("+")
    return Phrase(noun, particle) if joint else Word(noun)


def fill_noun(dice: Dice, text: str, bound: dict[str, str]) -> str:
    """Put nouns in place of the slots; no two classes are given the same noun."""
    while "{" in text:
        head, _, rest = text.partition("{")
        name, _, tail = rest.partition("}")
        if name not in bound:
            taken = bound.values()
            bound[name] = dice.pick([noun for noun in lexicon.NOUNS[name] if noun not in taken])
        text = head + bound[name] + tail
    return text.replace("_", " ")


def pair(dice: Dice, table: Sequence[Situation]) -> tuple[Clause, Clause]:
    """Draw two clauses that belong together."""
    situation = dice.pick(table)
    bound: dict[str, str] = {}
    first = fill(dice, dice.pick(situation.causes), bound)
    return first, fill(dice, dice.pick(situation.responses), bound)
