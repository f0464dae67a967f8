"""FlexMatch: thresholds by class, lower for classes that are learnt slowly (Zhang et al. 2021, arXiv 2110.08263)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from kexp.builtin.objectives.hard_targets import FixMatchOptions, HardTargets, Weights
from kexp.contracts import Objective, ObjectiveContext
from kexp.errors import KexpError

if TYPE_CHECKING:
    import torch


class FlexMatchOptions(FixMatchOptions):
    """FixMatch with a lower threshold for classes that are learnt slowly (Zhang et al. 2021, equations 5 to 12)."""

    confidence: float = Field(0.95, gt=0, le=1, description="Threshold of the class that is learnt best (tau).")

    def build(self, context: ObjectiveContext) -> Objective:
        """Return the objective; raises ``KexpError`` without unlabelled rows."""
        if context.unlabelled_rows < 1:
            raise KexpError("flexmatch remembers a label for each unlabelled row, and there are none; see [labelled]")
        curriculum = Curriculum(self.confidence, len(context.class_counts), context.unlabelled_rows)
        return HardTargets(self.build_supervised(context), curriculum, self.coefficient)


class Curriculum:
    """Weight 1 for rows whose largest probability is above the threshold of its class, else 0.

    The learning effect ``sigma_c`` counts the unlabelled rows whose last prediction above ``tau`` was c (equation 5).
    ``beta_c = sigma_c / max(max_c sigma_c, rows never above tau)``, whose second term is the warm-up (equation 11), and
    the threshold of c is ``tau * beta_c / (2 - beta_c)`` (equation 12). While nothing has been learnt, all are 0.
    """

    def __init__(self, tau: float, labels: int, rows: int) -> None:
        import torch

        self.tau = tau
        self.labels = labels
        self.remembered = torch.full((rows,), -1, dtype=torch.int64)

    def thresholds(self) -> torch.Tensor:
        """Return the threshold of each class, shape (classes,)."""
        import torch

        remembered = self.remembered
        counts = torch.zeros(self.labels + 1, dtype=torch.int64, device=remembered.device)
        # Not bincount, which makes the host wait for the device.
        counts.index_add_(0, remembered + 1, torch.ones_like(remembered))
        never, learnt = counts[0], counts[1:]
        beta = learnt / torch.maximum(learnt.max(), never)
        return self.tau * beta / (2 - beta)

    def __call__(self, probabilities: torch.Tensor, rows: torch.Tensor) -> Weights:
        """Weigh each row by what was learnt before this step, then remember what this step predicts."""
        import torch

        self.remembered = self.remembered.to(probabilities.device)
        thresholds = self.thresholds()
        confidence, labels = probabilities.max(-1)
        weights = (confidence > thresholds[labels]).to(probabilities.dtype)
        latest = torch.where(confidence > self.tau, labels, self.remembered[rows])
        self.remembered = self.remembered.scatter(0, rows, latest)
        return Weights(weights, {"threshold_lowest": thresholds.min(), "threshold_highest": thresholds.max()})

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the label last predicted with confidence for each unlabelled row; -1 for none."""
        return {"remembered": self.remembered}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore it."""
        self.remembered = state["remembered"]
