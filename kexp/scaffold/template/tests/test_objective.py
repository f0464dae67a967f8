"""The objective in kexp's suite for objectives, and its formula against NumPy."""

import numpy as np
import torch
from kexp.testing import ObjectiveContract

from my_package.objective import MyObjective, PolyLoss


class TestMyObjective(ObjectiveContract):
    examples = (MyObjective(), MyObjective(epsilon=-0.5))


def test_is_the_formula_of_the_paper() -> None:
    logits, labels = np.array([[2.0, 0.5, -1.0], [0.0, 0.0, 3.0]]), np.array([0, 1])
    p = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[[0, 1], labels]
    found = PolyLoss(2.0).losses(torch.tensor(logits), torch.tensor(labels))
    np.testing.assert_allclose(found.numpy(), -np.log(p) + 2.0 * (1 - p), rtol=1e-12)
