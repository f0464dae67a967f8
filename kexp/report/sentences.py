"""A test of two methods or models in plain English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kexp.evaluate.statistics import ANY, RANGES

SIGNIFICANT = 0.05


TEST_NAMES = {"mcnemar": "McNemar", "bootstrap": "paired bootstrap", "rows": "paired t-test over rows"}


def sentence(test: Mapping[str, Any]) -> str:
    """Return a statement in plain English, the better method first.

    "beats" is said of methods of two or more repeats, of the stated metric, if the corrected p-value is below 0.05.
    """
    a, b, metric, size = test["a"], test["b"], test["metric"], abs(test["difference"])
    better = test["better"]
    worse = b if better == a else a
    significant = test["p_holm"] < SIGNIFICANT
    details = ", ".join(_details(test))
    ahead = f"{better} is {_number(size, test)} ahead" if better else "they are equal"
    if test["n"] == 1:
        verdict = f"differ in {metric}" if significant else f"do not differ significantly in {metric}"
        models = f"these two models of {a} and {b} {verdict}: {ahead} ({details}){_by_label(test)}"
        return f"{models}; one run of each says nothing about the methods"
    if not test["stated"]:
        return f"{metric} of {a} and {b}: {ahead} ({details})"
    if significant:
        return f"{better} beats {worse} by {_number(size, test)} {metric} ({details})"
    return f"no significant difference in {metric} between {a} and {b}: {ahead} ({details}{_power(test)})"


def _details(test: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands behind a difference: interval, repeats, effect size and p-values."""
    if interval := _interval(test):
        yield f"95 % interval {interval}"
    yield test["which"] or test["over"]
    if test["effect_size"] is not None:
        yield f"effect size {_effect(test['effect_size'])}"
    yield _p(test["p_value"])
    if test["pairs"] > 1:
        yield f"Holm over {test['pairs']} pairs {_p(test['p_holm'])}"
    if test["test"] in TEST_NAMES:
        yield TEST_NAMES[test["test"]]


def _by_label(test: Mapping[str, Any]) -> str:
    """Return about which labels one of two models is right more often; "" where labels were not tested alone."""
    if not (labels := test.get("labels")):
        return ""
    apart = [one for one in labels if one["p_holm"] < SIGNIFICANT]
    sides = ((test["a"], "only_a", "only_b"), (test["b"], "only_b", "only_a"))
    found = [
        f"{name} is right more often about {', '.join(of)}"
        for name, own, other in sides
        if (of := [one["label"] for one in apart if one[own] > one[other]])
    ]
    said = "; ".join(found) or "no label tells them apart"
    return f"; by label (McNemar, Holm over {len(labels)} labels) {said}"


def difference_table(tests: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return a row per pair of methods and a column per metric of some tests; None without tests.

    A cell says who is ahead by how much, the interval if there is one, and the p-value; None where a pair has no test.
    """
    if not tests:
        return None
    metrics = list(dict.fromkeys(test["metric"] for test in tests))
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for test in tests:
        pairs.setdefault((test["a"], test["b"]), {})[test["metric"]] = _cell(test)
    rows = [(f"{a} and {b}", [cells.get(metric) for metric in metrics]) for (a, b), cells in pairs.items()]
    return {"metrics": metrics, "rows": rows}


def _cell(test: Mapping[str, Any]) -> dict[str, str]:
    better = test["better"]
    ahead = f"{better} by {_number(abs(test['difference']), test)}" if better else "equal"
    return {"ahead": ahead, "interval": _interval(test), "p": _p(test["p_holm"])}


def _interval(test: Mapping[str, Any]) -> str:
    """Return the interval of how far the better method is ahead; "" where there is none."""
    if test["low"] is None:
        return ""
    low, high = test["low"], test["high"]
    if test["difference"] < 0:
        low, high = -high, -low
    return f"{_number(low, test)} to {_number(high, test)}"


def largest_difference(metric: str) -> float:
    """Return the largest difference that there can be in a metric."""
    low, high = RANGES.get(metric, ANY)
    return high - low


def _power(test: Mapping[str, Any]) -> str:
    """Return the smallest difference that would be found, or that none would."""
    size = test["detectable"]
    if size is None:
        return ""
    enough = size < largest_difference(test["metric"])
    return f"; {test['over']} could show {_number(size, test) if enough else 'none, however large: more are needed'}"


def _number(value: float, test: Mapping[str, Any]) -> str:
    """Return a difference with three decimals, or with two digits where it is smaller than these show."""
    smallest = abs(test["difference"])
    return f"{value:.3f}" if smallest >= 0.0095 or smallest == 0 else f"{value:.4f}"


def _effect(value: float) -> str:
    size = abs(value)
    # Few repeats may agree by chance: no size beyond that means anything.
    return f"{size:.2f}" if size < 10 else "over 10"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
