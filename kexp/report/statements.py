"""Statements about pairs of methods: which is better, by how much, and what their repeats and test rows can tell."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from kexp.evaluate.answers import Answers
from kexp.evaluate.by_label import differences_by_label
from kexp.evaluate.differences import Difference, crossed, resampled, two_answers, two_models, unpaired
from kexp.evaluate.measures import measures_of, row_scores_of
from kexp.evaluate.statistics import FEWEST, holm
from kexp.repeats import Repeat
from kexp.report.methods import Method, RowsDiffer, rows_by, runs_in_words
from kexp.report.repeated import LEVELS, has_resplit, in_order, ratio_of_test, units_of, varied
from kexp.report.sentences import SIGNIFICANT, largest_difference, sentence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]


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
            tests = [{**pair.test(metric), "stated": metric == stated} for metric in metrics]
            if labels := pair.by_label():
                tests = [{**test, "labels": labels} if test["stated"] else test for test in tests]
            found += tests
    for metric in metrics:
        _correct([test for test in found if test["metric"] == metric], lower=metric in lower_is_better)
    return [{**test, "sentence": sentence(test)} for test in found], problems


def _correct(tests: Sequence[Json], *, lower: bool) -> None:
    """Add to the tests of one metric what depends on all of them: corrected p-values, and what could be shown."""
    level = SIGNIFICANT / max(len(tests), 1)
    for test, p_holm in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
        difference = -test["difference"] if lower else test["difference"]
        test["p_holm"], test["pairs"] = p_holm, len(tests)
        test["better"] = None if not difference else test["a"] if difference > 0 else test["b"]
        test["detectable"] = test.pop("found").detectable(level)


def tested_metrics(methods: Sequence[Method], split: str) -> list[str]:
    """Return the metrics of a split that all runs have and that can be tested, in the order of the first run."""
    names = [run["metrics"].get(split, {}) for method in methods for run in method.runs.values()]
    known = row_scores_of(_kinds(methods))
    # A correlation with a constant, for example, has no value.
    return (
        [name for name in names[0] if name in known and all(of.get(name) is not None for of in names)] if names else []
    )


def _kinds(methods: Sequence[Method]) -> list[str]:
    """Return the kinds of targets as which all methods are measured."""
    found = [tested.task.measured_as for method in methods for tested in method.tested.values()]
    return [kind for kind in (found[0] if found else ()) if all(kind in of for of in found)]


def untested_remark(methods: Sequence[Method], metrics: Sequence[str]) -> list[str]:
    """Return the remark that several methods share no metric that can be tested, where they do not."""
    names = ", ".join(row_scores_of(_kinds(methods)))
    remark = f"no difference was tested: the runs share no metric that can be{names and f' ({names})'}"
    return [remark] if len(methods) > 1 and not metrics else []


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
    of_a: Units
    of_b: Units
    unit: str
    by: str
    shared_rows: bool
    paired: bool

    @classmethod
    def of(cls, a: Method, b: Method, remarks: list[str]) -> _Pair | None:
        """Return what can be tested; None, with a remark, if nothing can. Raises ``RowsDiffer``."""
        if reason := _nothing_to_test(a) or _nothing_to_test(b):
            remarks.append(f"{a.name} and {b.name} were not compared: {reason}")
            return None
        units = _units(a, b, remarks)
        if units is None:
            return None
        unit, of_a, of_b, paired = units
        all_a, all_b = list(itertools.chain(*of_a)), list(itertools.chain(*of_b))
        pairs = [*itertools.chain(*map(_held, of_a, of_b))] if paired else _held(all_a, all_b)
        by = rows_by(a, b, pairs, remarks)
        digests = {of.tested[key].digest(by) for of, keys in ((a, all_a), (b, all_b)) for key in keys}
        return cls(a, b, of_a, of_b, unit, by, len(digests) == 1, paired)

    def test(self, metric: str) -> Json:
        """Return the test of a metric as plain data, with the ``Difference`` itself."""
        over_a, over_b = (varied(list(itertools.chain(*keys))) for _, keys in self._sides())
        found, most = self._difference(metric), largest_difference(metric)
        low, high = (None, None) if 1 < found.n < FEWEST else (found.low, found.high)
        return {
            "a": self.a.name,
            "b": self.b.name,
            "metric": metric,
            "test": found.test,
            "paired": self.paired,
            "n": found.n,
            "unit": self.unit,
            "over": over_a if over_a == over_b and self.paired else f"{over_a} against {over_b}",
            "which": runs_in_words(self.of_a[0][0], self.of_b[0][0]) if found.n == 1 else None,
            "difference": found.difference,
            "low": None if low is None else max(low, -most),
            "high": None if high is None else min(high, most),
            "effect_size": found.effect_size,
            "p_value": found.p_value,
            "found": found,
        }

    def by_label(self) -> list[Json]:
        """Return the tests of single labels, of two models whose rows have sets of them; else none."""
        names = self._names()
        if not self._of_two_models() or not self.a.decides_by_name() or not self.b.decides_by_name():
            return []
        return differences_by_label(names, *self._answers(names))

    def _names(self) -> Sequence[str]:
        return next(iter(self.a.tested.values())).names

    def _of_two_models(self) -> bool:
        return len(self.of_a) == 1 and len(self.of_a[0]) == len(self.of_b[0]) == 1

    def _answers(self, names: Sequence[str]) -> list[Answers]:
        """Return the answers of the first run of either."""
        return [of.tested[keys[0][0]].ordered(self.by, names) for of, keys in self._sides()]

    def _sides(self) -> tuple[tuple[Method, Units], tuple[Method, Units]]:
        return (self.a, self.of_a), (self.b, self.of_b)

    def _difference(self, metric: str) -> Difference:
        names = self._names()
        if self._of_two_models():
            a, b = self._answers(names)
            if measure := measures_of(_kinds([self.a, self.b])).get(metric):
                return two_answers(measure, a, b)
            return two_models(metric, (a.targets, a.predictions), (b.targets, b.predictions))
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


def _nothing_to_test(method: Method) -> str:
    """Return why nothing can be tested, whatever the other method is; "" where something can."""
    import numpy as np

    for repeat, found in method.tested.items():
        if len(found.labels) < 2:
            return "a single row tells nothing"
        if not np.isfinite(found.probabilities).all():
            return f"{method.name} {repeat.name} has probabilities that are not finite"
    return ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _stacked(units: Sequence[Sequence[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the scores of every unit, averaged over its runs, of shape (units, rows)."""
    import numpy as np

    return np.stack([np.mean(unit, axis=0) for unit in units])


Units: TypeAlias = "Sequence[Sequence[Repeat]]"


def _units(a: Method, b: Method, remarks: list[str]) -> tuple[str, Units, Units, bool] | None:
    """Return what the units of two methods are, their runs, and whether they are pairs; None, with a remark, if none.

    Raises ``RowsDiffer`` for methods without a run in common that were tested on other rows.
    Runs that both methods have are preferred, then folds that both have, then the runs of each, whichever they are.
    """
    both = in_order(a.tested.keys() & b.tested.keys())
    unit, units = units_of(both, resplit=has_resplit(a.spec) or has_resplit(b.spec))
    if len(units) < 2:
        if other := _same_folds(a, b) or _own_units(a, b):
            return other
        if not both and len(a.tested) == len(b.tested) == 1:
            return unit, [[*a.tested]], [[*b.tested]], True
    if not both:
        rows_by(a, b, _held([*a.tested], [*b.tested]), remarks)
        counts = f"{varied(a.tested.keys())} against {varied(b.tested.keys())}"
        remarks.append(f"{a.name} and {b.name} were not compared: they have no run in common, and {counts}")
        return None
    if alone := len(a.tested) + len(b.tested) - 2 * len(both):
        left = f"{alone} run{'s' if alone > 1 else ''} that only one of them has"
        remarks.append(f"{a.name} and {b.name} were compared without {left}")
    return unit, units, units, True


def _same_folds(a: Method, b: Method) -> tuple[str, Units, Units, bool] | None:
    """Return the folds that two methods share, with other seeds or draws in each; None unless they are several."""
    folds = sorted({key.fold for key in a.tested if key.fold} & {key.fold for key in b.tested if key.fold})
    if len(folds) < 2 or has_resplit(a.spec) or has_resplit(b.spec):
        return None
    of_a, of_b = ([[key for key in in_order([*of.tested]) if key.fold == fold] for fold in folds] for of in (a, b))
    return LEVELS["fold"], of_a, of_b, True


def _own_units(a: Method, b: Method) -> tuple[str, Units, Units, bool] | None:
    """Return the units of two methods that have several each, all with the same test rows; else None."""
    if any(len({found.numbers for found in method.tested.values()}) > 1 for method in (a, b)):
        return None
    (unit, of_a), (other, of_b) = (
        units_of(in_order([*method.tested]), resplit=has_resplit(method.spec)) for method in (a, b)
    )
    several = len(of_a) > 1 and len(of_b) > 1
    return (unit if unit == other else f"{unit} and {other}", of_a, of_b, False) if several else None


def _held(a: Sequence[Repeat], b: Sequence[Repeat]) -> list[tuple[Repeat, Repeat]]:
    """Return which runs are held against each other: equal ones, or each against the first of the other method."""
    return list(zip(a, b, strict=True)) if a == b else [*((x, b[0]) for x in a), *((a[0], y) for y in b[1:])]
