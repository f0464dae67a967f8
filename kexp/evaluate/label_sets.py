"""Decisions and scores where a row has any number of labels: targets of 0 and 1, a probability for each label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def candidates(truth: NDArray[Any], probabilities: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
    """Return the thresholds that decide differently for one label, with what each one finds.

    ``truth`` of shape (rows,) are 0 or 1. Returns thresholds (a row has the label from its threshold on), in
    descending order and midway between neighbouring probabilities; how many rows are found; how many of these rightly.
    """
    import numpy as np

    order = np.argsort(-probabilities, kind="stable")
    ranked, right = probabilities[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(ranked[1:] < ranked[:-1]), len(ranked) - 1)
    below = np.append(ranked[last[:-1] + 1], ranked[-1])
    middle = (ranked[last] + below) / 2
    # Of neighbouring floats the middle may be the lower one.
    thresholds = np.where(middle > below, middle, ranked[last])
    return thresholds, last + 1, right[last]


def best_f1_threshold(truth: NDArray[Any], probabilities: NDArray[np.float64], usual: float) -> float:
    """Return the threshold with the greatest F1 of one label; of equal ones the nearest to ``usual``."""
    import numpy as np

    thresholds, found, right = candidates(truth, probabilities)
    # As whole numbers, so that equal ones are equal: F1 = 2 TP / (found + true).
    f1 = 2 * right / (found + truth.sum())
    best = thresholds[f1 >= f1.max() * (1 - 1e-12)]
    return float(best[np.abs(best - usual).argmin()])


def precision_threshold(truth: NDArray[Any], probabilities: NDArray[np.float64], least: float) -> tuple[float, float]:
    """Return the lowest threshold at which the precision of one label is ``least`` or more, and that precision.

    Where none is, it is the one of the greatest precision, of equal ones the lowest.
    """
    import numpy as np

    thresholds, found, right = candidates(truth, probabilities)
    precision = right / found
    enough = np.flatnonzero(precision >= min(least, precision.max()) * (1 - 1e-12))
    return float(thresholds[enough[-1]]), float(precision[enough[-1]])


def row_losses(targets: NDArray[Any], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the binary cross entropy of each row in nats, as a mean over its labels; shape (rows,)."""
    import numpy as np

    true = np.where(targets == 1, probabilities, 1 - probabilities)
    losses: NDArray[np.float64] = -np.log(np.clip(true, np.finfo(np.float64).eps, 1)).mean(1)
    return losses


def scores_by_label(
    targets: NDArray[Any],
    probabilities: NDArray[np.float64],
    decided: NDArray[Any],
    names: Sequence[str],
    thresholds: Sequence[float],
) -> list[dict[str, Any]]:
    """Return the scores of each label as plain JSON; average precision and AUC are null where they are not defined."""
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    rows = []
    for number, name in enumerate(names):
        truth, given, found = targets[:, number], probabilities[:, number], decided[:, number]
        precision, recall, f1, _ = precision_recall_fscore_support(truth, found, average="binary", zero_division=0)
        both = 0 < truth.sum() < len(truth)
        rows.append(
            {
                "label": name,
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(f1),
                "average_precision": float(average_precision_score(truth, given)) if truth.any() else None,
                "auc": float(roc_auc_score(truth, given)) if both else None,
                "threshold": float(thresholds[number]),
                "support": int(truth.sum()),
                "predicted": int(found.sum()),
            }
        )
    return rows


def fit_one_vs_rest(
    name: str, texts: Sequence[str], targets: NDArray[np.int64], seed: int
) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """Fit the share of each label, or a logistic regression for each on tf-idf of character n-grams.

    Returns a function from texts to probabilities of shape (rows, labels); a label that all rows or none have keeps its
    share.
    """
    import numpy as np

    from kexp.evaluate.baselines import logistic_regression, ngram_features, read_part

    shares = targets.mean(0)
    if name == "majority":
        return lambda texts: np.tile(shares, (len(texts), 1))
    features = ngram_features()
    read = features.fit_transform(read_part(texts))
    learnt = {
        number: logistic_regression(seed).fit(read, targets[:, number])
        for number in range(targets.shape[1])
        if 0 < shares[number] < 1
    }

    def predict(texts: Sequence[str]) -> NDArray[np.float64]:
        probabilities = np.tile(shares, (len(texts), 1))
        read = features.transform(read_part(texts))
        for number, model in learnt.items():
            probabilities[:, number] = model.predict_proba(read)[:, 1]
        return probabilities

    return predict
