"""Metrics as means over rows, so that the spread of a metric between rows is that of a mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Ids: TypeAlias = NDArray[np.int64]
    Numbers: TypeAlias = NDArray[np.float64]
    Targets: TypeAlias = NDArray[Any]
    RowScores: TypeAlias = Callable[[Targets, Numbers], Numbers]


def accuracy(labels: Ids, probabilities: Numbers) -> Numbers:
    """Return 1 for every row whose most probable label is the true one, else 0."""
    correct: Numbers = (probabilities.argmax(1) == labels).astype("float64")
    return correct


def cross_entropy(labels: Ids, probabilities: Numbers) -> Numbers:
    """Return the negative log probability of every row's true label, in nats."""
    import numpy as np

    true = probabilities[np.arange(len(labels)), labels]
    scores: Numbers = -np.log(np.clip(true, np.finfo(np.float64).eps, 1))
    return scores


def mse(labels: Targets, probabilities: Numbers) -> Numbers:
    """Return the squared difference between every row's probabilities and its one-hot label, averaged over labels.

    Of numbers it is the squared error.
    """
    scores: Numbers = ((wanted(labels, probabilities) - probabilities) ** 2).mean(1)
    return scores


def mae(labels: Targets, probabilities: Numbers) -> Numbers:
    """Return the absolute difference between every row's probabilities and its one-hot label, averaged over labels.

    Of numbers it is the absolute error.
    """
    import numpy as np

    scores: Numbers = np.abs(wanted(labels, probabilities) - probabilities).mean(1)
    return scores


def wanted(labels: Targets, predictions: Numbers) -> Numbers:
    """Return the predictions that are right: of label ids the one-hot vectors, of numbers themselves, (rows, 1)."""
    import numpy as np

    if labels.dtype.kind == "f":
        return labels[:, None]
    one_hot: Numbers = np.eye(predictions.shape[1])[labels]
    return one_hot


def macro_f1(labels: Ids, probabilities: Numbers) -> Numbers:
    """Return macro-F1 plus the influence of every row on it (the infinitesimal jackknife, Jaeckel 1972; Efron 1982).

    The influences sum to 0, and their spread is that of macro-F1, whose dependence on the shares of true and predicted
    labels is taken as linear.
    """
    import numpy as np

    size = probabilities.shape[1]
    f1, influence = _f1(labels, probabilities.argmax(1), np.full(size, 1 / size))
    scores: Numbers = f1.mean() + influence
    return scores


def weighted_f1(labels: Ids, probabilities: Numbers) -> Numbers:
    """Return F1 weighted by the rows of each label, plus the influence of every row on it, as for macro-F1."""
    import numpy as np

    shares = np.bincount(labels, minlength=probabilities.shape[1]) / len(labels)
    f1, influence = _f1(labels, probabilities.argmax(1), shares)
    # A row adds to the share of its own label, too, and takes from the others.
    scores: Numbers = f1[labels] + influence
    return scores


def _f1(labels: Ids, predicted: Ids, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Return F1 of every label, and the influence of every row on their mean with fixed weights.

    F1 is 2 TP / (support + predicted); a label that neither occurs nor is predicted counts as 0, as in the metric.
    """
    import numpy as np

    size, right = len(weights), labels == predicted
    either = np.maximum(np.bincount(labels, minlength=size) + np.bincount(predicted, minlength=size), 1)
    f1 = 2 * np.bincount(labels[right], minlength=size) / either
    weights = weights * len(labels) / either
    influence = 2 * right * weights[labels] - (f1 * weights)[labels] - (f1 * weights)[predicted]
    return f1, influence


ROW_SCORES: Mapping[str, RowScores] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "cross_entropy": cross_entropy,
    "mse": mse,
    "mae": mae,
}
"""By metric, a function of label ids (rows,) and probabilities (rows, labels) to scores (rows,) whose mean it is."""
