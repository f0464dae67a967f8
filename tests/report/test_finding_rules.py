"""The rules that put numbers into words: each with what it must find, and with what is healthy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kexp.report.finding_rules import (
    Score,
    Spread,
    below_baseline,
    cause_in_curve,
    collapsed_class,
    generalisation_gap,
    noisy_difference,
    nothing_learnt,
    overfitting,
    short_max_length,
    tells_labels_apart,
    tiny_validation,
    underfitting,
    unlearnt_classes,
)

F1, LOSS = Score("macro_f1", lower=False), Score("cross_entropy", lower=True)


def curve(*points: tuple[float | None, float | None, float | None]) -> list[dict[str, Any]]:
    """Return an evaluation per epoch from its training loss, validation loss and macro F1."""
    return [
        {
            "epoch": float(number),
            "train_loss": train,
            "validation_loss": loss,
            "train": {},
            "validation": {"macro_f1": f1, "cross_entropy": loss},
        }
        for number, (train, loss, f1) in enumerate(points, 1)
    ]


HEALTHY = curve((0.52, 0.38, 0.83), (0.33, 0.33, 0.871), (0.25, 0.34, 0.878))
RISING = curve((0.69, 0.68, 0.50), (0.66, 0.64, 0.56), (0.63, 0.61, 0.61))
OVERFITTED = curve((0.6, 0.5, 0.7), (0.4, 0.45, 0.8), (0.2, 0.6, 0.79), (0.1, 0.7, 0.78))


def test_distance_and_cause_of_a_result_below_the_linear_baseline() -> None:
    cause = cause_in_curve(F1, RISING)
    assert below_baseline(F1, 0.61, {"majority": 0.33, "tfidf-logreg": 0.83}, cause) == (
        "22 points below the linear baseline (macro_f1 0.610 against 0.830); "
        "validation still rising at the last epoch: more epochs or a higher learning rate"
    )
    text = below_baseline(F1, 0.333, {"majority": 0.333, "tfidf-logreg": 0.348})
    assert text.startswith(
        "1.5 points below the linear baseline (macro_f1 0.333 against 0.348) and no better than the "
    )
    assert "majority baseline (macro_f1 0.333 against 0.333); its curves show no cause" in text
    loss = below_baseline(LOSS, 0.7, {"tfidf-logreg": 0.5})
    assert loss.startswith("0.200 above the linear baseline (cross_entropy 0.700 against 0.500)")
    assert below_baseline(F1, 0.5, {"mine": 0.6}).startswith("10 points below the baseline mine")


@pytest.mark.parametrize(
    ("score", "mean", "baselines"),
    [
        (F1, 0.83, {"majority": 0.33, "tfidf-logreg": 0.82}),
        (F1, 0.825, {"majority": 0.33, "tfidf-logreg": 0.83}),  # half a point
        (F1, 0.992, {"majority": 0.99}),  # a fifth of what was left to gain
        (F1, 0.9, {}),
        (LOSS, 0.51, {"majority": 0.69, "tfidf-logreg": 0.5}),
        (LOSS, 0.3, {"majority": 0.69, "tfidf-logreg": 0.5}),
    ],
)
def test_a_result_as_good_as_the_baselines_is_not_remarked(
    score: Score, mean: float, baselines: dict[str, float]
) -> None:
    assert below_baseline(score, mean, baselines) == ""


def test_the_cause_is_what_the_curve_shows() -> None:
    assert cause_in_curve(F1, OVERFITTED).startswith("it overfits: more labelled rows")
    assert cause_in_curve(F1, RISING[:1]).startswith("it was trained for one epoch alone")
    falling = curve((0.6, 0.5, 0.8), (0.59, 0.5, 0.79))
    assert cause_in_curve(F1, falling) == cause_in_curve(F1, []) == ""


def test_validation_that_still_rises_is_underfitting() -> None:
    assert underfitting(F1, RISING, rows=1000) == (
        "underfitting: validation macro_f1 still rises at the last epoch, by 5.0 points from epoch 2 to 3 "
        "(0.560 to 0.610): more epochs or a higher learning rate"
    )
    by_loss = underfitting(LOSS, curve((0.9, 0.9, 0.5), (0.7, 0.6, 0.5)))
    assert "validation cross_entropy still falls at the last epoch, by 0.300" in by_loss
    # A rise within the chance of 40 rows (7.7 points), one that is small, and one that ends before the end.
    assert underfitting(F1, RISING, rows=40) == underfitting(F1, HEALTHY, rows=1000) == ""
    assert underfitting(F1, [*RISING, *curve((0.5, 0.6, 0.6))]) == ""
    assert underfitting(F1, RISING[:1]) == underfitting(F1, curve((None, None, None))) == ""


def test_several_evaluations_an_epoch_are_compared_an_epoch_apart() -> None:
    often = curve((0.7, 0.7, 0.5), (0.7, 0.6, 0.60), (0.6, 0.6, 0.61))
    for number, one in enumerate(often):
        one["epoch"] = 1 + number / 2
    assert "by 11 points from epoch 1 to 2 (0.500 to 0.610)" in underfitting(F1, often)


def test_losses_that_do_not_fall_have_learnt_nothing() -> None:
    flat = curve((0.694, 0.693, 0.33), (0.693, 0.693, 0.34), (0.692, 0.692, 0.34))
    text = nothing_learnt(flat, math.log(2), 1e-6)
    assert "training loss goes from 0.694 to 0.692 and the validation loss ends at 0.692" in text
    assert text.endswith("gives 0.693: a higher learning rate (it is 1e-06), or more epochs")
    assert nothing_learnt(flat, math.log(2), 5e-3).endswith("another learning rate (it is 0.005), or more epochs")
    assert nothing_learnt(HEALTHY, math.log(2), 5e-5) == ""
    assert nothing_learnt(curve((0.05, 0.05, 0.99), (0.05, 0.05, 0.99)), math.log(2), 5e-5) == ""  # learnt at once
    assert nothing_learnt(flat[:1], math.log(2), None) == nothing_learnt(flat, None, None) == ""


def test_a_model_that_tells_labels_apart_has_learnt() -> None:
    assert tells_labels_apart([[14, 2], [0, 16]])
    assert not tells_labels_apart([[16, 0], [16, 0]])
    assert not tells_labels_apart([[9, 7], [6, 10]])  # chance of 32 rows
    assert tells_labels_apart([[600, 400], [300, 700]])
    assert not tells_labels_apart([[540, 460], [460, 540]])
    assert not tells_labels_apart([[95, 0], [5, 0]])
    assert not tells_labels_apart([])
    assert not tells_labels_apart([[16, 0], [0, 0]])


def test_validation_loss_that_rises_while_training_loss_falls_is_overfitting() -> None:
    assert overfitting(OVERFITTED).startswith(
        "overfitting: after epoch 2 the validation loss rises from 0.450 to 0.700 "
        "while the training loss falls from 0.400 to 0.100: fewer epochs, more labelled rows"
    )
    before = [{**one, "validation_loss": None} for one in OVERFITTED]  # events of earlier versions
    assert overfitting(before) == overfitting(OVERFITTED)


@pytest.mark.parametrize(
    "evaluations",
    [
        [],
        HEALTHY,
        OVERFITTED[:2],  # still falling
        curve((0.4, 0.45, 0.8), (0.5, 0.6, 0.7)),  # both rise: training diverges
        curve((0.4, 0.45, 0.8), (0.3, 0.48, 0.8)),  # by less than a tenth
        curve((None, None, 0.7), (0.3, None, 0.7)),
        curve((0.02, 0.010, 0.99), (0.01, 0.014, 0.99)),  # by next to nothing, although by two fifths
    ],
)
def test_other_curves_are_not(evaluations: list[dict[str, Any]]) -> None:
    assert overfitting(evaluations) == ""


def test_a_gap_between_training_and_validation_is_overfitting() -> None:
    text = generalisation_gap(F1, 0.99, 0.75)
    assert text.startswith("overfitting: macro_f1 is 0.990 on training rows and 0.750 on validation, 24 points apart")
    for train, validation in ((0.95, 0.85), (0.7, 0.9), (None, 0.7), (0.9, None)):
        assert generalisation_gap(F1, train, validation) == ""
    assert generalisation_gap(LOSS, 0.9, 0.1) == ""


def test_a_model_that_knows_one_label_has_collapsed() -> None:
    assert collapsed_class(["부정", "긍정"], [[0, 50], [0, 50]], 5e-5).startswith(
        "collapsed to one label: all 100 predictions are 긍정, the label of 50% of the rows: "
        "another learning rate (it is 5e-05), a longer warm-up"
    )
    assert "98 of 100 predictions are b" in collapsed_class(["a", "b"], [[2, 48], [0, 50]])
    # Rare labels are seldom predicted by a sound model; few rows say nothing.
    assert collapsed_class(["a", "b"], [[2, 3], [0, 95]]) == ""
    assert collapsed_class(["a", "b"], [[0, 4], [0, 96]]) == ""
    assert collapsed_class(["a", "b"], [[40, 10], [5, 45]]) == collapsed_class(["a", "b"], []) == ""
    assert collapsed_class([], []) == ""


def test_a_label_without_a_right_prediction_is_not_learnt() -> None:
    matrix = [[50, 0, 0], [12, 0, 3], [2, 0, 30]]
    text = unlearnt_classes(["좋음", "보통", "나쁨"], matrix)
    assert text.startswith("a label is not learnt: 보통 (recall 0 on 15 rows, never predicted): more rows of it")
    wrong = unlearnt_classes(["a", "b", "c"], [[40, 10, 0], [15, 0, 0], [15, 0, 0]])
    assert "2 labels are not learnt: b (recall 0 on 15 rows, predicted 10 times, always wrong); c (" in wrong
    # More rows of a label or a greater weight help a rare one alone.
    assert wrong.endswith(": they are not rare: more epochs or another learning rate")
    assert unlearnt_classes(["a", "b"], []) == ""
    assert unlearnt_classes(["a", "b", "c"], [[20, 0, 0], [0, 20, 0], [9, 10, 0]]).endswith(
        "c (recall 0 on 19 rows, never predicted): it is not rare: more epochs or another learning rate"
    )
    assert unlearnt_classes(["a", "b"], [[50, 0], [9, 0]]) == ""  # nine rows
    assert unlearnt_classes(["a", "b"], [[50, 5], [14, 1]]) == ""
    # Said already.
    assert unlearnt_classes(["a", "b"], [[50, 0], [50, 0]]) == ""


def test_rows_that_are_cut_ask_for_a_longer_max_length() -> None:
    assert short_max_length(1500, 570, 8, 40.4) == (
        "38% of the training rows (570 of 1,500) are cut at max_length = 8: max_length = 41 would cut 5 %"
    )
    assert short_max_length(100, 10, None, None).endswith("are cut at max_length: a larger one")
    # No backbone reads more than its positions.
    assert "cut 5 %" not in short_max_length(1500, 570, 128, 3000.0, 512)
    assert short_max_length(1500, 570, 128, 3000.0, 512).endswith(
        "max_length = 128: up to the 512 positions of the backbone, beyond which it takes a backbone that reads longer texts"
    )
    for high in (3000.0, 512.0, None):
        assert short_max_length(1500, 570, 512, high, 512).endswith(
            "max_length = 512: the backbone has no more positions: another one that reads longer texts, or shorter rows"
        )
    for high in (511.2, 512.0):
        assert short_max_length(1500, 570, 128, high, 512).endswith("max_length = 512 would cut 5 %")
    assert short_max_length(1500, 570, 128, None, 512).endswith("max_length = 128: a larger one")
    assert short_max_length(1500, 149, 8, 40) == short_max_length(0, 0, 8, None) == ""


def test_noise_larger_than_the_difference() -> None:
    pair = {"a": Spread(0.80, 0.02, "3 seeds"), "b": Spread(0.81, 0.03, "3 seeds")}
    # 2 ((1.96 + 0.84) 0.025495 / 0.01)^2 = 101.9; with a difference twice as large a quarter of it.
    assert noisy_difference(F1, pair) == (
        "noise: a and b differ in macro_f1 by less than the runs of one variant do (1.0 points against a standard "
        "deviation of 2.5 points over 3 seeds): choose by something else, such as time, or compare on more test rows"
    )
    farther = {**pair, "b": Spread(0.82, 0.03, "3 seeds")}
    assert noisy_difference(F1, farther).endswith("some 26 seeds of each would be needed to tell them apart")
    # What is over folds or draws depends on more than seeds, and is not independent.
    for over in ("5 folds", "3 folds x 2 seeds", "5 label draws", "2 label draws x 3 seeds"):
        shared = {name: Spread(of.mean, of.sd, over) for name, of in farther.items()}
        assert noisy_difference(F1, shared).endswith(
            f"over {over}): choose by something else, such as time, or compare with more seeds or on more test rows"
        )
    three = {**pair, "c": Spread(0.9, 0.01, "3 seeds"), "d": Spread(0.9, 0.01, "3 seeds")}
    assert "noise: 2 of 6 pairs of variants differ in macro_f1" in noisy_difference(F1, three)
    assert noisy_difference(F1, pair, [("b", "a")]) == ""  # a test told them apart
    assert noisy_difference(F1, {"a": pair["a"], "b": Spread(0.9, 0.02, "3 seeds")}) == ""
    assert noisy_difference(F1, {"a": Spread(0.8, None, "1 seed"), "b": Spread(0.8, None, "1 seed")}) == ""
    assert noisy_difference(F1, {}) == ""


def test_few_validation_rows_choose_by_chance() -> None:
    # Wilson's interval of 24 in 30, by hand: (0.8 + 1.92 / 30 ± 1.96 sqrt(0.16 / 30 + 0.96 / 900)) / (1 + 3.84 / 30).
    assert tiny_validation(F1, 30, 0.8, 0.033).startswith(
        "tiny validation: on 30 rows the 95 % interval of macro_f1 is 0.63 to 0.90, wider than the 3.3 points by which "
        "the kept epoch is ahead of the next"
    )
    assert tiny_validation(F1, 30, 0.8, 0.033).endswith(": a larger split.validation, or split.folds")
    again = tiny_validation(F1, 30, 0.8, 0.033, of="small", folds=True)
    assert "interval of macro_f1 of small is 0.63" in again
    assert again.endswith(": a larger split.validation")
    # A correlation is no share of the rows.
    assert tiny_validation(Score("mcc", lower=False), 30, 0.8, 0.033) == ""
    assert tiny_validation(F1, 2000, 0.8, 0.001) == ""
    assert tiny_validation(F1, 30, 0.8, 0.4) == ""  # nobody doubts that
    assert tiny_validation(F1, 30, 0.8, None) == tiny_validation(F1, 0, 0.8, 0.1) == tiny_validation(F1, 30, None, 0.1)
    assert tiny_validation(LOSS, 30, 0.8, 0.01) == tiny_validation(F1, 0, None, None) == ""
