"""Calibration: how confidence compares with accuracy, and temperature scaling, which corrects it (Guo et al. 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LOWEST, HIGHEST = 0.01, 100.0
"""Bounds of a fitted temperature."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with a confidence in (low, high]: their number, mean confidence and accuracy; both are 0 without rows."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def expected_calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> float:
    """Return the mean gap between confidence and accuracy over equal bins, weighted by their rows (eq. 3).

    ``confidence`` and ``correct`` have shape (rows,), with at least one row.
    """
    import numpy as np

    number = _bin_numbers(confidence, bins)
    gap = np.bincount(number, weights=correct.astype(float) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> list[Bin]:
    """Return the bins of a reliability diagram (figure 1); both arrays have shape (rows,)."""
    import numpy as np

    number = _bin_numbers(confidence, bins)
    rows = np.bincount(number, minlength=bins)
    sums = (np.bincount(number, weights=of, minlength=bins) for of in (confidence, correct.astype(float)))
    means = [of / np.maximum(rows, 1) for of in sums]
    return [
        Bin(at / bins, (at + 1) / bins, int(n), float(mean), float(accuracy))
        for at, (n, mean, accuracy) in enumerate(zip(rows, *means, strict=True))
    ]


def _bin_numbers(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the bin of each row; bins are (low, high], as in the paper, and the first holds 0 too."""
    import numpy as np

    numbers: NDArray[np.int64] = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return numbers


# --- temperature scaling -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature above 0 by which logits are divided, and what should be known of how it was found.

    ``low`` and ``high`` are the ends of its 95 % interval, None where there is none.
    """

    value: float
    low: float | None = None
    high: float | None = None
    remark: str = ""


def fit_temperature(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Temperature:
    """Return the temperature from 0.01 to 100 at which the cross entropy of predictions is lowest (section 4.2).

    ``labels`` has shape (rows,), ``probabilities`` (rows, labels), with at least one row. Where every row is right, the
    cross entropy falls for ever with the temperature, so that none is best: 1 is returned, with a remark.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if (probabilities.argmax(1) == labels).all():
        remark = f"all {len(labels):,} rows are predicted correctly, so no temperature is best; probabilities stay"
        return Temperature(1.0, remark=f"{remark} as they are; use a larger validation split")
    logs = _logs(probabilities)
    true = logs[np.arange(len(labels)), labels]

    def cross_entropy(log_temperature: float) -> float:
        beta = math.exp(-log_temperature)
        return float((logsumexp(beta * logs, axis=1) - beta * true).mean())

    # Convex in 1/T, so it has one minimum.
    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(cross_entropy, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x
    if min(found - bounds[0], bounds[1] - found) > 1e-3:
        return _with_interval(math.exp(found), probabilities)
    bound = LOWEST if found < 0 else HIGHEST
    what = "far less certain than it is right" if found < 0 else "no better than chance"
    remark = f"the temperature is at its bound, {bound:g}: on these rows the model is {what}"
    return Temperature(bound, remark=remark)


def _with_interval(value: float, probabilities: NDArray[np.float64]) -> Temperature:
    """Return a temperature with Wald's interval of its logarithm, from the Fisher information of 1/T, in its bounds."""
    logs, after = _logs(probabilities), calibrated(probabilities, value)
    information = float(((after * logs**2).sum(1) - (after * logs).sum(1) ** 2).sum())
    widest = HIGHEST / LOWEST
    half = 1.959964 * value / math.sqrt(information) if information > 0 else math.inf
    factor = math.exp(min(half, math.log(widest)))
    low, high = max(value / factor, LOWEST), min(value * factor, HIGHEST)
    if not low <= 1 <= high:
        return Temperature(value, low, high)
    finding = f"95 % interval of the temperature {value:.3g}, {low:.3g} to {high:.3g}, includes 1"
    remark = f"the {finding}: {len(probabilities):,} rows are too few to tell whether it helps"
    return Temperature(value, low, high, remark)


def calibrated(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the probabilities, of shape (rows, labels), after the logits are divided by a temperature above 0.

    The label of the largest probability stays the same. ``calibrated(calibrated(p, t), 1 / t)`` is ``p``.
    """
    import numpy as np

    if temperature == 1:
        return probabilities
    logs = _logs(probabilities)
    weights = np.exp((logs - logs.max(1, keepdims=True)) / temperature)
    # A probability that is smaller by a rounding error must not become equal: another label could then come first.
    weights = np.minimum(weights, 1 - 2.0**-51)
    weights[np.arange(len(weights)), probabilities.argmax(1)] = 1
    return weights / weights.sum(1, keepdims=True)  # type: ignore[no-any-return]


def _logs(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logits up to a constant per row."""
    import numpy as np

    logs: NDArray[np.float64] = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return logs
