"""``summary.json``: each variant's means over its seeds, baselines and data, and the paired tests between variants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kexp.evaluate import statistics

if TYPE_CHECKING:
    from kexp.evaluate.statistics import Predictions

Result = Mapping[str, Any]
"""The object of one ``result.json``."""

SEVERITY = ("done", "interrupted", "failed")
LOWER_IS_BETTER = ("cross_entropy", "ece", "mse")
SIGNIFICANT = 0.05
TEST_NAMES = {"mcnemar": "McNemar", "bootstrap": "paired bootstrap"}


def build_summary(
    results: Sequence[Result],
    *,
    baselines: Mapping[str, Any],
    data: Mapping[str, Any],
    predictions: Callable[[str, int], Predictions | None],
    lower_is_better: Collection[str] = LOWER_IS_BETTER,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the object of ``summary.json`` from all runs of an experiment, in their order.

    ``baselines`` and ``data`` are copied, by variant; ``remarks`` come before those on the tests.
    ``predictions`` gives the test rows of a finished run, or None where there are none. Means and tests count runs with
    status ``done`` only; p-values are not corrected for the number of tests.
    """
    variants = {
        name: _variant([result for result in results if result["variant"] == name])
        | {"baselines": baselines.get(name, {}), "data": data.get(name, {})}
        for name in dict.fromkeys(result["variant"] for result in results)
    }
    all_remarks = list(remarks)
    tests = [{**test, "sentence": sentence(test)} for test in _tests(results, predictions, all_remarks)]
    return {
        "experiment": results[0]["experiment"] if results else "",
        "status": max((result["status"] for result in results), key=SEVERITY.index, default="interrupted"),
        "lower_is_better": sorted(lower_is_better),
        "variants": variants,
        "tests": tests,
        "remarks": all_remarks,
    }


def no_test_remark(data: Mapping[str, Any]) -> str:
    """Say which variants have no test split, given the records of their data; "" where all have one."""
    names = [name for name, record in data.items() if "splits" in record and "test" not in record["splits"]]
    results = "their results are on the validation rows, by which the models were chosen too"
    return f"{', '.join(names)}: no test split (split.test = 0); {results}" if names else ""


def shown_split(summary: Mapping[str, Any]) -> str:
    """Return the split whose results are shown first: test, or validation where no finished run was tested."""
    metrics = [variant.get("metrics", {}) for variant in summary["variants"].values()]
    return "validation" if any(metrics) and not any("test" in found for found in metrics) else "test"


def shared(records: Mapping[str, Any]) -> list[tuple[list[str], Any]]:
    """Return every distinct record that is not empty, with the names of the variants that share it."""
    different = [record for number, record in enumerate(records.values()) if record not in [*records.values()][:number]]
    return [([name for name in records if records[name] == record], record) for record in different if record]


def _variant(runs: Sequence[Result]) -> dict[str, Any]:
    """Return seeds, statuses, remarks and means of one variant's runs; ``values`` are in the order of finished seeds.

    A value that is not finite (null in JSON) is left out of the mean; ``n`` counts the others.
    """
    done = [run["metrics"] for run in runs if run["status"] == "done"]
    values: dict[str, dict[str, list[float]]] = {}
    for metrics in done:
        for split, scores in metrics.items():
            for name, value in scores.items():
                if value is not None and math.isfinite(value):
                    values.setdefault(split, {}).setdefault(name, []).append(value)
    return {
        "seeds": [run["seed"] for run in runs],
        "status": {str(run["seed"]): run["status"] for run in runs},
        "remarks": [f"seed {run['seed']}: {remark}" for run in runs for remark in run.get("remarks", ())],
        "metrics": {
            split: {name: asdict(statistics.summarise(of)) | {"values": of} for name, of in scores.items()}
            for split, scores in values.items()
        },
    }


def _tests(
    results: Sequence[Result], predictions: Callable[[str, int], Predictions | None], remarks: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield the tests of every pair of variants; seeds that cannot be compared are added to ``remarks``."""
    names: dict[str, list[str]] = {}
    held: dict[str, dict[int, Predictions]] = {}
    for result in results:
        variant, seed = result["variant"], result["seed"]
        if result["status"] == "done" and (rows := predictions(variant, seed)) is not None:
            names[variant] = result["labels"]
            held.setdefault(variant, {})[seed] = rows
    for a, b in itertools.combinations(held, 2):
        shared = held[a].keys() & held[b].keys()
        same = {seed for seed in shared if names[a] == names[b] and _equal_rows(held[a][seed], held[b][seed])}
        remarks += [
            f"{a} and {b} were not compared on seed {seed}: their test rows differ" for seed in sorted(shared - same)
        ]
        of_a, of_b = ({seed: held[name][seed] for seed in same} for name in (a, b))
        yield from statistics.compare(a, b, of_a, of_b)


def _equal_rows(a: Predictions, b: Predictions) -> bool:
    """Return whether two runs predicted rows with the same labels in the same order, as far as predictions show."""
    return a[0].shape == b[0].shape and bool((a[0] == b[0]).all())


def sentence(test: Mapping[str, Any]) -> str:
    """Return a test in plain English, the better variant first."""
    p_value = "p < 0.001" if test["p_value"] < 0.001 else f"p = {test['p_value']:.3f}"
    size = abs(test["difference"])
    forwards = test["difference"] >= 0
    better, worse = (test["a"], test["b"]) if forwards else (test["b"], test["a"])
    details = [f"seed {test['seed']}", p_value, TEST_NAMES[test["test"]]]
    if "low" in test:
        low, high = (test["low"], test["high"]) if forwards else (-test["high"], -test["low"])
        details.append(f"95 % interval {low:.3f} to {high:.3f}")
    if test["p_value"] < SIGNIFICANT:
        return f"{better} beats {worse} by {size:.3f} {test['metric']} ({', '.join(details)})"
    lead = f"{better} is {size:.3f} ahead, " if size else ""
    between = f"{test['metric']} between {test['a']} and {test['b']}"
    return f"no significant difference in {between} ({lead}{', '.join(details)})"
