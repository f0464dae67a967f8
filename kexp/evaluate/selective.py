"""Selective prediction: a model that abstains where it is unsure (Geifman & El-Yaniv 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kexp.errors import KexpError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Curve:
    """Coverage and accuracy of every threshold that makes a difference, the highest first; arrays of one length.

    A row is answered where its confidence is at least the threshold.
    """

    thresholds: NDArray[np.float64]
    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def check_threshold(threshold: float, labels: int, option: str = "abstain") -> str:
    """Return a warning about a threshold below which a model of some labels abstains; "" if it can make a difference.

    Raises ``KexpError`` for what is no probability.
    """
    if not 0 <= threshold <= 1:
        raise KexpError(f"{option} {threshold:g}: expected a probability, above 1/{labels} for {labels} labels")
    if threshold <= 1 / labels:
        return (
            f"{option} {threshold:g} never abstains: the largest of {labels} probabilities is at least "
            f"1/{labels} = {1 / labels:.4g}; use more"
        )
    return ""


def curve(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Curve:
    """Return the curve of accuracy by coverage; both arrays have shape (rows,), with at least one row.

    Rows of equal confidence are answered together.
    """
    import numpy as np

    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    answered = last + 1
    right = np.cumsum(correct[order])[last]
    return Curve(ranked[last], answered / len(confidence), right / answered)
