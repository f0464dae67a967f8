"""After the search: the best spec beside the default, trained on the spec's seeds and tested once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kexp import nested
from kexp.catalog import Catalog
from kexp.experiment.one_run import Display
from kexp.experiment.run import run
from kexp.plan.resolve import Plan, Variant, dump
from kexp.plan.search_metrics import Goal
from kexp.report.folder import RunFolder
from kexp.spec.sections import Spec

DEFAULT, BEST = "default", "best"


def run_best(
    default: Spec, best: Spec, catalog: Catalog, runs_dir: Path, display: Display, resume: RunFolder | None
) -> dict[str, Any]:
    """Run the best spec, and beside it the spec without a search where that differs; return the summary."""
    base = dump(default, catalog)
    changes = nested.difference(base, dump(best, catalog))
    variants = [Variant(BEST, best)] if not changes else [Variant(DEFAULT, default), Variant(BEST, best)]
    stated = {variant.name: changes if variant.name == BEST else {} for variant in variants}
    plan = Plan("the best trial", default, tuple(variants), {**base, "variants": stated})
    return run(plan, catalog, runs_dir=runs_dir, display=display, resume=resume)


def gains(summary: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """Return by split how much better the best is than the default, and the noise between seeds.

    ``noise`` is the standard deviation of a difference of means: sqrt(s_a^2 / n_a + s_b^2 / n_b), None for one seed.
    """
    variants = summary["variants"]
    if DEFAULT not in variants:
        return []
    found = []
    for split in ("validation", "test"):
        before, after = (variants[name]["metrics"].get(split, {}).get(metric) for name in (DEFAULT, BEST))
        if before is None or after is None:
            continue
        sign = -1 if metric in summary["lower_is_better"] else 1
        spread = [part["sd"] ** 2 / part["n"] for part in (before, after) if part["sd"] is not None]
        found.append(
            {
                "split": split,
                "metric": metric,
                "default": before["mean"],
                "best": after["mean"],
                "gain": sign * (after["mean"] - before["mean"]),
                "noise": math.sqrt(sum(spread)) if len(spread) == 2 else None,
                "seeds": after["n"],
            }
        )
    return found


def sentence(gain: Mapping[str, Any]) -> str:
    """Say a gain and whether seeds alone could have made it."""
    name = f"{gain['split']} {gain['metric']}"
    text = f"{name}: {gain['best']:.4f} against {gain['default']:.4f} by default, a gain of {gain['gain']:+.4f}"
    if gain["noise"] is None:
        return f"{text}; with one seed the noise between seeds is unknown"
    if gain["noise"] == 0:
        return f"{text}; all {gain['seeds']} seeds agree"
    times = gain["gain"] / gain["noise"]
    judged = "more than seeds alone make" if times > 2 else "no more than seeds alone can make"
    return f"{text}, {times:.1f} times the noise between {gain['seeds']} seeds ({gain['noise']:.4f}): {judged}"


def promise(values: Mapping[str, Sequence[float]], goals: Sequence[Goal], summary: Mapping[str, Any]) -> str:
    """Say whether the best spec, trained again, has the validation metrics of its trial, seed by seed.

    ``values`` are those of the goals, by seed.
    """
    best = summary["variants"][BEST]
    for number, goal in enumerate(goals):
        if goal.metric is None:
            continue
        measured = dict(zip(map(str, best["seeds"]), best["metrics"]["validation"][goal.metric]["values"], strict=True))
        for seed, promised in values.items():
            if seed in measured and measured[seed] != promised[number]:
                was, now = f"{promised[number]:.6f}", f"{measured[seed]:.6f}"
                cause = "another device or number of threads rounds differently"
                return f"{goal.name} of seed {seed} was {was} in the search and is {now} now: {cause}"
    return "the best spec, trained again, has the validation metrics of its trial to the last digit"
