"""``summary.json``: each variant's means over its runs, baselines and data, and the tests between variants."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kexp.evaluate import statistics
from kexp.repeats import Repeat
from kexp.report.intervals import STUDENT, add_intervals
from kexp.report.methods import Method
from kexp.report.predictions import Tested
from kexp.report.repeated import Result, has_resplit, in_order, ratio_of_test, units_of, varied
from kexp.report.statements import statements, tested_metrics, untested_remark

SEVERITY = ("done", "interrupted", "failed")
LOWER_IS_BETTER = ("cross_entropy", "ece", "mse", "mae", "rmse", "hamming_loss", "rank_mae")


def build_summary(
    results: Sequence[Result],
    *,
    baselines: Mapping[str, Any],
    data: Mapping[str, Any],
    predictions: Callable[[Result], Tested | None],
    specs: Mapping[str, Mapping[str, Any]] | None = None,
    lower_is_better: Collection[str] = LOWER_IS_BETTER,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the object of ``summary.json`` from all runs of an experiment, in their order.

    ``baselines`` and ``data`` are copied, by variant; ``remarks`` come before those on the tests. ``predictions`` gives
    the test rows of a finished run, given its result, or None where there are none. ``specs`` has the dataset, split,
    cleaning and backbone of every variant. Means and tests count runs with status ``done`` only.
    """
    specs = specs or {}
    variants = {
        name: _variant([result for result in results if result["variant"] == name], specs.get(name, {}))
        | {"baselines": baselines.get(name, {}), "data": data.get(name, {})}
        for name in dict.fromkeys(result["variant"] for result in results)
    }
    all_remarks = list(remarks)
    methods = _methods(results, predictions, specs)
    add_intervals(variants, methods)
    tests = _statements([*methods.values()], lower_is_better, all_remarks)
    return {
        "experiment": results[0]["experiment"] if results else "",
        "status": max((result["status"] for result in results), key=SEVERITY.index, default="interrupted"),
        "lower_is_better": sorted(lower_is_better),
        "variants": variants,
        "tests": tests,
        "remarks": all_remarks,
    }


def known_tests(summary: Mapping[str, Any]) -> list[Any]:
    """Return the tests of a summary; those of earlier versions, of single runs and without correction, are none."""
    return [test for test in summary.get("tests", []) if "p_holm" in test]


def old_tests_remark(summary: Mapping[str, Any]) -> str:
    """Say that tests of an earlier version are left out; "" where there are none."""
    count = len(summary.get("tests", [])) - len(known_tests(summary))
    which = "1 test of an earlier version is" if count == 1 else f"{count} tests of an earlier version are"
    return f"{which} left out: they were of single runs, not of methods; kexp compare makes new ones" if count else ""


def over(mean: Mapping[str, Any]) -> str:
    """Return what a mean is over in words; earlier versions knew seeds only."""
    count = mean["n"]
    return str(mean.get("over") or f"{count} seed{'' if count == 1 else 's'}")


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


def _variant(runs: Sequence[Result], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return repeats, statuses, remarks and means of one variant's runs; ``values`` are in the order of finished runs.

    Means and spreads are over the units of what varied (see ``units_of``); ``over`` says all of it in words. A value
    that is not finite (null in JSON) is left out; ``n`` counts the others.
    """
    done = [run for run in runs if run["status"] == "done"]
    values: dict[str, dict[str, dict[Repeat, float]]] = {}
    for run in done:
        for split, scores in run["metrics"].items():
            for name, value in scores.items():
                if value is not None and math.isfinite(value):
                    values.setdefault(split, {}).setdefault(name, {})[Repeat.of(run)] = value
    ratio = ratio_of_test(done, spec)
    return {
        "seeds": list(dict.fromkeys(run["seed"] for run in runs)),
        "repeats": [Repeat.of(run).keys() for run in runs],
        "status": {Repeat.of(run).key: run["status"] for run in runs},
        "remarks": [f"{Repeat.of(run).name}: {remark}" for run in runs for remark in run.get("remarks", ())],
        "metrics": {
            split: {name: _mean(name, of, ratio, resplit=has_resplit(spec)) for name, of in scores.items()}
            for split, scores in values.items()
        },
    }


def _mean(metric: str, values: Mapping[Repeat, float], ratio: float, *, resplit: bool) -> dict[str, Any]:
    _, units = units_of(in_order([*values]), resplit=resplit)
    means = [sum(values[key] for key in unit) / len(unit) for unit in units]
    found = asdict(statistics.summarise(means, ratio, statistics.RANGES.get(metric, statistics.ANY)))
    kind = None if found["low"] is None else STUDENT
    return {**found, "interval": kind, "over": varied([*values]), "values": list(values.values())}


def _methods(
    results: Sequence[Result],
    predictions: Callable[[Result], Tested | None],
    specs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Method]:
    """Return the variants with their finished runs and the predictions of these, where there are some."""
    methods: dict[str, Method] = {}
    for result in results:
        if result["status"] == "done" and (rows := predictions(result)) is not None:
            name = result["variant"]
            method = methods.setdefault(name, Method(name, specs.get(name, {}), {}, {}))
            method.runs[Repeat.of(result)], method.tested[Repeat.of(result)] = result, rows
    return methods


def _statements(
    methods: Sequence[Method], lower_is_better: Collection[str], remarks: list[str]
) -> list[dict[str, Any]]:
    """Return the tests of every pair of variants; pairs that cannot be compared are added to ``remarks``."""
    metrics = tested_metrics(methods, "test")
    remarks += untested_remark(methods, metrics)
    tests, problems = statements(methods, metrics, lower_is_better, remarks)
    remarks += [problem.remark() for problem in problems]
    return tests
