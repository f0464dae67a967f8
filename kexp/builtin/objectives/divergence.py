"""How far two class distributions are apart: one number per row, summed over the classes, never averaged over them.

Both sides are log-probabilities of shape (rows, classes); the result has shape (rows,). A mean over the classes, such
as that of ``KLDivLoss(reduction="mean")``, would make the loss of a binary task half of what the papers call it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

DivergenceName = Literal["kl", "js", "mse"]


def kl(target: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """Return ``KL(target || predicted) = sum_k t_k (log t_k - log p_k)``, from 0 upwards."""
    return (target.exp() * (target - predicted)).sum(-1)


def js(target: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """Return ``(KL(target || m) + KL(predicted || m)) / 2`` with their mean ``m`` (Lin 1991), from 0 to log 2."""
    import torch

    middle = torch.logaddexp(target, predicted) - math.log(2)
    return (kl(target, middle) + kl(predicted, middle)) / 2


def mse(target: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """Return ``sum_k (t_k - p_k)^2``, from 0 to 2."""
    return ((target.exp() - predicted.exp()) ** 2).sum(-1)


DIVERGENCES: Mapping[DivergenceName, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "kl": kl,
    "js": js,
    "mse": mse,
}
