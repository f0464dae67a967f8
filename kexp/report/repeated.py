"""What varied between the runs of a variant: seeds, draws of the labelled rows, folds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kexp.repeats import Repeat

Result = Mapping[str, Any]
"""The object of one ``result.json``."""

LEVELS = {"fold": "folds", "draw": "label draws", "seed": "seeds"}
"""What may vary, the outermost first, and its plural."""


def in_order(repeats: Collection[Repeat]) -> list[Repeat]:
    """Return repeats by fold, draw and seed."""
    return sorted(repeats, key=lambda one: (one.fold or 0, one.draw or 0, one.seed))


def units_of(repeats: Sequence[Repeat], *, resplit: bool = False) -> tuple[str, list[list[Repeat]]]:
    """Return what the independent repeats are, in the plural, and those of each: folds, else draws, else seeds.

    Repeats within them (seeds of one draw, seeds and draws of one fold) belong together: their values are averaged.
    With ``split.resplit`` every seed has splits of its own, which its draws share: units are the seeds then, and with
    folds every fold of every seed.
    """
    several = [name for name in LEVELS if len({getattr(one, name) for one in repeats}) > 1]
    splits = [name for name in several if name != "draw"] if resplit and "seed" in several else []
    levels = splits or several[:1] or ["seed"]
    units: dict[tuple[int | None, ...], list[Repeat]] = {}
    for one in repeats:
        units.setdefault(tuple(getattr(one, level) for level in levels), []).append(one)
    return LEVELS[levels[0]], list(units.values())


def varied(repeats: Collection[Repeat]) -> str:
    """Return what varied and how often, such as "3 seeds" or "5 label draws x 3 seeds"."""
    counts = [(len({getattr(one, name) for one in repeats}), plural) for name, plural in LEVELS.items()]
    several = [(count, plural) for count, plural in counts if count > 1]
    text = " x ".join(f"{count} {plural}" for count, plural in several) or f"{min(len(repeats), 1)} seed"
    whole = 1
    for count, _ in several:
        whole *= count
    return text if whole == len(repeats) or not repeats else f"{text}, {len(repeats)} runs"


def has_resplit(spec: Mapping[str, Any]) -> bool:
    """Return whether every seed of a spec has splits of its own."""
    return bool(spec.get("split", {}).get("resplit"))


def ratio_of_test(runs: Sequence[Result], spec: Mapping[str, Any]) -> float:
    """Return the ratio of test rows to all other rows where every unit has test rows of its own, else 0.

    With k folds that is 1 / (k - 1), however many of them are done. With ``split.resplit`` it follows from
    ``split.test``.
    """
    split = spec.get("split", {})
    if folds := split.get("folds"):
        return 1 / (int(folds) - 1)
    if not has_resplit(spec) or len(runs) < 2:
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
