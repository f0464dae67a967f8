"""Measures of label sets: targets and decisions are 0 or 1 for every label of a row, of shape (rows, names)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp.evaluate.answers import Answers, Measure, Weighted, mean_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kexp.evaluate.answers import Numbers

    Counts = tuple[Numbers, Numbers, Numbers]


def subset_accuracy(answers: Answers) -> Numbers:
    """Return 1 for every row whose whole set is right, else 0."""
    right: Numbers = (answers.decided == answers.targets).all(1).astype("float64")
    return right


def hamming_loss(answers: Answers) -> Numbers:
    """Return the share of the labels that are wrong in every row."""
    wrong: Numbers = (answers.decided != answers.targets).mean(1)
    return wrong


def samples_f1(answers: Answers) -> Numbers:
    """Return F1 of every row's set, 2 right / (true + decided); 1 where both sets are empty, as in the metric."""
    true, decided, both = (of.sum(1) for of in _counted(answers))
    scores: Numbers = (2 * both + (true + decided == 0)) / (true + decided).clip(min=1)
    return scores


def lrap(answers: Answers) -> tuple[Numbers, Numbers]:
    """Return the label ranking average precision of every row (Tsoumakas et al. 2010), and 1 for rows that have one.

    It is the mean, over the true labels of a row, of the share of true labels among those predicted at least as high.
    Where all labels or none are true, nothing can be ranked wrongly: such rows have 0 and do not count, as in the
    metric.
    """
    import numpy as np

    scores, ranked = np.zeros(len(answers)), np.zeros(len(answers))
    for row, (true, values) in enumerate(zip(answers.targets == 1, answers.predictions, strict=True)):
        own = np.sort(values[true])
        if len(own) in (0, len(values)):
            continue
        every, ranked[row] = np.sort(values), 1
        ranks = len(values) - np.searchsorted(every, own, side="left")
        scores[row] = ((len(own) - np.searchsorted(own, own, side="left")) / ranks).mean()
    return scores, ranked


def _lrap_scores(answers: Answers) -> Numbers:
    import numpy as np

    found, ranked = lrap(answers)
    if not ranked.any():
        return np.ones(len(answers))
    value = found.sum() / ranked.sum()
    scores: Numbers = value + (found - value * ranked) / ranked.mean()
    return scores


def _weighted_lrap(answers: Answers) -> Weighted:
    import numpy as np

    found, ranked = lrap(answers)

    def measure(weights: NDArray[np.float64]) -> Numbers:
        count = weights @ ranked
        mean: Numbers = np.where(count > 0, weights @ found / np.maximum(count, 1), 1.0)
        return mean

    return measure


def _counted(answers: Answers) -> Counts:
    """Return which labels each row has, which are decided for, and which of these are right, of shape (rows, names)."""
    true, decided = answers.targets.astype("float64"), answers.decided.astype("float64")
    return true, decided, true * decided


def _f1(true: Numbers, decided: Numbers, both: Numbers) -> tuple[Numbers, Numbers]:
    """Return F1 from counts, 0 for a label that neither occurs nor is decided for, and the sum it is divided by."""
    import numpy as np

    either = np.maximum(true + decided, 1)
    return 2 * both / either, either


def _f1_influences(true: Numbers, decided: Numbers, both: Numbers) -> tuple[Numbers, Numbers]:
    """Return F1 of every label (names,), and the influence of every row on each (rows, names)."""
    f1, either = _f1(true.sum(0), decided.sum(0), both.sum(0))
    return f1, len(true) * (2 * both - f1 * (true + decided)) / either


def _macro_scores(answers: Answers) -> Numbers:
    f1, influence = _f1_influences(*_counted(answers))
    scores: Numbers = f1.mean() + influence.mean(1)
    return scores


def _weighted_scores(answers: Answers) -> Numbers:
    true, decided, both = _counted(answers)
    f1, influence = _f1_influences(true, decided, both)
    support = max(true.sum(), 1.0)
    shares, value = true.sum(0) / support, float(f1 @ true.sum(0) / support)
    # A row adds to the shares of its own labels, too.
    own = len(true) * (true @ f1 - value * true.sum(1)) / support
    scores: Numbers = value + influence @ shares + own
    return scores


def _micro_scores(answers: Answers) -> Numbers:
    f1, influence = _f1_influences(*(of.sum(1, keepdims=True) for of in _counted(answers)))
    scores: Numbers = f1[0] + influence[:, 0]
    return scores


def _weighted_counts(answers: Answers, average: str) -> Weighted:
    counts = _counted(answers)

    def measure(weights: NDArray[np.float64]) -> Numbers:
        import numpy as np

        true, decided, both = (weights @ of for of in counts)
        if average == "micro":
            true, decided, both = (of.sum(1, keepdims=True) for of in (true, decided, both))
        f1, _ = _f1(true, decided, both)
        if average == "weighted":
            found: Numbers = (f1 * true).sum(1) / np.maximum(true.sum(1), 1)
            return found
        mean: Numbers = f1.mean(1)
        return mean

    return measure


LABEL_SET_MEASURES: Mapping[str, Measure] = {
    "macro_f1": Measure(_macro_scores, lambda answers: _weighted_counts(answers, "macro")),
    "weighted_f1": Measure(_weighted_scores, lambda answers: _weighted_counts(answers, "weighted")),
    "micro_f1": Measure(_micro_scores, lambda answers: _weighted_counts(answers, "micro")),
    "samples_f1": mean_of(samples_f1),
    "subset_accuracy": mean_of(subset_accuracy),
    "hamming_loss": mean_of(hamming_loss),
    "lrap": Measure(_lrap_scores, _weighted_lrap),
}
"""By metric; areas under curves have none, since no row alone counts something in them."""
