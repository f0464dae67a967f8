"""Measures of ordered classes: targets and decisions are ids, whose distance says how wrong a decision is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kexp.evaluate.answers import Answers, Measure, Weighted, mean_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kexp.evaluate.answers import Numbers


def rank_error(answers: Answers) -> Numbers:
    """Return by how many classes every row's decision is off."""
    errors: Numbers = abs(answers.decided - answers.targets).astype("float64")
    return errors


def _kappa_parts(answers: Answers) -> tuple[Numbers, Numbers, Numbers]:
    """Return one-hot targets and decisions, of shape (rows, classes), and the squared distances between classes."""
    import numpy as np

    size = answers.predictions.shape[1]
    places = np.arange(size)
    distances = (places[:, None] - places[None]).astype("float64") ** 2
    eye = np.eye(size)
    return eye[answers.targets], eye[answers.decided], distances


def _kappa_scores(answers: Answers) -> Numbers:
    """Return Cohen's kappa with quadratic weights, plus the influence of every row on it."""
    true, decided, distances = _kappa_parts(answers)
    of_true, of_decided = true.mean(0), decided.mean(0)
    seen = (true @ distances * decided).sum(1)
    expected = float(of_true @ distances @ of_decided)
    if not expected:
        # Where all rows have one class and are decided for it, nothing is left to agree on: 0, as in the metric.
        nothing: Numbers = 0 * seen
        return nothing
    observed = float(seen.mean())
    moved = true @ (distances @ of_decided) + decided @ (distances @ of_true) - 2 * expected
    scores: Numbers = 1 - observed / expected - (seen - observed) / expected + observed / expected**2 * moved
    return scores


def _weighted_kappa(answers: Answers) -> Weighted:
    import numpy as np

    true, decided, distances = _kappa_parts(answers)
    seen = (true @ distances * decided).sum(1)

    def measure(weights: NDArray[np.float64]) -> Numbers:
        total = weights.sum(1)
        expected = ((weights @ true) @ distances * (weights @ decided)).sum(1) / total
        found: Numbers = np.where(expected > 0, 1 - weights @ seen / np.where(expected > 0, expected, 1.0), 0.0)
        return found

    return measure


ORDER_MEASURES: Mapping[str, Measure] = {
    "rank_mae": mean_of(rank_error),
    "quadratic_kappa": Measure(_kappa_scores, _weighted_kappa),
}
