"""Statements on methods with seeds, draws and folds, and on simulated experiments of equal ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, t

from kexp.builtin.tasks.single_label import SingleLabel
from kexp.repeats import Repeat
from kexp.report import predictions
from kexp.report.methods import Method
from kexp.report.repeated import ratio_of_test, units_of, varied
from kexp.report.statements import statements, untested_remark

ROWS = 1000
LABELS = np.random.default_rng(0).integers(2, size=ROWS)


def rows_of(right: np.ndarray, *, labels: np.ndarray = LABELS, rows: str = "all") -> predictions.Tested:
    """Return certain predictions that are right where ``right`` says so, on rows of that name."""
    order = np.arange(len(labels))
    probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
    return predictions.Tested(
        Path("none"), "test", ("no", "yes"), rows, rows, labels, probabilities, order, order, SingleLabel()
    )


def method(name: str, runs: Mapping[tuple[int | None, int | None, int], predictions.Tested], **spec: Any) -> Method:
    """Return a method whose runs have the given fold, draw and seed."""
    results: dict[Any, Any] = {}
    for (fold, draw, seed), tested in runs.items():
        given = {"fold": fold, "draw": draw, "seed": seed}
        right = float((tested.probabilities.argmax(1) == tested.labels).mean())
        results[as_repeat(fold, draw, seed)] = {
            **{key: value for key, value in given.items() if value is not None},
            "variant": name, "monitor": "accuracy", "metrics": {"test": {"accuracy": right}},
        }  # fmt: skip
    return Method(name, spec, results, {as_repeat(*key): tested for key, tested in runs.items()})


def as_repeat(fold: int | None, draw: int | None, seed: int) -> Repeat:
    return Repeat(seed, draw, fold)


def stated(*methods: Method) -> dict[str, Any]:
    tests, problems = statements(methods, ["accuracy"], (), [])
    assert problems == []
    return tests[0]


def accuracies(found: Method, keys: list[Any]) -> float:
    return float(np.mean([found.runs[as_repeat(*key)]["metrics"]["test"]["accuracy"] for key in keys]))


def test_seeds_within_draws_are_averaged_and_draws_are_counted() -> None:
    generator = np.random.default_rng(1)
    keys = [(None, draw, seed) for draw in (1, 2, 3) for seed in (1, 2)]
    a, b = (method(n, {key: rows_of(generator.random(ROWS) < p) for key in keys}) for n, p in (("a", 0.8), ("b", 0.7)))
    test = stated(a, b)
    assert (test["n"], test["unit"], test["over"]) == (3, "label draws", "3 label draws x 2 seeds")
    by_draw = [accuracies(a, keys[at : at + 2]) - accuracies(b, keys[at : at + 2]) for at in (0, 2, 4)]
    assert test["difference"] == pytest.approx(np.mean(by_draw))
    assert test["effect_size"] == pytest.approx(np.mean(by_draw) / np.std(by_draw, ddof=1))


def test_folds_have_rows_of_their_own_and_are_corrected() -> None:
    generator = np.random.default_rng(2)
    keys = [(fold, None, seed) for fold in range(1, 6) for seed in (1, 2, 3)]
    a, b = (
        method(n, {k: rows_of(generator.random(ROWS) < p, rows=f"fold {k[0]}") for k in keys}, split={"folds": 5})
        for n, p in (("a", 0.8), ("b", 0.7))
    )
    test = stated(a, b)
    assert (test["n"], test["test"], test["over"]) == (5, "resampled", "5 folds x 3 seeds")
    differences = [accuracies(a, keys[at : at + 3]) - accuracies(b, keys[at : at + 3]) for at in range(0, 15, 3)]
    error = ((1 / 5 + 1 / 4) * np.var(differences, ddof=1)) ** 0.5
    assert test["high"] == pytest.approx(np.mean(differences) + t.ppf(0.975, 4) * error)
    assert test["sentence"].startswith("a beats b by 0.")


SEEDS = (1, 2, 3, 4, 5)


def test_a_split_per_seed_is_corrected_by_its_share() -> None:
    generator = np.random.default_rng(3)
    a, b = (
        method(
            name,
            {(None, None, seed): rows_of(generator.random(ROWS) < 0.8, rows=f"split {seed}") for seed in SEEDS},
            split={"resplit": True, "test": 0.2},
        )
        for name in "ab"
    )
    test = stated(a, b)
    differences = [accuracies(a, [(None, None, seed)]) - accuracies(b, [(None, None, seed)]) for seed in SEEDS]
    error = ((1 / 5 + 0.2 / 0.8) * np.var(differences, ddof=1)) ** 0.5
    assert test["high"] - test["difference"] == pytest.approx(t.ppf(0.975, 4) * error)


def test_the_ratio_of_test_to_other_rows() -> None:
    seeds = [{"seed": 1}, {"seed": 2}]
    assert ratio_of_test(seeds, {"split": {"test": 0.2}}) == 0
    assert ratio_of_test(seeds, {"split": {"test": 0.2, "resplit": True}}) == pytest.approx(0.25)
    # Of five folds two are done; their models were trained on four fifths of the rows all the same.
    assert ratio_of_test([{"seed": 1, "fold": fold} for fold in (1, 2)], {"split": {"folds": 5}}) == 0.25
    counted = [run | {"rows": {"train": 600, "validation": 200, "test": 400}} for run in seeds]
    assert ratio_of_test(counted, {"split": {"test": 400, "resplit": True}}) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("keys", "words", "unit", "count"),
    [
        ([(None, None, 1)], "1 seed", "seeds", 1),
        ([(None, None, 1), (None, None, 7)], "2 seeds", "seeds", 2),
        ([(None, draw, 1) for draw in (1, 2, 3)], "3 label draws", "label draws", 3),
        ([(None, 1, 1), (None, 1, 2)], "2 seeds", "seeds", 2),
        ([(*key, 1) for key in itertools.product((1, 2), (1, 2, 3))], "2 folds x 3 label draws", "folds", 2),
        ([(1, None, 1), (1, None, 2), (2, None, 1)], "2 folds x 2 seeds, 3 runs", "folds", 2),
    ],
)
def test_what_varied_is_said(keys: list[Any], words: str, unit: str, count: int) -> None:
    repeats = [as_repeat(*key) for key in keys]
    assert varied(repeats) == words
    found, units = units_of(repeats)
    assert (found, len(units)) == (unit, count)


@pytest.mark.parametrize(
    ("keys", "unit", "units"),
    [
        # (fold, draw, seed): the draws of a seed have its splits, so that their rows agree more than those of two seeds.
        ([(None, draw, seed) for draw in (1, 2, 3) for seed in (1, 2)], "seeds", [(None, 1), (None, 2)]),
        ([(None, draw, 1) for draw in (1, 2)], "label draws", [(None, 1)]),
        ([(f, None, s) for f in (1, 2) for s in (1, 2)], "folds", [(1, 1), (1, 2), (2, 1), (2, 2)]),
        ([(f, d, s) for f in (1, 2) for d in (1, 2) for s in (1, 2)], "folds", [(1, 1), (1, 2), (2, 1), (2, 2)]),
        ([(fold, draw, 1) for fold in (1, 2) for draw in (1, 2)], "folds", [(1, 1), (2, 1)]),
    ],
)
def test_with_a_split_per_seed_units_are_the_splits(
    keys: list[Any], unit: str, units: list[tuple[int | None, int]]
) -> None:
    found, parts = units_of([as_repeat(*key) for key in keys], resplit=True)
    assert found == unit
    assert list(dict.fromkeys((one.fold, one.seed) for part in parts for one in part)) == units
    if unit != "label draws":
        assert [{(one.fold, one.seed) for one in part} for part in parts] == [{key} for key in units]


def test_labels_in_another_order_are_the_same_labels() -> None:
    right = [np.random.default_rng(seed).random(ROWS) < 0.8 for seed in (1, 2)]
    a, b = (method(name, {(None, None, 1): rows_of(of)}) for name, of in zip("ab", right, strict=True))
    tested = b.tested[Repeat(1)]
    turned = predictions.Tested(
        tested.path, "test", ("yes", "no"), "all", "all", 1 - tested.labels, tested.probabilities[:, ::-1],
        tested.by_text, tested.by_number, SingleLabel(),
    )  # fmt: skip
    other = Method("b", {}, b.runs, {Repeat(1): turned})
    assert stated(a, other) == stated(a, b)
    assert stated(a, b)["difference"] == pytest.approx(right[0].mean() - right[1].mean())


def units(*keys: tuple[int | None, int | None, int]) -> dict[Any, predictions.Tested]:
    """Return runs with the given fold, draw and seed; those of a fold share its rows."""
    generator = np.random.default_rng(len(keys))
    return {key: rows_of(generator.random(ROWS) < 0.8, rows=f"fold {key[0]}") for key in keys}


def test_folds_of_other_seeds_are_compared_by_fold() -> None:
    a = method("a", units(*((fold, None, 1) for fold in (1, 2, 3))), split={"folds": 3})
    b = method("b", units(*((fold, None, seed) for fold in (1, 2, 3) for seed in (2, 3))), split={"folds": 3})
    test = stated(a, b)
    assert (test["n"], test["test"], test["paired"], test["unit"]) == (3, "resampled", True, "folds")
    assert test["over"] == "3 folds against 3 folds x 2 seeds"
    by_fold = [
        accuracies(a, [(fold, None, 1)]) - accuracies(b, [(fold, None, 2), (fold, None, 3)]) for fold in (1, 2, 3)
    ]
    assert test["difference"] == pytest.approx(np.mean(by_fold))
    assert test["effect_size"] == pytest.approx(np.mean(by_fold) / np.std(by_fold, ddof=1))


def test_draws_are_compared_with_seeds_where_each_has_several() -> None:
    seeds, draws = units(*((None, None, s) for s in (1, 2, 3))), units(*((None, draw, 1) for draw in (1, 2)))
    test = stated(method("full", seeds), method("few", draws))
    assert (test["n"], test["test"], test["paired"]) == (2, "welch", False)
    assert test["over"] == "3 seeds against 2 label draws"


def test_methods_without_a_run_in_common_are_not_compared() -> None:
    remarks: list[str] = []
    full, few = method("full", units((None, None, 1))), method("few", units(*((None, draw, 1) for draw in (1, 2, 3))))
    assert statements([full, few], ["accuracy"], (), remarks) == ([], [])
    assert remarks == ["full and few were not compared: they have no run in common, and 1 seed against 3 label draws"]


def test_methods_with_other_test_rows_and_no_run_in_common_are_refused(tmp_path: Path) -> None:
    def run(rows: int, name: str) -> predictions.Tested:
        path, numbers = tmp_path / f"{name}.parquet", np.arange(rows)
        texts = [f"text {number}" for number in numbers]
        predicted = SingleLabel().columns(LABELS[:rows], np.eye(2)[LABELS[:rows]], ("no", "yes"), {})
        table = predictions.table("test", numbers, texts, None, predicted)
        predictions.write(path, [table])
        return predictions.tested(path, "test", ("no", "yes"), SingleLabel(), {})

    folds = method("folds", {(fold, None, 1): run(30 + fold, f"fold-{fold}") for fold in (1, 2)}, split={"folds": 2})
    tests, problems = statements([folds, method("once", {(None, None, 1): run(20, "once")})], ["accuracy"], (), [])
    assert tests == []
    assert (
        problems[0]
        .remark()
        .startswith("folds and once were not compared: their test rows of fold 1 and no fold, seed 1 differ: 31")
    )


def test_no_difference_is_said_that_cannot_be() -> None:
    right = {(1, "a"): 0.9, (1, "b"): 0.5, (2, "a"): 0.5, (2, "b"): 0.7}
    a, b = (
        method(
            name,
            {(f, None, 1): rows_of(np.arange(ROWS) < right[f, name] * ROWS, rows=f"fold {f}") for f in (1, 2)},
            split={"folds": 2},
        )
        for name in "ab"
    )
    test = stated(a, b)
    # From two folds the interval would be from -1 to 1: all that there can be.
    assert (test["low"], test["high"]) == (None, None)
    assert test["detectable"] > 1
    assert test["sentence"].endswith("; 2 folds could show none, however large: more are needed)")
    assert "interval" not in test["sentence"]


def test_probabilities_that_are_not_finite_are_not_tested() -> None:
    runs = units((None, None, 1), (None, None, 2))
    runs[None, None, 2].probabilities[3] = np.nan
    remarks: list[str] = []
    sound = units((None, None, 1), (None, None, 2))
    methods = [method("a", sound), method("b", runs), method("c", sound)]
    tests, problems = statements(methods, ["accuracy", "cross_entropy"], (), remarks)
    assert ([(test["a"], test["b"]) for test in tests], problems) == ([("a", "c")] * 2, [])
    why = "were not compared: b seed 2 has probabilities that are not finite"
    assert remarks == [f"a and b {why}", f"b and c {why}"]


def test_methods_that_share_no_metric_with_a_test_are_remarked_on() -> None:
    methods = [method(name, units((None, None, 1))) for name in "ab"]
    assert untested_remark(methods, ["accuracy"]) == untested_remark(methods[:1], []) == []
    assert untested_remark(methods, []) == [
        "no difference was tested: the runs share no metric that can be "
        "(accuracy, macro_f1, weighted_f1, cross_entropy, mse, mae)"
    ]


def test_of_folds_that_both_have_one_it_alone_is_compared() -> None:
    remarks: list[str] = []
    a, b = (method(name, units(*((fold, None, 1) for fold in of))) for name, of in (("a", (1, 2)), ("b", (2, 3))))
    tests, problems = statements([a, b], ["accuracy"], (), remarks)
    assert (problems, tests[0]["n"], tests[0]["which"]) == ([], 1, "fold 2, seed 1")
    assert remarks == ["a and b were compared without 2 runs that only one of them has"]


# --- simulated experiments of equal methods -----------------------------------------------------------------------


def experiment(draw: Callable[[], np.ndarray], seeds: int) -> list[str]:
    """Return the sentences on three methods that differ by chance alone."""
    methods = [method(name, {(None, None, seed): rows_of(draw()) for seed in range(seeds)}) for name in ("a", "b", "c")]
    tests, _ = statements(methods, ["accuracy", "macro_f1"], (), [])
    return [test["sentence"] for test in tests]


@pytest.mark.parametrize("spread", [0.0, 0.01])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_few_experiments_say_that_one_of_equal_methods_beats_another(seeds: int, spread: float) -> None:
    generator, experiments = np.random.default_rng([seeds, int(100 * spread)]), 200

    def draw() -> np.ndarray:
        return generator.random(ROWS) < 0.85 + generator.normal(0, spread)

    false = sum(any(" beats " in said for said in experiment(draw, seeds)) for _ in range(experiments))
    assert false <= binom.ppf(0.99, experiments, 0.05)


@pytest.mark.parametrize(
    ("draws", "folds", "seeds"), [((1, 2, 3, 4, 5), (None,), (1, 2, 3)), ((None,), (1, 2, 3), (1, 2, 3, 4, 5))]
)
def test_splits_per_seed_with_draws_or_folds_make_no_more_false_statements(
    draws: tuple[int | None, ...], folds: tuple[int | None, ...], seeds: tuple[int, ...]
) -> None:
    generator, experiments, rows, share = np.random.default_rng(len(draws)), 150, 1800, 9 if folds == (None,) else 3

    def equal(name: str, labels: np.ndarray, parts: dict[int, np.ndarray]) -> Method:
        """Return a method that finds some rows of the dataset easier than others, whichever run it is."""
        ease, runs = generator.normal(1, 1, rows), {}
        for fold, draw, seed in itertools.product(folds, draws, seeds):
            own = np.sort(parts[seed][(fold or 1) - 1 :: share])
            right = ease[own] + generator.normal(0, 0.3, len(own)) > 0
            runs[fold, draw, seed] = rows_of(right, labels=labels[own], rows=f"{fold} of {seed}")
        return method(name, runs, split={"resplit": True, "test": 1 / share, **({"folds": 3} if folds[0] else {})})

    false = 0
    for _ in range(experiments):
        labels = generator.integers(2, size=rows)
        parts = {seed: generator.permutation(rows) for seed in seeds}
        tests, _ = statements([equal(name, labels, parts) for name in "abc"], ["accuracy"], (), [])
        false += any(" beats " in test["sentence"] for test in tests)
    assert false <= binom.ppf(0.99, experiments, 0.05)


def test_one_seed_never_beats() -> None:
    a, b = method("a", {(None, None, 1): rows_of(LABELS >= 0)}), method("b", {(None, None, 1): rows_of(LABELS < 0)})
    said = stated(a, b)["sentence"]
    assert said.startswith("these two models of a and b differ in accuracy: a is 1.000 ahead (seed 1, p < 0.001")
    assert " beats " not in said
