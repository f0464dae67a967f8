"""Divisions of rows: nothing lost, nothing twice, the promised proportions, and the remedy where it cannot be done."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kexp.data.fewer_rows import choose_labelled, limit_rows, stratified_rows
from kexp.data.splits import divide, take_fold
from kexp.errors import DataError
from kexp.spec.sections import Labelled, Split

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def table(counts: dict[str, int], groups: list[object] | None = None) -> pd.DataFrame:
    """Return rows with these labels, mixed, numbered from 0."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = pd.DataFrame({"text": [f"글 {row}" for row in range(len(labels))], "label": labels})
    if groups is not None:
        rows["group"] = groups
    return rows.sample(frac=1, random_state=3).reset_index(drop=True).assign(number=range(len(labels)))


def divided(
    rows: pd.DataFrame, seed: int = 0, others: dict[str, pd.DataFrame] | None = None, **options: object
) -> dict[str, pd.DataFrame]:
    frames = {"train": rows, **(others or {})}
    brought, moved = set(frames), dict[str, int]()
    result = divide(frames, Split(**options), seed, moved)
    for split in {"validation", "test"} - brought:
        assert moved.pop(f"taken_for_{split}") == len(result[split])
    assert moved == {}
    return result


def numbers(frame: pd.DataFrame) -> list[int]:
    return frame["number"].tolist()


def refusal(call) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


# --- validation and test out of train --------------------------------------------------------------------------------


def test_every_row_is_in_exactly_one_split_and_keeps_its_place() -> None:
    parts = divided(table({"a": 70, "b": 30}))
    assert sorted(number for part in parts.values() for number in numbers(part)) == list(range(100))
    assert all(numbers(part) == sorted(numbers(part)) for part in parts.values())


@pytest.mark.parametrize(
    ("validation", "test", "sizes"),
    [(0.1, 0.1, (80, 10, 10)), (0.2, 0.1, (70, 20, 10)), (10, 20, (70, 10, 20)), (0.25, 10, (65, 25, 10))],
)
def test_shares_are_of_all_rows_and_numbers_from_one_are_rows(
    validation: float, test: float, sizes: tuple[int, int, int]
) -> None:
    parts = divided(table({"a": 60, "b": 40}), validation=float(validation), test=float(test))
    assert tuple(len(parts[split]) for split in ("train", "validation", "test")) == sizes


def test_stratified_splits_have_the_classes_in_equal_shares() -> None:
    parts = divided(table({"a": 600, "b": 300, "c": 100}), validation=0.1, test=0.2)
    assert Counter(parts["train"]["label"]) == {"a": 420, "b": 210, "c": 70}
    assert Counter(parts["validation"]["label"]) == {"a": 60, "b": 30, "c": 10}
    assert Counter(parts["test"]["label"]) == {"a": 120, "b": 60, "c": 20}


def test_splits_that_the_dataset_brings_stay_as_they_are() -> None:
    rows, test = table({"a": 50, "b": 50}), table({"a": 3, "b": 4})
    parts = divided(rows, others={"test": test}, validation=0.1)
    assert parts["test"] is test
    assert (len(parts["train"]), len(parts["validation"])) == (90, 10)
    whole = divided(rows, others={"test": test, "validation": test})
    assert whole["train"] is rows


def test_the_seed_alone_decides() -> None:
    rows = table({"a": 60, "b": 40})
    first, again, other = (numbers(divided(rows, seed)["test"]) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_share_of_no_row_asks_for_more() -> None:
    message = refusal(lambda: divided(table({"a": 2, "b": 2})))
    assert message == "split.test: 0 rows cannot be taken out of 4; use a larger share, or more data"


def test_a_split_that_leaves_no_row_asks_for_less() -> None:
    message = refusal(lambda: divided(table({"a": 6, "b": 4}), test=10.0))
    assert message == "split.test: 10 rows cannot be taken out of 10; use a smaller share, or more data"
    message = refusal(lambda: divided(table({"a": 6, "b": 4}), test=5.0, validation=7.0))
    assert message == "split.validation: 7 rows cannot be taken out of 5; use a smaller share, or more data"


def test_a_label_of_one_row_cannot_be_stratified() -> None:
    rows = table({"a": 99, "b": 1})
    assert refusal(lambda: divided(rows)) == (
        'split.test: too small to stratify: label "b" has 1 row of 100; set split.stratify = false, or add data'
    )
    assert len(divided(rows, stratify=False)["test"]) == 10


def test_fewer_rows_than_labels_cannot_be_stratified() -> None:
    rows = table(dict.fromkeys("abcdef", 10))
    remedy = "set split.stratify = false, or add data"
    assert refusal(lambda: divided(rows, test=5.0)) == (
        f"split.test: too small to stratify: 5 of 60 rows cannot hold 6 labels; {remedy}"
    )
    assert refusal(lambda: divided(rows, test=57.0)) == (
        f"split.test: too small to stratify: 57 of 60 rows cannot hold 6 labels; {remedy}"
    )


def test_a_number_of_rows_with_a_fraction_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        Split(test=1.5)


def test_shares_that_leave_nothing_are_told_before_any_row_is_read() -> None:
    assert [str(problem) for problem in Split(validation=0.5, test=0.5).problems()] == [
        "validation and test take 1 of all rows; nothing is left for train"
    ]
    assert list(Split(validation=0.4, test=0.5).problems()) == []
    assert list(Split(validation=0.9, test=500.0).problems()) == []


# --- groups ----------------------------------------------------------------------------------------------------------


def owners(parts: dict[str, pd.DataFrame]) -> list[set[object]]:
    return [set(part["group"]) for part in parts.values()]


@PATIENT
@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 5))
def test_groups_are_never_divided(seed: int, stratify: bool, size: int) -> None:
    rows = table({"a": 60, "b": 60}, [row // size for row in range(120)])
    parts = divided(rows, seed, stratify=stratify)
    train, validation, test = owners(parts)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert sorted(number for part in parts.values() for number in numbers(part)) == list(range(120))


def test_rows_taken_in_groups_keep_their_places() -> None:
    parts = divided(table({"a": 60, "b": 60}, [row // 3 for row in range(120)]))
    assert all(numbers(part) == sorted(numbers(part)) for part in parts.values())


@pytest.mark.parametrize("stratify", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.6])
def test_small_groups_come_close_to_the_share(share: float, stratify: bool) -> None:
    rows = table({"a": 150, "b": 150}, [row // 2 for row in range(300)])
    test = divided(rows, test=share, validation=0.1, stratify=stratify)["test"]
    assert len(test) / 300 == pytest.approx(share, abs=0.03)


def test_stratified_groups_have_the_classes_in_about_equal_shares() -> None:
    rows = table({"a": 200, "b": 100}, [row // 2 for row in range(300)])
    test = divided(rows, test=0.2)["test"]
    assert (test["label"] == "a").mean() == pytest.approx(2 / 3, abs=0.05)


def test_a_rare_label_does_not_hinder_division_by_groups() -> None:
    rows = table({"a": 97, "b": 3}, list(range(100)))
    parts = divided(rows)
    assert sum(map(len, parts.values())) == 100


def test_few_rows_of_many_groups_are_taken() -> None:
    parts = divided(table({"a": 50, "b": 50}, list(range(100))), test=2.0, validation=2.0)
    assert [len(parts[split]) for split in ("train", "validation", "test")] == [96, 2, 2]


def test_too_few_groups_are_refused_with_the_remedy() -> None:
    rows = table({"a": 50, "b": 50}, [0, 1] * 50)
    message = refusal(lambda: divided(rows))
    assert message == (
        "split.test: 2 groups cannot be divided to take 10 of 100 rows; use another share, or set split.group = false"
    )
    assert len(divided(rows, group=False)["test"]) == 10


def test_without_the_option_groups_are_ignored() -> None:
    rows = table({"a": 50, "b": 50}, [row // 10 for row in range(100)])
    train, _, test = owners(divided(rows, group=False))
    assert train & test


# --- the labelled few ------------------------------------------------------------------------------------------------


def is_largest_remainder(found: Counter[str], counts: dict[str, int]) -> bool:
    """Tell in exact fractions: every share is rounded, and none up whose remainder is below one rounded down."""
    factor = Fraction(sum(found.values()), sum(counts.values()))
    remainders = {label: count * factor - int(count * factor) for label, count in counts.items()}
    surplus = {label: found[label] - int(count * factor) for label, count in counts.items()}
    up = [remainders[label] for label, more in surplus.items() if more == 1]
    down = [remainders[label] for label, more in surplus.items() if more == 0]
    return len(up) + len(down) == len(counts) and min(up, default=1) >= max(down, default=0)


@pytest.mark.parametrize("wanted", [6, 7, 10, 33, 50, 99])
def test_labelled_rows_are_in_the_classes_proportions(wanted: int) -> None:
    counts = {"a": 53, "b": 29, "c": 18}
    labelled, pool = choose_labelled(table(counts), Labelled(n=wanted), seed=0)
    assert is_largest_remainder(Counter(labelled["label"]), counts)
    assert sorted(numbers(labelled) + numbers(pool)) == list(range(100))
    assert numbers(labelled) == sorted(numbers(labelled))
    assert numbers(pool) == sorted(numbers(pool))


@PATIENT
@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.data())
def test_any_number_of_labelled_rows_is_met_exactly_and_every_class_has_one(counts: list[int], data) -> None:
    stated = {f"label {number}": count for number, count in enumerate(counts)}
    assume(sum(counts) > len(counts))
    rows = table(stated)
    wanted = data.draw(st.integers(len(counts), len(rows) - 1))
    labelled, pool = choose_labelled(rows, Labelled(n=wanted), seed=1)
    found = Counter(labelled["label"])
    assert sum(found.values()) == wanted
    assert set(found) == set(stated)
    assert len(pool) == len(rows) - wanted
    if all(count * wanted >= len(rows) for count in counts):
        assert is_largest_remainder(found, stated)


def test_a_rare_class_keeps_a_labelled_row() -> None:
    labelled, _ = choose_labelled(table({"a": 990, "b": 9, "c": 1}), Labelled(n=10), seed=0)
    assert Counter(labelled["label"]) == {"a": 8, "b": 1, "c": 1}


def test_per_class_takes_as_many_of_each() -> None:
    labelled, pool = choose_labelled(table({"a": 30, "b": 12}), Labelled(per_class=10), seed=0)
    assert Counter(labelled["label"]) == {"a": 10, "b": 10}
    assert Counter(pool["label"]) == {"a": 20, "b": 2}


def test_the_choice_of_labelled_rows_follows_the_seed() -> None:
    rows = table({"a": 60, "b": 40})
    for options in (Labelled(n=10), Labelled(per_class=5)):
        first, again, other = (numbers(choose_labelled(rows, options, seed)[0]) for seed in (1, 1, 2))
        assert first == again
        assert first != other


@pytest.mark.parametrize("wanted", [1, 10, 11])
def test_a_number_of_labelled_rows_that_cannot_be_is_refused_with_the_range(wanted: int) -> None:
    message = refusal(lambda: choose_labelled(table({"a": 6, "b": 4}), Labelled(n=wanted), seed=0))
    assert message == f"labelled.n: {wanted} of 10 train rows with 2 labels; use 2 to 9"


def test_more_labelled_rows_than_a_class_has_are_refused_with_the_class() -> None:
    message = refusal(lambda: choose_labelled(table({"a": 6, "b": 4}), Labelled(per_class=5), seed=0))
    assert message == 'labelled.per_class: label "b" has 4 train rows, fewer than 5; use fewer'


def test_stating_the_choice_twice_is_a_problem() -> None:
    (problem,) = Labelled(n=10, per_class=5).problems()
    assert str(problem) == "per_class: n and per_class both choose the labelled rows; set one of them"
    assert Labelled(n=10).chosen
    assert Labelled(per_class=10).chosen
    assert not Labelled().chosen


# --- the first few ---------------------------------------------------------------------------------------------------


def test_a_limit_keeps_rows_of_a_seeded_shuffle_in_the_order_of_the_data() -> None:
    rows = table({"a": 50, "b": 50})
    first, again, other = (numbers(limit_rows(rows, 20, seed)) for seed in (1, 1, 2))
    assert first == again == sorted(first)
    assert first != other
    assert len(set(first)) == 20
    assert max(first) > 50


@pytest.mark.parametrize("limit", [None, 10, 11])
def test_a_limit_that_is_no_limit_changes_nothing(limit: int | None) -> None:
    rows = table({"a": 5, "b": 5})
    assert limit_rows(rows, limit, 0) is rows


# --- folds -----------------------------------------------------------------------------------------------------------


def fold_rows(rows: pd.DataFrame, seed: int, folds: int, **options: object) -> list[pd.DataFrame]:
    """Return the test rows of every fold, and make sure that the rest has all others."""
    found = []
    for fold in range(1, folds + 1):
        rest, taken = take_fold(rows, Split(folds=folds, **options), folds, seed, fold)
        assert sorted(numbers(rest) + numbers(taken)) == list(range(len(rows)))
        assert (numbers(rest), numbers(taken)) == (sorted(numbers(rest)), sorted(numbers(taken)))
        found.append(taken)
    return found


@PATIENT
@given(
    st.lists(st.integers(7, 40), min_size=2, max_size=4), st.integers(2, 7), st.integers(0, 2**32 - 1), st.booleans()
)
def test_every_row_is_a_test_row_of_one_fold(counts: list[int], folds: int, seed: int, stratify: bool) -> None:
    rows = table({f"l{number}": count for number, count in enumerate(counts)})
    found = fold_rows(rows, seed, folds, stratify=stratify)
    assert sorted(number for part in found for number in numbers(part)) == list(range(len(rows)))
    assert {len(part) for part in found} <= (
        {len(rows) // folds, -(-len(rows) // folds)} if not stratify else {*map(len, found)}
    )
    if stratify:
        for label, count in rows["label"].value_counts().items():
            of = [int((part["label"] == label).sum()) for part in found]
            assert {*of} <= {count // folds, -(-count // folds)}


def test_validation_is_taken_out_of_what_a_fold_leaves() -> None:
    rows = table({"a": 60, "b": 40})
    for fold in range(1, 5):
        parts = divide({"train": rows}, Split(folds=4, validation=0.2), 5, {}, fold)
        assert [len(parts[split]) for split in ("train", "validation", "test")] == [55, 20, 25]
        assert sorted(number for part in parts.values() for number in numbers(part)) == list(range(100))
        assert parts["validation"]["label"].value_counts().to_dict() == {"a": 12, "b": 8}


def test_folds_are_those_of_their_seed() -> None:
    rows = table({"a": 60, "b": 40})
    first, again, other = ([numbers(part) for part in fold_rows(rows, seed, 5)] for seed in (1, 1, 2))
    assert first == again
    assert sum(one == two for one, two in zip(first, other, strict=True)) == 0


@PATIENT
@given(st.lists(st.integers(0, 8), min_size=60, max_size=90), st.integers(2, 4), st.booleans(), st.integers(0, 99))
def test_groups_are_whole_in_folds(groups: list[int], folds: int, stratify: bool, seed: int) -> None:
    rows = table({"a": 30, "b": len(groups) - 30}, [f"g{group}" for group in groups])
    assume(rows["group"].nunique() >= folds)
    by_label = rows.groupby("label")["group"].nunique()
    if stratify and by_label.min() < folds:
        assert "fewer than the" in refusal(lambda: fold_rows(rows, seed, folds))
        return
    found = fold_rows(rows, seed, folds, stratify=stratify)
    assert sorted(number for part in found for number in numbers(part)) == list(range(len(rows)))
    for one in range(folds):
        for two in range(one):
            assert not {*found[one]["group"]} & {*found[two]["group"]}


def test_rows_without_a_group_are_divided_one_by_one() -> None:
    groups: list[object] = [None if row % 2 else f"g{row % 5}" for row in range(60)]
    rows = table({"a": 30, "b": 30}, groups)
    parts = [divide({"train": rows}, Split(folds=3), 0, {}, fold)["test"] for fold in (1, 2, 3)]
    assert sum(len(part) for part in parts) == 60
    assert min(len(part) for part in parts) > 12
    assert [part["group"].str.startswith("\0").any() for part in parts] == [True] * 3


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (table({"a": 30, "b": 3}), {"folds": 5}, 'split.folds: label "b" is in 3 rows, fewer than the 5 folds; '
         "use fewer folds, set split.stratify = false, or add data"),
        (table({"a": 2, "b": 1}), {"folds": 5, "stratify": False}, "split.folds: 3 rows cannot be divided into 5 folds"),
        (table({"a": 20, "b": 20}, ["x", "y"] * 20), {"folds": 3}, "split.folds: 2 groups cannot be divided into 3 folds"),
        (table({"a": 20, "b": 20}, ["x", "y"] * 10 + ["z"] * 20), {"folds": 3},
         'split.folds: label "b" is in 1 group, fewer than the 3 folds'),
    ],
)  # fmt: skip
def test_too_few_rows_or_groups_for_the_folds(rows: pd.DataFrame, options: dict[str, object], message: str) -> None:
    if "group" in rows and 'label "b"' in message:
        rows = rows.assign(group=rows["label"].map({"a": "", "b": "z"}) + rows["group"].where(rows["label"] == "a", ""))
    assert refusal(lambda: divide({"train": rows}, Split(**options), 0, {}, 1)).startswith(message)


def test_a_dataset_with_a_test_split_has_no_folds() -> None:
    frames = {"train": table({"a": 20, "b": 20}), "test": table({"a": 5, "b": 5})}
    message = refusal(lambda: divide(frames, Split(folds=3), 0, {}, 1))
    assert message == (
        "split.folds: the dataset has a test split, so no fold of train would be tested; "
        "leave that out of the dataset, or remove split.folds"
    )


@pytest.mark.parametrize("given_test", [0, 0.1, 50])
def test_a_test_split_beside_folds_is_refused(given_test: float) -> None:
    (problem,) = Split(folds=4, test=given_test).problems()
    assert (
        str(problem)
        == f"test: {given_test:g} beside folds = 4: every row is a test row of one fold; remove it, or remove folds"
    )


@pytest.mark.parametrize("folds", [2, 3, 7, 10])
def test_a_spec_with_folds_is_written_so_that_it_can_be_read_again(folds: int) -> None:
    split = Split(folds=folds)
    assert list(split.problems()) == []
    assert split.test == 1 / folds
    assert Split(**split.model_dump(exclude_none=True)) == split


def test_nothing_is_left_for_train_beside_folds_and_validation() -> None:
    assert "nothing is left for train" in str(next(iter(Split(folds=2, validation=0.5).problems())))


def test_stratified_rows_are_a_sample_in_the_proportions_of_the_labels() -> None:
    labels = np.repeat([2, 0, 5], [600, 399, 1])
    rows = stratified_rows(labels, 100, seed=3)
    assert [int((labels[rows] == label).sum()) for label in (2, 0, 5)] == [60, 39, 1]
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == stratified_rows(labels, 100, seed=3).tolist() != stratified_rows(labels, 100, 4).tolist()
    assert stratified_rows(labels, 1000, 3).tolist() == [*range(1000)]
