from __future__ import annotations

import numpy as np
import pytest

from kexp.train.pseudo_label_stats import PseudoLabelStats


def health(predicted: list[int], labels: list[int], expected: tuple[float, ...] = (0.5, 0.5)) -> PseudoLabelStats:
    probabilities = np.full((len(predicted), len(expected)), 0.1)
    probabilities[np.arange(len(predicted)), predicted] = 0.9
    return PseudoLabelStats.of(np.array(labels), probabilities, expected)


def test_numbers_are_those_of_a_plain_count() -> None:
    found = health([0, 0, 0, 1], [0, 1, -1, 1])
    assert found.shares == [0.75, 0.25]
    assert found.oracle_accuracy == pytest.approx(2 / 3)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert found.numbers() == pytest.approx(
        {"oracle_accuracy": 2 / 3, "confidence": 0.9, "balance": entropy, "largest_share": 0.75}
    )


def test_unknown_labels_give_no_accuracy() -> None:
    assert "oracle_accuracy" not in health([0, 1], [-1, -1]).numbers()


def test_falling_accuracy_is_warned_of_with_both_figures() -> None:
    found = health([0, 1, 0, 1], [0, 1, 1, 1])
    assert found.warnings(("부정", "긍정"), best=0.76) == []
    (warning,) = found.warnings(("부정", "긍정"), best=0.8)
    assert warning.startswith(
        "pseudo-labels are getting worse: 0.750 of the unlabelled rows right, 0.800 at best (by their hidden labels, an "
        "oracle); "
    )


def test_collapse_is_warned_of_with_the_label() -> None:
    (warning,) = health([1] * 9 + [0], [-1] * 10).warnings(("부정", "긍정"), best=None)
    assert warning.startswith('pseudo-labels lean to "긍정": 90% of the unlabelled rows, 50% of the labelled rows; ')
    assert health([1, 1, 1, 0, 0], [-1] * 5).warnings(("부정", "긍정"), best=None) == []


def test_uneven_classes_are_no_collapse() -> None:
    assert health([1] * 9 + [0], [-1] * 10, expected=(0.1, 0.9)).warnings(("a", "b"), best=None) == []
