"""Distribution alignment (Berthelot et al. 2020, ReMixMatch, arXiv 1911.09785, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from kexp.contracts import ObjectiveContext

if TYPE_CHECKING:
    import torch

AlignmentName = Literal["none", "uniform", "labelled"]

WINDOW = 128
"""Batches over which the mean of the model's predictions runs, as in the paper."""

SMALLEST = 1e-6
"""Least share of a class: one without labelled rows, or one that is never predicted, would make a ratio infinite."""


def class_prior(name: AlignmentName, context: ObjectiveContext) -> torch.Tensor | None:
    """Return the class shares to align to, of shape (classes,); None for no alignment."""
    import torch

    if name == "none":
        return None
    counts = torch.tensor(context.class_counts, dtype=torch.float32)
    shares = torch.ones_like(counts) if name == "uniform" else counts
    return (shares / shares.sum()).clamp(min=SMALLEST)


class Alignment:
    """Multiplies each prediction by ``prior / running mean of the predictions`` and normalises it again.

    The mean is taken over the ``WINDOW`` batches before this one; those that have not been yet count as uniform
    predictions, so that alignment sets in gradually. Without a prior it leaves predictions as they are.
    """

    def __init__(self, prior: torch.Tensor | None) -> None:
        import torch

        self.prior = prior
        self.means = torch.zeros(0) if prior is None else torch.full((WINDOW, len(prior)), 1 / len(prior))

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Return aligned logits of shape (rows, classes) and remember the batch's mean prediction; no gradient."""
        import torch

        logits = logits.detach()
        if self.prior is None:
            return logits
        prior, means = self.prior.to(logits.device), self.means.to(logits.device)
        shift = prior.log() - means.mean(0).clamp(min=SMALLEST).log()
        self.means = torch.cat([means[1:], logits.softmax(-1).mean(0, keepdim=True).to(means.dtype)])
        return logits + shift

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the means of the last batches, of shape (WINDOW, classes)."""
        return {} if self.prior is None else {"means": self.means}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore them."""
        if self.prior is not None:
            self.means = state["means"]
