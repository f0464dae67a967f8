"""The task of rows with several labels: spelling, targets, thresholds chosen on validation, scores, baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, precision_score

from kexp.builtin.tasks.multi_label import MultiLabel
from kexp.errors import DataError

TASK = MultiLabel()
NAMES = ("나", "가", "다")


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (["b", "a"], "a|b"), (("b", "a", "b"), "a|b"), ({"b", "a"}, "a|b"), (np.array(["b", "a"]), "a|b"),
        ([], "(none)"), (np.array([]), "(none)"), (None, ""), (float("nan"), ""), ("", ""), ("  ", ""),
        ('["b", "a"]', "a|b"), ("['b', 'a']", "a|b"), ("[]", "(none)"), ("(none)", "(none)"), ("b|a", "a|b"),
        ("a", "a"), (3, "3"), ([2, 10, 1.0], "1|10|2"), ("[2, 10]", "10|2"), (["\u1100\u1161", "가"], "가"),
        ([True], "True"), ("2.0", "2"), ("(주) 회사", "(주) 회사"),
    ],
)  # fmt: skip
def test_a_set_is_spelled_once(value: Any, label: str) -> None:
    assert TASK.label_of(value) == label
    assert TASK.label_of(label) == label
    assert set(TASK.names_in(label)) == (set() if label in ("", "(none)") else set(label.split("|")))


@pytest.mark.parametrize(
    "value", [["a|b"], [None], [["a"]], ["a", ""], {"a": 1}, "a||b", "['a' 'b']", "[0 1]", [0.5], b"a"]
)
def test_what_is_no_set_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"found|holds"):
        TASK.label_of(value)


def test_targets_say_of_every_row_which_names_it_has() -> None:
    labels = ["가|나", "(none)", "", "다", "가|모름"]
    targets = TASK.encode(labels, NAMES)
    assert targets.dtype == np.int64
    assert targets.tolist() == [[1, 1, 0], [0, 0, 0], [-1] * 3, [0, 0, 1], [-1] * 3]
    assert TASK.known(targets).tolist() == [True, True, False, True, False]
    assert TASK.decode(targets, NAMES) == ["가|나", "(none)", "", "다", ""]
    assert TASK.unknown(labels, NAMES) == ["가|모름"]
    assert TASK.counts(targets, NAMES) == [1, 1, 1]


def test_names_are_numbered_by_the_dataset_else_by_value_or_alphabet() -> None:
    assert TASK.names({"10|2", "1", "(none)"}, None) == ("1", "2", "10")
    assert TASK.names({"b|a", "c"}, None) == ("a", "b", "c")
    assert TASK.names({"b|a", "(none)"}, ["c", "b", "a"]) == ("b", "a")
    with pytest.raises(DataError, match="no train row has a label"):
        TASK.need_variety({"(none)"})
    with pytest.raises(DataError, match="every train row has exactly"):
        TASK.need_variety({"a|b"})
    TASK.need_variety({"a", "(none)"})


def test_names_that_look_alike_or_like_a_missing_one_are_warned_of() -> None:
    assert TASK.warnings_of_labels({"a|b", "c"}) == []
    alike, missing = TASK.warnings_of_labels({"A|nan", "a"})
    assert alike.startswith("labels that look alike: ")
    assert 'write for a missing one: "nan"' in missing


def test_strata_are_the_names_and_rows_without_any() -> None:
    assert TASK.strata(["b", "a|b", "(none)"], 2).tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_predictions_are_sigmoids_without_overflow() -> None:
    logits = np.array([[-800.0, 0.0, 800.0], [1.5, -2.0, 40.0]])
    found = TASK.predictions(logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[1], 1 / (1 + np.exp(-logits[1])), rtol=1e-15)
    assert found[0].tolist() == [0, 0.5, 1]
    targets = np.array([[1, 0, 0], [1, 0, 1]])
    assert np.isfinite(TASK.losses(targets, found)).all()


def test_the_loss_of_a_row_is_the_mean_binary_cross_entropy_of_its_labels() -> None:
    generator = np.random.default_rng(0)
    targets, given = generator.integers(0, 2, (50, 4)), generator.random((50, 4))
    expected = [
        log_loss(truth, np.stack([1 - p, p], 1), labels=[0, 1]) for truth, p in zip(targets, given, strict=True)
    ]
    np.testing.assert_allclose(TASK.losses(targets, given), expected)


def validation(rows: int, seed: int) -> tuple[Any, Any]:
    """Return targets and rounded probabilities, some equal, that are right more often than not."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((rows, 3)) < [0.5, 0.2, 0.05]).astype(np.int64)
    given = np.round(np.clip(targets * 0.3 + generator.random((rows, 3)) * 0.7, 0, 1), 2)
    return targets, given


@pytest.mark.parametrize("seed", range(12))
def test_best_f1_is_that_of_no_worse_threshold_and_the_nearest_to_the_usual_one(seed: int) -> None:
    targets, given = validation([1, 7, 60, 300][seed % 4], seed)
    task = MultiLabel(thresholds="best-f1", threshold=0.4)
    chosen = task.choose(targets, given, NAMES)
    assert chosen["by"] == "best-f1"
    assert list(chosen["thresholds"]) == list(NAMES)
    decided = task.decide(given, chosen)
    for place, name in enumerate(NAMES):
        truth = targets[:, place]
        if not truth.any():
            assert chosen["thresholds"][name] == 0.4
            continue
        # Every decision that a threshold can make, one by one.
        levels = [*np.unique(given[:, place]), 2]
        best = max(f1_score(truth, given[:, place] >= level, zero_division=0) for level in levels)
        assert f1_score(truth, decided[:, place], zero_division=0) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_precision_is_reached_with_as_many_rows_as_it_allows(seed: int) -> None:
    targets, given = validation([5, 20, 60, 300][seed % 4], seed)
    task = MultiLabel(thresholds="precision", precision=0.8)
    chosen = task.choose(targets, given, NAMES)
    decided = task.decide(given, chosen)
    for place in range(3):
        truth = targets[:, place]
        if not truth.any():
            continue
        levels = np.unique(given[:, place])
        reached = {level: precision_score(truth, given[:, place] >= level) for level in levels}
        enough = [level for level, value in reached.items() if value >= min(0.8, max(reached.values())) - 1e-12]
        assert decided[:, place].tolist() == (given[:, place] >= min(enough)).astype(int).tolist()


def test_a_precision_that_is_not_reached_and_labels_without_rows_are_remarked_on() -> None:
    targets = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    given = np.array([[0.2, 0.5, 0.9], [0.8, 0.5, 0.8], [0.9, 0.5, 0.7]])
    chosen = MultiLabel(thresholds="precision", threshold=0.3).choose(targets, given, NAMES)
    assert chosen["thresholds"]["가"] == 0.3
    assert chosen["remarks"] == [
        "no validation row has 가; the threshold is 0.3",
        "no threshold reaches precision 0.9 on validation for 나, 다; the nearest is taken",
    ]


def test_fixed_thresholds_choose_nothing_and_are_reached_at_equality() -> None:
    task = MultiLabel(threshold=0.25)
    assert task.choose(*validation(20, 1), NAMES) == {}
    assert task.decide(np.array([[0.25, 0.2499, 1.0]]), {}).tolist() == [[1, 0, 1]]
    chosen = {"thresholds": dict(zip(NAMES, (0.9, 0.1, 0.5), strict=True)), "by": "best-f1"}
    assert task.decide(np.array([[0.8, 0.2, 0.5]]), chosen).tolist() == [[0, 1, 1]]


def test_details_and_columns_use_the_chosen_thresholds() -> None:
    targets, given = validation(200, 5)
    task = MultiLabel(thresholds="best-f1")
    chosen = task.choose(targets, given, NAMES)
    details = task.details(targets, given, NAMES, chosen)
    decided = task.decide(given, chosen)
    for place, row in enumerate(details["per_label"]):
        assert row["label"] == NAMES[place]
        assert row["threshold"] == chosen["thresholds"][NAMES[place]]
        assert row["f1"] == pytest.approx(f1_score(targets[:, place], decided[:, place]))
        assert (row["support"], row["predicted"]) == (targets[:, place].sum(), decided[:, place].sum())
        ranked = [(a, b) for a in given[targets[:, place] == 1, place] for b in given[targets[:, place] == 0, place]]
        assert row["auc"] == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a, b in ranked]))
    pairs = [[sum(row[a] & row[b] for row in targets) for b in range(3)] for a in range(3)]
    assert details["co_occurrence"] == pairs
    columns = task.columns(targets, given, NAMES, chosen)
    assert columns["predicted"] == task.decode(decided, NAMES)
    again = task.read_columns(columns, NAMES)
    np.testing.assert_array_equal(again[0], targets)
    np.testing.assert_array_equal(again[1], given)
    with pytest.raises(ValueError, match="none of"):
        task.read_columns({**columns, "label": ["모름"] * 200}, NAMES)
    with pytest.raises(KeyError):
        task.read_columns({"label": columns["label"]}, NAMES)


def test_scores_of_labels_that_no_row_or_every_row_has_are_null() -> None:
    targets = np.array([[0, 1], [0, 1]])
    rows = TASK.details(targets, np.array([[0.1, 0.9], [0.2, 0.8]]), ("a", "b"), {})["per_label"]
    assert [row["auc"] for row in rows] == [None, None]
    assert [row["average_precision"] for row in rows] == [None, 1.0]


def test_baselines_are_shares_and_a_regression_for_each_label() -> None:
    texts = [f"{'좋다 ' * (n % 2)}{'길다 ' * (n % 3 == 0)}{n}" for n in range(90)]
    targets = np.array([[n % 2, int(n % 3 == 0), 0] for n in range(90)])
    shares = TASK.fit_baseline("majority", texts, targets, NAMES, 1)(["가", "나"])
    np.testing.assert_allclose(shares, [[0.5, 1 / 3, 0]] * 2)
    predict = TASK.fit_baseline("tfidf-logreg", texts, targets, NAMES, 1)
    found = predict(texts)
    assert found.shape == (90, 3)
    assert ((found >= 0.5) == targets).mean() > 0.99
    assert not found[:, 2].any()

    from kexp.evaluate.baselines import ngram_features

    read = ngram_features().fit_transform(texts)
    alone = LogisticRegression(C=4.0, solver="newton-cg", max_iter=1000).fit(read, targets[:, 1])
    np.testing.assert_allclose(found[:, 1], alone.predict_proba(read)[:, 1], atol=1e-4)
