"""Every row has a number, such as how alike two sentences are from 0 to 5."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kexp.builtin.tasks.numbers import is_number, number_label, quantile_strata, spelled, tally
from kexp.contracts import TaskOptions
from kexp.contracts.task import NUMBER, Chosen
from kexp.errors import DataError, Problem

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

FAR = 10.0
"""Largest number, without bounds, that a head reaches in the steps of a usual fine-tuning."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Quantiles of the errors that a result tells."""


class Regression(TaskOptions):
    """A number per row: one logit, which is the number itself, or between ``low`` and ``high`` by a scaled sigmoid."""

    trained_as: ClassVar[str] = NUMBER
    measured_as: ClassVar[Collection[str]] = (NUMBER,)
    baselines: ClassVar[Collection[str]] = ("mean", "tfidf-ridge")
    probabilities: ClassVar[bool] = False
    problem_type: ClassVar[str] = "regression"
    plain: ClassVar[bool] = True
    value_type: ClassVar[Any] = float
    decision: ClassVar[str] = "the predicted number itself"

    low: float | None = Field(None, description="Smallest number that there is; with high.")
    high: float | None = Field(None, description="Largest number that there is; with low.")

    def problems(self) -> Iterable[Problem]:
        """Yield one bound without the other, and bounds that are no range."""
        if (self.low is None) != (self.high is None):
            missing, stated = ("low", "high") if self.low is None else ("high", "low")
            yield Problem(missing, f"{stated} is stated and {missing} is not", "state both, or none")
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            yield Problem("low", f"{spelled(self.bounds[0])} is not below high = {spelled(self.bounds[1])}", "lower it")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest number that there is; None where they are not stated."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def defaults(self) -> Mapping[str, Any]:
        """Return the objective, metrics and monitor of numbers."""
        return {
            "objective": {"use": "squared-error"},
            "evaluation": {"metrics": [{"use": name} for name in ("pearson", "spearman", "mae", "rmse")]},
            "training": {"monitor": "pearson"},
        }

    def label_of(self, value: Any) -> str:
        """Return a cell as the one spelling of its number: 3.50 and "3.5" are 3.5, "1.0" is 1."""
        label = number_label(value)
        if label and self.bounds is not None and not self.bounds[0] <= float(label) <= self.bounds[1]:
            remedy = "correct it, or state other bounds (task.low, task.high)"
            low, high = map(spelled, self.bounds)
            raise ValueError(f"found {label}, expected a number from {low} to {high}; {remedy}")
        return label

    def tally(self, rows: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """Return the rows of each number, by value, or of ten ranges of equal width where there are many numbers."""
        return tally(rows, self.bounds)

    def warnings_of_labels(self, labels: Collection[str]) -> Sequence[str]:
        """Warn of numbers far from 0, which a head without bounds learns slowly."""
        values = [float(label) for label in labels if is_number(label)]
        if self.bounds is None and values and max(map(abs, values)) > FAR:
            found = f"numbers from {spelled(min(values))} to {spelled(max(values))}, and no bounds"
            remedy = "state task.low and task.high, or write the numbers in a larger unit"
            return [f"{found}: a model that begins at 0 takes many steps to get there; {remedy}"]
        return []

    def need_variety(self, labels: Collection[str]) -> None:
        """Raise ``DataError`` for labels that are no numbers, as the names of classes are, and for a single number."""
        if words := sorted(label for label in labels if not is_number(label)):
            remedy = 'use task "single-label", or a column of numbers'
            raise DataError(f'dataset: found the label "{words[0]}", expected a number; {remedy}')
        if len({float(label) for label in labels}) < 2:
            only = next(iter(labels))
            raise DataError(f"dataset: every train row has the number {only}; expected at least two different ones")

    def names(self, labels: Collection[str], given: Sequence[str] | None) -> tuple[str, ...]:
        """Return the name of the number."""
        return ("score",)

    def unknown(self, labels: Collection[str], names: Sequence[str]) -> Sequence[str]:
        """Return the labels that are no number."""
        return sorted(label for label in labels if label and not is_number(label))

    def encode(self, labels: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
        """Return numbers of shape (rows,), NaN for unknown ones."""
        import numpy as np

        return np.array([float(label) if label else np.nan for label in labels], np.float64)

    def decode(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return the spellings of the numbers."""
        return ["" if math.isnan(target) else spelled(target) for target in targets.tolist()]

    def known(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which numbers are not NaN."""
        import numpy as np

        known: NDArray[np.bool_] = ~np.isnan(targets)
        return known

    def strata(self, labels: Sequence[str], parts: int) -> NDArray[np.int32]:
        """Return at most ten stretches of neighbouring numbers, of about equally many rows, equal ones in one."""
        import numpy as np

        # Rows of unknown numbers, which are below all others here, are of a kind.
        return quantile_strata(np.nan_to_num(self.encode(labels, ()), nan=-np.inf, neginf=-np.inf), parts)

    def groups(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Return the stretch of neighbouring numbers that each row is in."""
        import numpy as np

        return quantile_strata(np.nan_to_num(targets, nan=-np.inf, neginf=-np.inf), 1).astype(np.int64)

    def counts(self, targets: NDArray[Any], names: Sequence[str]) -> list[int]:
        """Return nothing: rows are not counted by their numbers."""
        return []

    def outputs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the name of the number."""
        return tuple(names)

    def predictions(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the numbers, of shape (rows, 1): the logits themselves where there are no bounds."""
        return logits if self.bounds is None else super().predictions(logits)

    def decide(self, predictions: NDArray[np.float64], chosen: Chosen) -> NDArray[np.float64]:
        """Return the numbers, of shape (rows,)."""
        return predictions[:, 0]

    def value_of(self, label: str) -> float:
        """Return the number that is spelled."""
        return float(label)

    def answers(self, predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen) -> Mapping[str, Any]:
        """Return the numbers."""
        return {"predicted": predictions[:, 0]}

    def graph_predictions(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the numbers."""
        if self.bounds is None:
            return logits
        low, high = self.bounds
        return low + (high - low) * logits.sigmoid()

    def losses(self, targets: NDArray[Any], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the squared errors."""
        squared: NDArray[np.float64] = (predictions[:, 0] - targets) ** 2
        return squared

    def details(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return mean, spread and quantiles of the errors, predicted less true, and mean and spread of both numbers.

        Spreads are standard deviations of the rows (with rows, not rows - 1, below the fraction).
        """
        import numpy as np

        predicted = predictions[:, 0]
        errors = predicted - targets
        quantiles = np.quantile(errors, QUANTILES)
        scores = {
            "rows": len(errors),
            "mean_error": float(errors.mean()),
            "error_spread": float(errors.std()),
            "error_quantiles": {spelled(of): float(value) for of, value in zip(QUANTILES, quantiles, strict=True)},
            "true": {"mean": float(targets.mean()), "spread": float(targets.std())},
            "predicted": {"mean": float(predicted.mean()), "spread": float(predicted.std())},
        }
        return {"scores": scores}

    def columns(
        self, targets: NDArray[Any], predictions: NDArray[np.float64], names: Sequence[str], chosen: Chosen
    ) -> Mapping[str, Any]:
        """Return true and predicted numbers."""
        return {"label": targets, "predicted": predictions[:, 0]}

    def read_columns(
        self, columns: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return true and predicted numbers."""
        import numpy as np

        targets, predicted = (np.asarray(columns[name], np.float64) for name in ("label", "predicted"))
        if not np.isfinite(predicted).all():
            raise ValueError("a predicted number is missing or not finite")
        return targets, predicted[:, None]

    def fit_baseline(
        self, name: str, texts: Sequence[str], targets: NDArray[Any], names: Sequence[str], seed: int
    ) -> Any:
        """Fit the mean, or a ridge regression on tf-idf of character n-grams, whose numbers stay within the bounds."""
        import numpy as np

        from kexp.evaluate.baselines import fit_baseline

        predict = fit_baseline(name, texts, targets, len(names), seed)
        low, high = self.bounds or (-np.inf, np.inf)
        return lambda texts: predict(texts).clip(low, high)
