"""Statements about pairs of methods: which is better, by how much, and what their repeats and test rows can tell."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kexp.errors import KexpError
from kexp.evaluate.differences import Difference, crossed, resampled, two_models, unpaired
from kexp.evaluate.row_scores import ROW_SCORES
from kexp.evaluate.statistics import holm
from kexp.repeats import Repeat
from kexp.report.predictions import Tested, other_texts, row_differences
from kexp.report.repeated import LEVELS, Result, in_order, ratio_of_test, units_of, varied

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]

SIGNIFICANT = 0.05


class RowsDiffer(KexpError):
    """Two runs were tested on different rows; ``findings`` say how they differ."""

    def __init__(self, names: tuple[str, str], which: str, findings: Sequence[str]) -> None:
        self.names, self.which, self.findings = names, which, findings
        lines = "".join(f"\n  {finding}" for finding in findings)
        super().__init__(f"{names[0]} and {names[1]} cannot be compared: their {which} differ:{lines}")

    def remark(self) -> str:
        """Return it on one line."""
        a, b = self.names
        return f"{a} and {b} were not compared: their {self.which} differ: {'; '.join(self.findings)}"


@dataclass(frozen=True, slots=True)
class Method:
    """A variant with its finished runs, their predictions, and those sections of its spec that say what it reads."""

    name: str
    spec: Mapping[str, Any]
    runs: dict[Repeat, Result]
    tested: dict[Repeat, Tested]
    scores: dict[tuple[Repeat, str, str], NDArray[np.float64]] = field(default_factory=dict)

    def row_scores(self, key: Repeat, by: str, metric: str, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the scores of a run's rows, ordered by "text" or "number"."""
        if (key, by, metric) not in self.scores:
            self.scores[key, by, metric] = ROW_SCORES[metric](*self.tested[key].ordered(by, names))
        return self.scores[key, by, metric]


def statements(
    methods: Sequence[Method],
    metrics: Sequence[str],
    lower_is_better: Collection[str],
    remarks: list[str],
) -> tuple[list[Json], list[RowsDiffer]]:
    """Return the tests of every pair of methods with their sentences, and why pairs cannot be compared.

    p-values are corrected for the number of pairs (Holm), separately for each of the ``metrics``. One of these is
    ``stated``, that by which the models were chosen where it is among them: sentences on the others claim nothing,
    since every further metric is a further chance to err. ``remarks`` gets what else should be known.
    """
    stated = stated_metric(methods, metrics)
    found: list[Json] = []
    problems: list[RowsDiffer] = []
    for a, b in itertools.combinations(methods, 2):
        try:
            pair = _Pair.of(a, b, remarks)
        except RowsDiffer as problem:
            problems.append(problem)
            continue
        if pair is not None:
            found += [{**pair.test(metric), "stated": metric == stated} for metric in metrics]
    for metric in metrics:
        _correct([test for test in found if test["metric"] == metric], lower=metric in lower_is_better)
    return [{**test, "sentence": sentence(test)} for test in found], problems


def tested_metrics(methods: Sequence[Method], split: str) -> list[str]:
    """Return the metrics of a split that all runs have and that can be tested, in the order of the first run."""
    names = [run["metrics"].get(split, {}) for method in methods for run in method.runs.values()]
    return [name for name in names[0] if name in ROW_SCORES and all(name in of for of in names)] if names else []


def stated_metric(methods: Sequence[Method], metrics: Sequence[str]) -> str | None:
    """Return the metric by which all models were chosen if it is among ``metrics``, else the first of these."""
    monitors = {run.get("monitor") for method in methods for run in method.runs.values()}
    chosen = next(iter(monitors)) if len(monitors) == 1 else None
    return chosen if chosen in metrics else next(iter(metrics), None)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two methods and what can be tested about them: ``of_a`` and ``of_b`` are keys of their runs by unit.

    ``by`` says how rows are put in order; ``shared_rows`` whether all runs have the same ones; ``paired`` whether the
    units of both are the same.
    """

    a: Method
    b: Method
    of_a: Sequence[Sequence[Repeat]]
    of_b: Sequence[Sequence[Repeat]]
    unit: str
    by: str
    shared_rows: bool
    paired: bool

    @classmethod
    def of(cls, a: Method, b: Method, remarks: list[str]) -> _Pair | None:
        """Return what can be tested; None, with a remark, if nothing can. Raises ``RowsDiffer``."""
        both = in_order(a.tested.keys() & b.tested.keys())
        alone = len(a.tested) + len(b.tested) - 2 * len(both)
        if any(len(found.labels) < 2 for of in (a, b) for found in of.tested.values()):
            remarks.append(f"{a.name} and {b.name} were not compared: a single row tells nothing")
            return None
        unit, units = units_of(both)
        of_a: Sequence[Sequence[Repeat]] = units
        of_b: Sequence[Sequence[Repeat]] = units
        if len(units) < 2 and (other := _own_units(a, b)):
            unit, of_a, of_b = other
        elif not both and len(a.tested) == len(b.tested) == 1:
            of_a, of_b = [[*a.tested]], [[*b.tested]]
        elif not both:
            remarks.append(f"{a.name} and {b.name} were not compared: they have no {unit} in common")
            return None
        paired = of_a is of_b or len(of_a) == 1
        if paired and alone and both:
            left = f"{alone} run{'s' if alone > 1 else ''} that only one of them has"
            remarks.append(f"{a.name} and {b.name} were compared without {left}")
        all_a, all_b = list(itertools.chain(*of_a)), list(itertools.chain(*of_b))
        # Runs without a partner are held against the first of the other method.
        pairs = list(zip(all_a, all_b, strict=True)) if paired else [(x, all_b[0]) for x in all_a]
        pairs += [] if paired else [(all_a[0], y) for y in all_b[1:]]
        by = _rows_by(a, b, pairs, remarks)
        digests = {of.tested[key].digest(by) for of, keys in ((a, all_a), (b, all_b)) for key in keys}
        return cls(a, b, of_a, of_b, unit, by, len(digests) == 1, paired)

    def test(self, metric: str) -> Json:
        """Return the test of a metric as plain data, with the ``Difference`` itself."""
        over_a, over_b = (varied(list(itertools.chain(*keys))) for _, keys in self._sides())
        found = self._difference(metric)
        return {
            "a": self.a.name,
            "b": self.b.name,
            "metric": metric,
            "test": found.test,
            "paired": self.paired,
            "n": found.n,
            "unit": self.unit,
            "over": over_a if self.paired else f"{over_a} against {over_b}",
            "which": _which(self.of_a[0][0], self.of_b[0][0]) if found.n == 1 else None,
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "effect_size": found.effect_size,
            "p_value": found.p_value,
            "found": found,
        }

    def _sides(self) -> tuple[tuple[Method, Sequence[Sequence[Repeat]]], tuple[Method, Sequence[Sequence[Repeat]]]]:
        return (self.a, self.of_a), (self.b, self.of_b)

    def _difference(self, metric: str) -> Difference:
        names = next(iter(self.a.tested.values())).names
        if len(self.of_a) == 1 and len(self.of_a[0]) == len(self.of_b[0]) == 1:
            predictions = [of.tested[keys[0][0]].ordered(self.by, names) for of, keys in self._sides()]
            return two_models(metric, *predictions)
        scores = [
            [[of.row_scores(key, self.by, metric, names) for key in unit] for unit in keys]
            for of, keys in self._sides()
        ]
        if not self.shared_rows:
            means = [[_mean([float(rows.mean()) for rows in unit]) for unit in units] for units in scores]
            differences = [x - y for x, y in zip(*means, strict=True)]
            return resampled(
                differences, max(ratio_of_test(list(of.runs.values()), of.spec) for of, _ in self._sides())
            )
        stacked = [_stacked(units) for units in scores]
        return (crossed if self.paired else unpaired)(*stacked)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _stacked(units: Sequence[Sequence[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the scores of every unit, averaged over its runs, of shape (units, rows)."""
    import numpy as np

    return np.stack([np.mean(unit, axis=0) for unit in units])


def _own_units(a: Method, b: Method) -> tuple[str, Sequence[Sequence[Repeat]], Sequence[Sequence[Repeat]]] | None:
    """Return the units of two methods that have several each, but no two in common."""
    (unit, of_a), (other, of_b) = (units_of(in_order([*method.tested])) for method in (a, b))
    return (unit, of_a, of_b) if unit == other and len(of_a) > 1 and len(of_b) > 1 else None


def _which(a: Repeat, b: Repeat) -> str:
    """Return which run of both methods is compared, in words."""
    found = [(name, getattr(a, name), getattr(b, name)) for name in LEVELS]
    names = [
        f"{name} {x}" if x == y else f"{name}s {x} and {y}" for name, x, y in found if x is not None or y is not None
    ]
    return ", ".join(names)


# --- rows -----------------------------------------------------------------------------------------------------------


def _rows_by(a: Method, b: Method, pairs: Sequence[tuple[Repeat, Repeat]], remarks: list[str]) -> str:
    """Return how the rows of two methods are paired: by "text", or by "number" in the same dataset.

    Cleaning and backbones change texts, but not which row of the dataset they are. Raises ``RowsDiffer``.
    """
    for x, y in pairs:
        if {*a.tested[x].names} != {*b.tested[y].names}:
            labels = (f"{', '.join(method.tested[key].names)} in {method.name}" for method, key in ((a, x), (b, y)))
            raise _refusal(a, b, (x, y), [f"labels: {', '.join(labels)}"])
    others = [(x, y) for x, y in pairs if a.tested[x].texts != b.tested[y].texts]
    if not others:
        return "text"
    same_numbers = all(a.tested[x].numbers == b.tested[y].numbers for x, y in pairs)
    if not (same_numbers and _only_texts_change(a.spec, b.spec)):
        raise _refusal(a, b, others[0], [])
    one, other = a.tested[others[0][0]], b.tested[others[0][1]]
    count = other_texts(one.path, other.path, one.split)
    remarks.append(
        f"{count:,} of {len(one.labels):,} texts differ between {a.name} and {b.name} in the same rows: "
        "cleaning or backbone changed them"
    )
    return "number"


def _only_texts_change(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether two specs read the same rows, and may read them as different texts."""
    same_source = all(a.get(part) == b.get(part) for part in ("dataset", "split"))
    return same_source and any(a.get(part) != b.get(part) for part in ("cleaning", "backbone"))


def _refusal(a: Method, b: Method, keys: tuple[Repeat, Repeat], findings: Sequence[str]) -> RowsDiffer:
    one, other = a.tested[keys[0]], b.tested[keys[1]]
    found = [*findings, *row_differences(one.path, other.path, one.split, (a.name, b.name))]
    which = f"{one.split} rows" if keys[0] == keys[1] else f"{one.split} rows of {_which(*keys)}"
    return RowsDiffer((a.name, b.name), which, found)


# --- words ----------------------------------------------------------------------------------------------------------


def _correct(tests: Sequence[Json], *, lower: bool) -> None:
    """Add to the tests of one metric what depends on all of them: corrected p-values, and what could be shown."""
    level = SIGNIFICANT / max(len(tests), 1)
    for test, p_holm in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
        difference = -test["difference"] if lower else test["difference"]
        test["p_holm"], test["pairs"] = p_holm, len(tests)
        test["better"] = None if not difference else test["a"] if difference > 0 else test["b"]
        test["detectable"] = test.pop("found").detectable(level)


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
        models = f"these two models of {a} and {b} {verdict}: {ahead} ({details})"
        return f"{models}; one run of each says nothing about the methods"
    if not test["stated"]:
        return f"{metric} of {a} and {b}: {ahead} ({details})"
    if significant:
        return f"{better} beats {worse} by {_number(size, test)} {metric} ({details})"
    shown = "" if test["detectable"] is None else f"; {test['over']} could show {_number(test['detectable'], test)}"
    return f"no significant difference in {metric} between {a} and {b}: {ahead} ({details}{shown})"


def _details(test: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands behind a difference: interval, repeats, effect size and p-values."""
    if test["low"] is not None:
        low, high = test["low"], test["high"]
        if test["difference"] < 0:
            low, high = -high, -low
        yield f"95 % interval {_number(low, test)} to {_number(high, test)}"
    yield test["which"] or test["over"]
    if test["effect_size"] is not None:
        yield f"effect size {_effect(test['effect_size'])}"
    yield _p(test["p_value"])
    if test["pairs"] > 1:
        yield f"Holm over {test['pairs']} pairs {_p(test['p_holm'])}"
    if test["test"] in TEST_NAMES:
        yield TEST_NAMES[test["test"]]


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
