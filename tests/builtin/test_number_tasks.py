"""The tasks of numbers and of ordered classes: how labels are read, divided and numbered, and what logits mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from support import kexp

from kexp.builtin.tasks import Ordinal, Regression
from kexp.builtin.tasks.numbers import quantile_strata
from kexp.data.fewer_rows import choose_labelled
from kexp.data.splits import divide
from kexp.errors import DataError
from kexp.spec.sections import Labelled, Split

SCORES = Regression(low=0, high=5)

# --- cells -----------------------------------------------------------------------------------------------------------

SPELLINGS: list[tuple[Any, str]] = [
    ("3.5", "3.5"),
    (" 3.50 ", "3.5"),
    ("4", "4"),
    ("4.0", "4"),
    (4, "4"),
    (4.0, "4"),
    (np.float64(2.5), "2.5"),
    (np.int64(2), "2"),
    (Decimal("2.50"), "2.5"),
    ("1e-1", "0.1"),
    ("1E0", "1"),
    (".5", "0.5"),
    ("+5", "5"),
    ("-0", "0"),
    (-0.0, "0"),
    ("٣", "3"),
    ("3.5\u200b", "3.5"),
    ("", ""),
    ("  ", ""),
    (None, ""),
    (math.nan, ""),
    ("NaN", ""),
    ("N/A", ""),
]


@pytest.mark.parametrize(("cell", "expected"), SPELLINGS, ids=repr)
def test_a_number_has_one_spelling(cell: Any, expected: str) -> None:
    label = SCORES.label_of(cell)
    assert label == expected
    assert SCORES.label_of(label) == label


REFUSED: list[tuple[Any, str]] = [
    ("3,5", "expected a number with a decimal point; write it as 3.5"),
    ("1,234", "expected a number with a decimal point; write it as 1.234"),
    ("good", 'found "good", expected a number; correct it'),
    ("1_000", "expected a number"),
    ("0x10", "expected a number"),
    ("1.2.3", "expected a number"),
    ("inf", "expected a number"),
    ("1e999", "expected a finite number"),
    (math.inf, "expected a finite number"),
    (10**400, "expected a number"),
    (True, "found a bool (True), expected a number"),
    (np.True_, "expected a number"),
    ((1.0, 2.0), "one number per row is learnt, so choose one"),
    (b"3", "expected a number"),
    (5.01, "found 5.01, expected a number from 0 to 5; correct it, or state other bounds (task.low, task.high)"),
    ("-1", "found -1, expected a number from 0 to 5"),
]


@pytest.mark.parametrize(("cell", "expected"), REFUSED, ids=repr)
def test_what_is_no_number_is_refused(cell: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=r"found") as found:
        SCORES.label_of(cell)
    assert expected in str(found.value)


def test_without_bounds_every_finite_number_is_a_label() -> None:
    assert [Regression().label_of(cell) for cell in ("-1e3", 1e300, "0.1")] == ["-1000", "1e+300", "0.1"]


def test_numbers_are_encoded_and_decoded_exactly() -> None:
    labels = ["0.1", "", "-3", "1e+300"]
    targets = SCORES.encode(labels, ("score",))
    assert targets.dtype == np.float64
    assert SCORES.known(targets).tolist() == [True, False, True, True]
    assert SCORES.decode(targets, ("score",)) == labels


def test_stars_and_half_stars_are_ordered_classes() -> None:
    cells = [3.5, "3.50", "1.0", 1, "좋음", "", None, Decimal("0.5"), np.float32(0.5)]
    assert [Ordinal().label_of(cell) for cell in cells] == ["3.5", "3.5", "1", "1", "좋음", "", "", "0.5", "0.5"]


# --- names -----------------------------------------------------------------------------------------------------------


def test_ordered_classes_are_numbered_by_value_by_order_or_as_the_dataset_says() -> None:
    assert Ordinal().names({"10", "9", "-1", "0.5"}, None) == ("-1", "0.5", "9", "10")
    assert Ordinal().names({"3", "1", "2"}, ["3", "2", "1"]) == ("1", "2", "3")
    assert Ordinal().names({"low", "high", "mid"}, ["low", "mid", "high", "top"]) == ("low", "mid", "high")
    assert Ordinal(order=("high", "mid", "low")).names({"low", "high", "mid"}, ["low", "mid", "high"])[0] == "high"
    assert Ordinal(order=("1.0", "2")).names({"1", "2"}, None) == ("1", "2")


def test_an_order_that_nothing_says_is_refused() -> None:
    with pytest.raises(DataError, match='the labels "bad", "good", "so-so" are ordered; name them from low to high'):
        Ordinal().names({"good", "bad", "so-so"}, None)


def test_names_that_the_order_or_the_data_lack_are_refused() -> None:
    task = Ordinal(order=("bad", "good", "excelent"))
    with pytest.raises(DataError, match=r'lacks the label "excellent" of the data; name it there, or leave its rows'):
        task.need_variety({"bad", "good", "excellent"})
    with pytest.raises(DataError, match=r'no train row has the label "excelent"'):
        task.names({"bad", "good"}, None)


@pytest.mark.parametrize("task", [Regression(), Ordinal()])
def test_equal_labels_leave_nothing_to_learn(task: Any) -> None:
    with pytest.raises(DataError, match="every train row has the"):
        task.need_variety({"3"})
    task.need_variety({"3", "4"})


def test_names_of_classes_are_no_numbers() -> None:
    with pytest.raises(DataError, match='found the label "good", expected a number; use task "single-label"'):
        Regression().need_variety({"good", "1"})


def test_numbers_far_from_0_are_warned_of_without_bounds() -> None:
    (warning,) = Regression().warnings_of_labels({"55.5", "99"})
    assert warning.startswith("numbers from 55.5 to 99, and no bounds")
    assert not Regression(low=0, high=100).warnings_of_labels({"55.5", "99"})
    assert not Regression().warnings_of_labels({"0.5", "5"})


def test_many_numbers_are_counted_in_ranges_that_all_splits_share() -> None:
    rows = {"train": {f"{number / 20:g}": 2 for number in range(101)}, "test": {"5": 1, "0.49": 3}}
    found = SCORES.tally(rows)
    assert list(found["test"]) == list(found["train"])
    assert found["train"]["0 to 0.5"] == 20
    assert found["train"]["4.5 to 5"] == 22
    assert found["test"] == {**dict.fromkeys(found["train"], 0), "0 to 0.5": 3, "4.5 to 5": 1}
    assert SCORES.tally({"train": {"10": 1, "9": 2}}) == {"train": {"9": 2, "10": 1}}


# --- strata ----------------------------------------------------------------------------------------------------------

VALUES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "distinct": lambda random, rows: random.normal(size=rows),
    "stars": lambda random, rows: random.choice([1.0, 2, 3, 4, 5], rows, p=[0.02, 0.03, 0.05, 0.2, 0.7]),
    "equal": lambda random, rows: np.full(rows, 2.0),
    "one far away": lambda random, rows: np.append(np.zeros(rows - 1), 9.0),
}


@pytest.mark.parametrize("parts", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("rows", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_strata_are_stretches_of_neighbouring_numbers(
    values: Callable[[np.random.Generator, int], NDArray[np.float64]], rows: int, parts: int
) -> None:
    drawn = values(np.random.default_rng(rows), rows)
    strata = quantile_strata(drawn, parts)
    numbers, counts = np.unique(strata, return_counts=True)
    assert numbers.tolist() == list(range(len(numbers)))
    assert len(numbers) <= 10 + 1
    assert counts.min() >= min(parts, rows)
    # Smaller numbers are in earlier strata, and equal ones in one.
    ends = [(drawn[strata == number].min(), drawn[strata == number].max()) for number in numbers]
    assert all(before[1] < after[0] for before, after in pairwise(ends))


def test_rows_of_distinct_numbers_are_in_ten_strata_of_equal_size() -> None:
    assert np.bincount(quantile_strata(np.random.default_rng(0).random(1000), 5)).tolist() == [100] * 10


def frame(values: NDArray[np.float64]) -> pd.DataFrame:
    texts = [f"글 {number}" for number in range(len(values))]
    return pd.DataFrame(
        {"text": texts, "label": [SCORES.label_of(value) for value in values], "number": range(len(values))}
    )


@pytest.mark.parametrize("share", [0.08, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("rows", [10, 57, 400])
def test_parts_have_numbers_alike(rows: int, share: float) -> None:
    values = 5 * np.random.default_rng(1).beta(0.4, 0.9, rows)
    found = divide({"train": frame(values)}, Split(test=share, validation=0), 3, {}, strata=SCORES.strata)
    of = {split: SCORES.encode(part["label"], ()) for split, part in found.items()}
    assert sorted([*of["train"], *of["test"]]) == sorted(values)
    if rows == 400 and 0.1 < share < 0.95:
        quantiles = np.linspace(0.1, 0.9, 9)
        assert np.abs(np.quantile(of["train"], quantiles) - np.quantile(of["test"], quantiles)).max() < 0.5


@pytest.mark.parametrize("rows", [6, 23, 300])
def test_folds_have_numbers_alike(rows: int) -> None:
    values = 5 * np.random.default_rng(2).random(rows)
    means = []
    for fold in range(1, 6):
        found = divide({"train": frame(values)}, Split(folds=5), 3, {}, fold, SCORES.strata)
        means.append(SCORES.encode(found["test"]["label"], ()).mean())
    if rows == 300:
        assert np.ptp(means) < 0.3


@pytest.mark.parametrize("count", [1, 2, 5, 9, 40, 99])
def test_any_number_of_rows_stays_labelled(count: int) -> None:
    values = 5 * np.random.default_rng(3).random(100)
    chosen, others = choose_labelled(frame(values), Labelled(n=count), 1, SCORES.strata)
    assert (len(chosen), len(others)) == (count, 100 - count)
    if count == 9:
        assert np.bincount((SCORES.encode(chosen["label"], ()) * 2 // 4).astype(int)).min() >= 2


# --- predictions -----------------------------------------------------------------------------------------------------


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))


def test_a_logit_is_the_number_or_within_the_bounds() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 1))
    assert Regression().predictions(logits) is logits
    np.testing.assert_allclose(Regression(low=-1, high=4).predictions(logits), -1 + 5 * sigmoid(logits), rtol=1e-12)
    assert SCORES.predictions(np.array([[-1e4], [1e4]])).tolist() == [[0.0], [5.0]]


def test_conditional_logits_are_probabilities_of_classes() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (50, 4))
    expected = np.empty((50, 5))
    for row, values in enumerate(logits):
        above = 1.0
        for number, logit in enumerate(values):
            go_on = 1 / (1 + math.exp(-logit))
            expected[row, number] = above * (1 - go_on)
            above *= go_on
        expected[row, 4] = above
    np.testing.assert_allclose(Ordinal().predictions(logits), expected, atol=1e-12)


def test_cumulative_logits_are_probabilities_of_classes() -> None:
    task = Ordinal(form="cumulative")
    falling = np.sort(np.random.default_rng(0).normal(0, 2, (50, 4)))[:, ::-1]
    above = sigmoid(falling)
    expected = np.column_stack([1 - above[:, 0], *(above[:, k] - above[:, k + 1] for k in range(3)), above[:, 3]])
    np.testing.assert_allclose(task.predictions(falling), expected, atol=1e-12)


@pytest.mark.parametrize("form", ["conditional", "cumulative"])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_any_logits_are_probabilities(form: Any, classes: int) -> None:
    random = np.random.default_rng(classes)
    for scale in (0, 1, 1e4):
        predicted = Ordinal(form=form).predictions(random.normal(0, 1, (200, classes - 1)) * scale)
        assert predicted.shape == (200, classes)
        assert (predicted >= 0).all()
        np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-12)


def test_a_turned_order_turns_cumulative_predictions() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (50, 4))
    task = Ordinal(form="cumulative")
    np.testing.assert_allclose(task.predictions(-logits[:, ::-1]), task.predictions(logits)[:, ::-1], atol=1e-12)


# --- results ---------------------------------------------------------------------------------------------------------


def test_columns_are_read_again() -> None:
    targets, predicted = np.array([1.5, 0.0]), np.array([[1.25], [0.5]])
    columns = SCORES.columns(targets, predicted, ("score",), {})
    assert list(columns) == ["label", "predicted"]
    found = SCORES.read_columns(columns, ("score",))
    np.testing.assert_array_equal(found[0], targets)
    np.testing.assert_array_equal(found[1], predicted)
    with pytest.raises(ValueError, match="not finite"):
        SCORES.read_columns({**columns, "predicted": [np.nan, 1]}, ("score",))


def test_details_are_those_of_the_errors() -> None:
    random = np.random.default_rng(0)
    targets, predicted = random.random(99), random.random((99, 1))
    scores = SCORES.details(targets, predicted, ("score",), {})["scores"]
    errors = [float(p - t) for p, t in zip(predicted[:, 0], targets, strict=True)]
    mean = sum(errors) / 99
    assert scores["mean_error"] == pytest.approx(mean)
    assert scores["error_spread"] == pytest.approx(math.sqrt(sum((error - mean) ** 2 for error in errors) / 99))
    assert scores["error_quantiles"]["0.5"] == pytest.approx(sorted(errors)[49])
    assert scores["error_quantiles"]["1"] == pytest.approx(max(errors))
    np.testing.assert_allclose(SCORES.losses(targets, predicted), np.square(errors))


# --- specs -----------------------------------------------------------------------------------------------------------


def checked(tmp_path: Path, tables: str) -> str:
    (tmp_path / "rows.csv").write_text("text,label\n가,1\n나,2\n", "utf-8")
    spec = f'[dataset]\nuse = "table"\npath = "rows.csv"\n[backbone]\nuse = "tiny"\n{tables}\n'
    (tmp_path / "spec.toml").write_text(spec, "utf-8")
    result = kexp("check", tmp_path / "spec.toml")
    return result.stdout + result.stderr if result.exit_code else ""


BAD_SPECS = {
    '[task]\nuse = "regression"\nlow = 0': "task.high: low is stated and high is not; state both, or none",
    '[task]\nuse = "regression"\nlow = 5\nhigh = 5': "task.low: 5 is not below high = 5",
    '[task]\nuse = "ordinal"\norder = ["a", "b", "a"]': 'task.order: "a" is named twice',
    '[task]\nuse = "regression"\n[evaluation]\ncalibrate = true': "evaluation.calibrate",
    '[task]\nuse = "ordinal"\n[evaluation]\ncalibrate = true': "evaluation.calibrate",
    '[task]\nuse = "regression"\n[objective]\nuse = "cross-entropy"': 'use "absolute-error", "huber" or "squared-error"',
    '[task]\nuse = "ordinal"\n[objective]\nuse = "cross-entropy"': 'use "ordinal"',
    '[task]\nuse = "regression"\n[sampler]\nuse = "balanced"': 'use "random"',
    '[task]\nuse = "regression"\n[labelled]\nper_class = 5': "labelled.per_class",
    '[task]\nuse = "regression"\n[evaluation]\nmetrics = ["accuracy"]\n[training]\nmonitor = "accuracy"': '"pearson"',
    '[task]\nuse = "regression"\n[evaluation]\nbaselines = ["majority"]': 'unknown baseline "majority"',
    '[evaluation]\nmetrics = ["pearson"]\n[training]\nmonitor = "pearson"': "evaluation.metrics[0]",
    '[objective]\nuse = "huber"': "objective",
}


@pytest.mark.parametrize("tables", BAD_SPECS)
def test_what_is_not_defined_for_a_task_is_refused(tmp_path: Path, tables: str) -> None:
    assert BAD_SPECS[tables] in " ".join(checked(tmp_path, tables).split())


GOOD_SPECS = [
    '[task]\nuse = "regression"',
    '[task]\nuse = "regression"\nlow = -1\nhigh = 1.5\n[objective]\nuse = "huber"\ndelta = 0.5',
    '[task]\nuse = "regression"\n[evaluation]\nmetrics = ["mse", "mae", "rmse"]\n[training]\nmonitor = "mae"',
    '[task]\nuse = "ordinal"\nform = "cumulative"\norder = ["low", "high"]\n[sampler]\nuse = "balanced"',
    '[task]\nuse = "ordinal"\n[evaluation]\nmetrics = ["ece", "quadratic_kappa", "mcc"]',
]


@pytest.mark.parametrize("tables", GOOD_SPECS)
def test_what_is_defined_for_a_task_is_accepted(tmp_path: Path, tables: str) -> None:
    assert checked(tmp_path, tables) == ""
