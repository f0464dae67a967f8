"""What varied between the runs of a variant: seeds, draws of the labelled rows, folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Result = Mapping[str, Any]
"""The object of one ``result.json``."""

Key: TypeAlias = tuple[int | None, int | None, int]
"""Fold, draw and seed of a run: the outermost first. Folds and draws are None where there is one only."""

LEVELS = (("fold", "folds"), ("draw", "label draws"), ("seed", "seeds"))


def key_of(result: Result) -> Key:
    """Return which run of its variant a result is of."""
    return result.get("fold"), result.get("draw"), result["seed"]


def in_order(keys: Sequence[Key] | set[Key]) -> list[Key]:
    """Return keys by fold, draw and seed."""
    return sorted(keys, key=lambda key: tuple(number or 0 for number in key))


def units_of(keys: Sequence[Key]) -> tuple[str, list[list[Key]]]:
    """Return what the independent repeats are, in the plural, and the keys of each: folds, else draws, else seeds.

    Repeats within them (seeds of one draw, seeds and draws of one fold) belong together: their values are averaged.
    """
    place = next((place for place in (0, 1) if len({key[place] for key in keys}) > 1), 2)
    units: dict[int | None, list[Key]] = {}
    for key in keys:
        units.setdefault(key[place], []).append(key)
    return LEVELS[place][1], list(units.values())


def varied(keys: Sequence[Key]) -> str:
    """Return what varied and how often, such as "3 seeds" or "5 label draws x 3 seeds"."""
    counts = [(len({key[place] for key in keys}), plural) for place, (_, plural) in enumerate(LEVELS)]
    several = [(count, plural) for count, plural in counts if count > 1]
    text = " x ".join(f"{count} {plural}" for count, plural in several) or f"{min(len(keys), 1)} seed"
    whole = 1
    for count, _ in several:
        whole *= count
    return text if whole == len(keys) or not keys else f"{text}, {len(keys)} runs"


def ratio_of_test(runs: Sequence[Result], spec: Mapping[str, Any]) -> float:
    """Return the ratio of test rows to all other rows where every unit has test rows of its own, else 0.

    With k folds that is 1 / (k - 1). With ``split.resplit`` it follows from ``split.test``.
    """
    if (folds := max((run.get("fold") or 0 for run in runs), default=0)) > 1:
        return 1 / (folds - 1)
    split = spec.get("split", {})
    if not split.get("resplit") or len(runs) < 2:
        return 0.0
    share = split.get("test", 0)
    if not share:
        share = split.get("validation", 0)
    if 0 < share < 1:
        return float(share / (1 - share))
    rows = runs[0].get("rows", {})
    others = sum(count for name, count in rows.items() if name != "test")
    # Without the numbers of rows: as with halves, which no sensible split exceeds.
    return rows["test"] / others if others and "test" in rows else 1.0
