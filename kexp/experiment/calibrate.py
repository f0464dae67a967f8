"""``evaluation.calibrate``: the temperature of a run's model, fitted on its validation predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kexp.builtin.metrics import ECE
from kexp.evaluate.calibration import Temperature, calibrated, expected_calibration_error, fit_temperature
from kexp.evaluate.predictions import Predictions
from kexp.evaluate.row_scores import cross_entropy
from kexp.model_files import write_temperature
from kexp.spec.sections import Evaluation

BINS = 15
"""Bins of the calibration error where the spec does not name the metric, as by default of that."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature of one model, and the number of validation rows it was fitted on."""

    fit: Temperature
    rows: int

    @classmethod
    def fitted(cls, validation: Predictions) -> Calibration:
        """Fit the temperature of a model on its predictions for validation."""
        found = fit_temperature(validation.labels, validation.probabilities)
        return cls(found, len(validation.labels))

    def applied(self, predictions: Predictions) -> Predictions:
        """Return the same predictions with calibrated probabilities."""
        return replace(predictions, probabilities=calibrated(predictions.probabilities, self.fit.value))

    def save(self, folder: Path) -> None:
        """Write the temperature into the folder of its model."""
        write_temperature(folder, self.fit.value, self.rows)

    def record(self, evaluation: Evaluation, predictions: Mapping[str, Predictions]) -> dict[str, Any]:
        """Return the object of ``result.json``, given the predictions by split as they were before."""
        bins = next((metric.bins for metric in evaluation.metrics if isinstance(metric, ECE)), BINS)
        return {
            "method": "temperature",
            "temperature": self.fit.value,
            "low": self.fit.low,
            "high": self.fit.high,
            "fitted_on": "validation",
            "rows": self.rows,
            "bins": bins,
            "before": {split: _errors(found, bins) for split, found in predictions.items()},
            "after": {split: _errors(self.applied(found), bins) for split, found in predictions.items()},
            **({"remark": self.fit.remark} if self.fit.remark else {}),
        }


def _errors(found: Predictions, bins: int) -> dict[str, float]:
    correct = found.probabilities.argmax(1) == found.labels
    error = expected_calibration_error(found.probabilities.max(1), correct, bins)
    return {"ece": error, "cross_entropy": float(cross_entropy(found.labels, found.probabilities).mean())}
