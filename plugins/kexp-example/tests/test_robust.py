"""The formula of the objective and its two limits, against NumPy."""

import numpy as np
import torch

from kexp_example.robust import RobustLoss

LOGITS = np.array([[2.0, 0.5, -1.0], [0.0, 0.0, 3.0], [-4.0, 1.0, 1.0]])
LABELS = np.array([0, 1, 0])
P = (np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True))[range(3), LABELS]


def losses(q: float) -> np.ndarray:
    return RobustLoss(q).losses(torch.tensor(LOGITS), torch.tensor(LABELS)).numpy()


def test_is_the_formula_of_the_paper() -> None:
    np.testing.assert_allclose(losses(0.7), (1 - P**0.7) / 0.7, rtol=1e-12)


def test_lies_between_cross_entropy_and_absolute_error() -> None:
    np.testing.assert_allclose(losses(1e-9), -np.log(P), rtol=1e-6)
    np.testing.assert_allclose(losses(1.0), 1 - P, rtol=1e-12)
